"""The words that a text may keep, and which of them are also names.

Three layers: our own list and the standard's code meanings (radiology), general English and Chinese, and the
names of people and places among them. Sources and licences stand in the first line of each file; see
make_words.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from anonymize.denylist import folded

HOME = Path(__file__).parent
_DOUBLED = re.compile(r"([bdfgklmnprt])\1$")
_MEDICAL_PREFIX = re.compile(
    r"^(?:non|un|re|pre|post|anti|intra|inter|extra|infra|supra|sub|super|peri|para|retro|trans|hyper|hypo|iso"
    r"|micro|macro|multi|poly|mono|neuro|cardio|osteo|vaso|endo|exo|ecto|epi|hemi|semi|bi|tri|juxta|ante|antero"
    r"|postero|latero|medio|supero|infero|dorso|ventro|fronto|temporo|parieto|occipito|spheno|ethmoido|cranio"
    r"|cervico|thoraco|lumbo|costo|sterno|vertebro|spondylo|gastro|entero|hepato|nephro|uro|chole|angio"
    r"|broncho|pneumo|cerebro|ventriculo|radio|chemo|immuno|psycho|auto|co|over|under|out|mid|pan)"
)
_MEDICAL_ENDING = re.compile(
    r".{3,}(?:itis|osis|oses|oma|omas|omata|omatous|ectomy|ectomies|otomy|ostomy|plasty|graphy|graphic|gram|grams"
    r"|scopy|scopic|aemia|emia|aemic|emic|uria|pathy|pathic|cephaly|cephalic|plegia|paresis|algia|lysis|lytic"
    r"|genic|trophy|trophic|plasia|plastic|sclerosis|stenosis|ectasia|ectasis|ectatic|oedema|phagia|phasia"
    r"|pnea|pnoea|rrhage|rrhagic|rrhoea|penia|philia|megaly|malacia|ptosis|desis|metry|metric|ation|ations"
    r"|attenuating|attenuation|dense|density|intense|intensity|enhancing|vascular|cortical|chondral|meniscal"
    r"|thalamic|callosal|physeal|osseous|mab|nib|tinib|zumab|ximab|statin|sartan|cillin|mycin|azole|prazole"
    r"|olol|caine|parin|floxacin|platin|taxel|rubicin|mustine|terol|sone|solone|tidine|pam|lam|barbital)s?$"
)


@lru_cache(maxsize=1)
def vocabulary() -> frozenset[str]:
    """Return the words of radiology: our list and the standard's code meanings, folded."""
    return own_words() | standard_words()


@lru_cache(maxsize=1)
def own_words() -> frozenset[str]:
    """Return the words of words.txt and words_zh_radiology.txt, folded."""
    lines = (*_lines("words.txt"), *_lines("words_zh_radiology.txt"))
    return frozenset(folded(word) for line in lines for word in line.split())


@lru_cache(maxsize=1)
def standard_words() -> frozenset[str]:
    """Return the words of the standard's code meanings, folded; they hold some surnames too."""
    from pydicom.sr._concepts_dict import concepts

    schemes: Iterator[Any] = (concepts[name] for name in ("DCM", "SCT", "UCUM", "RADLEX", "FMA", "NEU"))
    meanings = (meaning for scheme in schemes for codes in scheme.values() for meaning, _ in codes.values())
    words = (word for meaning in meanings for word in re.findall(r"[^\W\d_]{3,}", folded(meaning)))
    return frozenset(words)


@lru_cache(maxsize=1)
def _general() -> frozenset[str]:
    return frozenset(_lines("words_en.txt"))


@lru_cache(maxsize=1)
def chinese_words() -> frozenset[str]:
    """Return ordinary Chinese words of two to five characters."""
    return frozenset(_lines("words_zh.txt"))


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Return the words that are names too, with their marks (see make_words.py)."""
    return {line.lstrip("!+~*"): line[0] for line in _lines("names_en.txt")}


def _lines(name: str) -> list[str]:
    lines = (HOME / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def bases(word: str) -> Iterator[str]:
    """Yield the words that a folded English word may come from by a regular ending."""
    if len(word) < 4:
        return
    if word.endswith("s") and not word.endswith("ss"):
        yield word[:-1]
    if word.endswith("es") and len(word) > 4:
        yield word[:-2]
    if word.endswith(("ies", "ied")) and len(word) > 4:
        yield word[:-3] + "y"
    if word.endswith("ly") and len(word) > 5:
        yield word[:-2]
    for ending in ("ed", "ing"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            stem = word[: -len(ending)]
            yield stem
            yield stem + "e"
            if _DOUBLED.search(stem):
                yield stem[:-1]


@lru_cache(maxsize=65536)
def is_word(word: str) -> bool:
    """Return whether a folded word is general English or medical, by list or by its regular forms."""
    if _is_listed(word):
        return True
    if not word.isascii() or len(word) < 6:
        return False
    if _MEDICAL_ENDING.match(word):
        return True
    prefix = _MEDICAL_PREFIX.match(word)
    return bool(prefix) and len(word) - len(prefix[0]) >= 4 and _is_listed(word[len(prefix[0]) :])  # type: ignore[index]


def _is_listed(word: str) -> bool:
    known, radiology = _general(), own_words()
    if word in known or word in radiology or (word in standard_words() and not is_name(word)):
        return True
    return any(base in known or base in radiology for base in bases(word))


@lru_cache(maxsize=65536)
def is_core(word: str) -> bool:
    """Return whether a folded word, or the word it is a regular form of, stands in words.txt.

    A form that is a frequent name (Wells, Waters) does not count.
    """
    own = own_words()
    return word in own or (not is_well_known_name(word) and any(base in own for base in bases(word)))


@lru_cache(maxsize=1)
def eponyms() -> frozenset[str]:
    """Return names that are terms of medicine beside the right word: Baker cyst, circle of Willis."""
    return frozenset(word for line in _lines("eponyms.txt") for word in line.split())


def is_name(word: str) -> bool:
    """Return whether a folded word is also the name of people or a place."""
    return word in _names()


def is_well_known_name(word: str) -> bool:
    """Return whether a folded word is also a frequent name."""
    return _names().get(word, "") in ("!", "+", "~", "*")


def is_given_name(word: str) -> bool:
    """Return whether a folded word is also a given name."""
    return _names().get(word, "") in ("+", "*")


def is_common_word(word: str) -> bool:
    """Return whether a folded word is a very common one, although it is a surname too."""
    return _names().get(word, "") == "~"


def is_mostly_name(word: str) -> bool:
    """Return whether a folded word is a given name more than a word: jenny, robin."""
    return _names().get(word, "") == "+"


@lru_cache(maxsize=8)
def neighbours(kind: str) -> frozenset[str]:
    """Return words that tell a name from a term beside it, of a kind of terms.txt: after, of, acts, says."""
    lines = (line.split(":") for line in _lines("terms.txt"))
    return frozenset(word for mark, words in lines if mark == kind for word in words.split())
