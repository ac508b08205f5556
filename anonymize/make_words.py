"""Writes words_en.txt, names_en.txt and words_zh.txt from public word lists; run by a maintainer.

``python -m anonymize.make_words SCOWL NAMES JIEBA`` takes three folders or files:

- SCOWL: the folder ``scowl`` of Debian's package of that name (Kevin Atkinson and others; free to use, copy,
  modify and distribute with the notice kept).
- NAMES: the folder with ``dist.all.last``, ``dist.male.first``, ``dist.female.first`` of the 1990 United
  States census (public domain; PyPI package ``names``).
- JIEBA: ``dict.txt`` of the PyPI package ``jieba`` (MIT).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from anonymize.denylist import folded
from anonymize.vocabulary import HOME, bases, eponyms, is_word, own_words, standard_words

_SIZES, _COMMON_SIZES = (10, 20, 35, 40, 50, 55, 60, 70), (10, 20)
_SPELLINGS = ("english", "american", "british", "british_z", "variant_1", "british_variant_1")
_WELL_KNOWN_SURNAMES, _MOST_SURNAMES = 6000, 60_000
_LEAST_COUNT_ZH = 60
_NOT_NAMES_ZH = re.compile(r"^(?!nr|ns|nt|nz|x|eng)[a-z]")
_NOTICE = "# Made by anonymize/make_words.py. "


def english_words(scowl: Path) -> set[str]:
    """Return English words in lower case, without those that regular endings make from others."""
    words = _listed(scowl, _SIZES)
    return {word for word in words if not any(base in words for base in bases(word))}


def _listed(scowl: Path, sizes: Iterable[int]) -> set[str]:
    paths = (scowl / f"{spelling}-words.{size}" for size in sizes for spelling in _SPELLINGS)
    texts = (path.read_text(encoding="latin-1") for path in paths if path.is_file())
    words = {folded(word) for text in texts for word in text.split()}
    return {word for word in words if word.isascii() and word.isalpha() and len(word) > 1}


def ranked(path: Path) -> dict[str, int]:
    """Return names of a census list, folded, with their rank; 1 is the most frequent."""
    rows = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    return {row[0].lower(): int(row[3]) for row in rows if len(row) == 4}


def names_among(words: set[str], scowl: Path, names: Path) -> Iterator[str]:
    """Yield the names of people and places that are also words, with their marks.

    ``+`` a given name; ``*`` a given name that is a very common word (mark, rose); ``~`` a frequent surname
    that is a very common word (power, stone); ``!`` another frequent surname; no mark: a rare surname or a
    place.
    """
    common = {base for word in _listed(scowl, _COMMON_SIZES) for base in (word, *bases(word))}
    surnames = ranked(names / "dist.all.last")
    given = {**ranked(names / "dist.female.first"), **ranked(names / "dist.male.first")}
    every = {name for name, rank in surnames.items() if rank <= _MOST_SURNAMES} | set(given) | _proper(scowl)
    for name in every:
        is_frequent = surnames.get(name, _MOST_SURNAMES) <= _WELL_KNOWN_SURNAMES
        if not (name in words or is_word(name)) or (name in common and name not in given and not is_frequent):
            continue
        if name in given:
            yield ("*" if name in common else "+") + name
        else:
            yield ("~" if name in common else "!") * is_frequent + name


def _proper(scowl: Path) -> set[str]:
    kinds = ("proper-names", "upper")
    paths = (scowl / f"english-{kind}.{size}" for kind in kinds for size in _SIZES)
    texts = (path.read_text(encoding="latin-1") for path in paths if path.is_file())
    return {folded(word) for text in texts for word in text.split() if "'" not in word and word.isalpha()}


def chinese_words(jieba: Path) -> Iterator[str]:
    """Yield ordinary Chinese words of two to five characters that are no names of people or places."""
    for line in jieba.read_text(encoding="utf-8").splitlines():
        word, count, kind = line.split(" ")
        is_han = all("\u4e00" <= mark <= "\u9fff" for mark in word)
        if is_han and 2 <= len(word) <= 5 and int(count) >= _LEAST_COUNT_ZH and _NOT_NAMES_ZH.match(kind):
            yield word


def _write(name: str, notice: str, words: Iterable[str]) -> None:
    text = "\n".join(sorted(words))
    (HOME / name).write_text(f"{_NOTICE}{notice}\n{text}\n", encoding="utf-8")


def main(scowl: Path, names: Path, jieba: Path) -> None:
    """Write the three files."""
    general = english_words(scowl)
    notice = "SCOWL (c) 2000-2018 Kevin Atkinson and others; permission to use, copy, modify and distribute."
    _write("words_en.txt", notice, general)
    words = general | own_words() | standard_words() | eponyms()
    notice = "Census 1990 (public domain) and SCOWL; marks: see make_words.py."
    _write("names_en.txt", notice, names_among(words, scowl, names))
    _write("words_zh.txt", "jieba dict.txt (MIT), (c) 2013 Sun Junyi.", chinese_words(jieba))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
