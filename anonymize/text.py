"""Free text that keeps its radiology and loses its people (PS3.15 E.3.5, Clean Descriptors).

A word stays only when it is known to be harmless: a word of radiology, or a short number or technical mark.
What is in doubt is dropped, so a name that nobody listed cannot stay by being unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from anonymize.denylist import DenyList, folded
from anonymize.prose import ProseReader

_WORDS = Path(__file__).with_name("words.txt")
_LONGEST_KEPT = 1024

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_CUES = (
    r"\S+@\S+",  # mail addresses
    r"\b(?:https?|ftp)://\S+|\bwww\.\S+",
    r"\b(?:\d+\.){3,}\d+\b",  # UIDs, network addresses
    r"\b\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\b",  # dates
    rf"\b\d{{1,2}}\.?[ -]?{_MONTH}[ -,]*\d{{2,4}}\b|\b{_MONTH} ?\d{{1,2}},? \d{{4}}\b",
    r"(?:19|20)\d{2}\s*[年./-]\s*\d{1,2}\s*[月./-]\s*\d{1,2}\s*日?",
    r"\b\d{1,2}:\d{2}(?::\d{2})?\b",
    r"\+?\d[\d ()/-]{6,}\d",  # telephone and other long numbers
    r"\b(?:mrn|pid|pat(?:ient)?[ .-]?(?:id|no|nr|name)?|id|name|acc(?:ession)?|dob|born|geb(?:oren)?"
    r"|ssn|nhs|case)\s*(?:no|nr|number)?\.?\s*[:#=]\s*\S+(?:[ ,^]+[A-Z]\S+)*",
    r"(?:住院号|门诊号|病历号|影像号|检查号|姓名|身份证号?)\s*[:：]?\s*\S+",
    r"\b(?:dr|prof|doctor|(?-i:Mr|Ms|Sr)|mrs|miss|frau|herr|nurse|technologist|(?:ordered|referred|read) by)"
    r"\b[.:]?\s+(?:(?:dr|prof|med|von|van|de)\.?\s+)*[^\W\d_]\S*(?:\s+(?-i:[A-Z])[^\W\d_]+\b)?",
    r"\w*\^\w*(?:\^\w*)*",  # names in caret form
    r"(?<!\d)1[3-9]\d{9}(?!\d)|(?<!\d)\d{17}[\dxX](?!\d)",
)
_CUE = re.compile("|".join(f"(?:{cue})" for cue in _CUES), re.IGNORECASE)
_TOKEN = re.compile(r"[^\W_]+(?:[.,'][^\W_]+)*|[\W_]", re.UNICODE)
_TECHNICAL = re.compile(
    r"^(?:\d{1,3}(?:[.,]\d{1,3})?"  # 5mm, 120kV, 1.5
    r"(?:mm|cm|ml|kv|kvp|ma|mas|hu|s|sec|ms|t|d|x|min|mg|mgi|iu|p|%)?"
    r"|[a-z]{1,2}\d{1,3}[a-z]?"  # H30s, B40f, Br40, T1, L5
    r"|[a-z]"
    r"|\d{1,3}x\d{1,3}(?:x\d{1,3})?(?:mm|cm)?)$",
    re.IGNORECASE,
)
_DANGLING = re.compile(r"(?:\s+(?:for|of|by|with|from|and|to|in|on|at|the|an?))+\s*$", re.IGNORECASE)
_KEPT_MARKS = frozenset(" .,/+-%()*<>=:&_")


@lru_cache(maxsize=1)
def vocabulary() -> frozenset[str]:
    """Return the words that may stay: our list and the standard's code meanings, folded."""
    return own_words() | _standard_words()


@lru_cache(maxsize=1)
def own_words() -> frozenset[str]:
    """Return the words of words.txt, folded."""
    lines = _WORDS.read_text(encoding="utf-8").splitlines()
    return frozenset(folded(word) for line in lines if not line.startswith("#") for word in line.split())


def _standard_words() -> frozenset[str]:
    from pydicom.sr._concepts_dict import concepts

    schemes: Iterator[Any] = (concepts[name] for name in ("DCM", "SCT", "UCUM", "RADLEX", "FMA", "NEU"))
    meanings = (meaning for scheme in schemes for codes in scheme.values() for meaning, _ in codes.values())
    words = (word for meaning in meanings for word in re.findall(r"[^\W\d_]{3,}", folded(meaning)))
    return frozenset(words)


class TextCleaner:
    """Cleans free text against one study's deny-list; the same text gives the same result.

    Parameters
    ----------
    deny : DenyList
        What the study's headers say about people, numbers, dates and places.
    prose : ProseReader
        Names found in running sentences; asked only when a text is one.
    """

    def __init__(self, deny: DenyList, prose: ProseReader) -> None:
        self.deny = deny
        self.prose = prose
        self._known: dict[str, str] = {}

    def cleaned(self, text: str) -> str:
        """Return the text without anything that may identify; empty when nothing harmless is left."""
        if text not in self._known:
            self._known[text] = self._clean(text)
        return self._known[text]

    def _clean(self, text: str) -> str:
        text = text[:_LONGEST_KEPT]
        plain = _CUE.sub(" ", self.deny.scrubbed(text))
        parts = [part if self._may_stay(part) else " " for part in _TOKEN.findall(plain)]
        if is_prose(text) and any(_is_borrowed(part) for part in parts):
            suspects = self.prose.suspects(text)
            parts = [" " if _is_borrowed(part) and folded(part) in suspects else part for part in parts]
        kept = "".join(parts)
        return text.strip() if kept == text else _tidied(kept)

    def _may_stay(self, part: str) -> bool:
        if not part.strip() or (len(part) == 1 and not part.isalnum()):
            return part in _KEPT_MARKS
        word = folded(part)
        if self.deny.names_word(word):
            return False
        return bool(_TECHNICAL.match(word)) or word in vocabulary() or _is_known_script(word)


def _is_borrowed(part: str) -> bool:
    """Return whether a kept word comes from the standard's code meanings, which hold some surnames too."""
    word = folded(part)
    return len(word) > 2 and word not in own_words() and not _TECHNICAL.match(word)


def _is_known_script(word: str) -> bool:
    """Return whether a run of characters without spaces (Chinese) is made of known words only."""
    if word.isascii():
        return False
    known = sorted((item for item in own_words() if not item.isascii()), key=len, reverse=True)
    for item in known:
        word = word.replace(item, "")
    return not word


def is_prose(text: str) -> bool:
    """Return whether a text is running words: five or more, most in lower case."""
    words = re.findall(r"[^\W\d_]{2,}", text)
    return len(words) >= 5 and sum(word[1:].islower() for word in words) * 2 > len(words)


def _tidied(text: str) -> str:
    """Return text without the marks and spaces that dropped words left behind."""
    text = re.sub(r"\(\s*\)|\[\s*\]", " ", text)
    text = _DANGLING.sub("", text)
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"(?:\s[.,:=&*/_+-])+(?=\s|$)", "", f" {text}").strip(" ,:=&*/")
    return text if re.search(r"\w", text) else ""
