"""What must not be read in any text of this study: collected from its own headers.

Names in every order and script, numbers, dates in many spellings, places. First line of defence for free text
and for what is read in pictures; general name recognition comes after it, as evidence only.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from difflib import SequenceMatcher

from anonymize.dates import spellings

LEAST_WORD = 2
LEAST_NUMBER = 4
_SPLIT = re.compile(r"[\s^=\\,;:/()\[\]_.+\-'\"]+")
_UMLAUTS = {"ä": "ae", "ö": "oe", "ü": "ue"}
_OCR_SLIPS = str.maketrans("0154862", "oisabgz")
_GENERIC = frozenset(
    [
        "hospital",
        "clinic",
        "university",
        "medical",
        "center",
        "centre",
        "institute",
        "department",
        "dept",
        "radiology",
        "health",
        "city",
        "street",
        "road",
        "avenue",
        "of",
        "the",
        "and",
        "for",
        "st",
        "klinik",
        "klinikum",
        "abteilung",
        "radiologie",
        "universitaet",
        "dr",
        "md",
        "prof",
        "mr",
        "mrs",
        "ms",
        "phd",
    ]
)


def folded(text: str) -> str:
    """Return text without case, accents and width, so that MÜLLER, Muller and Müller are one."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(mark for mark in plain if not unicodedata.combining(mark))


def words_of(text: str) -> list[str]:
    """Return the folded words of a text, in order."""
    return [word for word in _SPLIT.split(folded(text)) if word]


class DenyList:
    """Words, numbers and dates that identify; grows while the headers are read, then only answers."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.clinicians: set[str] = set()
        self.numbers: set[str] = set()
        self.dates: set[str] = set()
        self.places: set[str] = set()
        self.institutions: set[str] = set()
        self._pattern: tuple[int, re.Pattern[str] | None] = (-1, None)

    def add_name(self, value: str, *, is_clinician: bool = False) -> None:
        """Add a person's name in DICOM form: every part of every group, and the parts run together.

        Parameters
        ----------
        is_clinician : bool
            Whether the attribute names a clinician, whose name a policy may keep in text.
        """
        for group in value.split("="):
            parts = [word for word in words_of(_umlauts_spelled(group)) if word not in _GENERIC]
            parts += [word for word in words_of(group) if word not in _GENERIC and word not in parts]
            found = {part for part in parts if len(part) >= LEAST_WORD or not part.isascii()} | _run_together(
                group
            )
            (self.clinicians if is_clinician else self.names).update(found)

    def add_text(self, value: str, *, is_institution: bool = False) -> None:
        """Add an identifier, institution, address or other text that the table removes.

        Parameters
        ----------
        is_institution : bool
            Whether the attribute names a hospital or department, which a policy may keep in text.
        """
        whole = folded(value).strip()
        if any(mark.isdigit() for mark in whole) and len(whole) >= LEAST_NUMBER and len(whole) <= 64:
            self.numbers.add(re.sub(r"\s+", "", whole))
        for word in words_of(value):
            if word.isdigit():
                self.numbers.update([word] if len(word) >= LEAST_NUMBER else [])
            elif len(word) > LEAST_WORD and word not in _GENERIC:
                self.places.add(word)
                self.institutions.update([word] if is_institution else [])

    def add_date(self, value: str) -> None:
        """Add a date in all its usual spellings."""
        self.dates.update(spellings(value[:8]))

    def names_word(self, word: str) -> bool:
        """Return whether a folded word is part of a person's name or an identifier."""
        return word in self.names or word in self.clinicians or word in self.numbers

    def matches(self, text: str) -> bool:
        """Return whether a text holds anything of the list, exactly (case and accents aside)."""
        words = words_of(text)
        if any(self.names_word(word) or word in self.places for word in words):
            return True
        return self._holds_run(folded(text))

    def resembles(self, text: str, *, likeness: float = 0.8) -> bool:
        """Return whether a text read from a picture looks like something of the list, reading slips allowed.

        Parameters
        ----------
        likeness : float
            0 to 1; how alike two words must be (Ratcliff/Obershelp).
        """
        if self.matches(text):
            return True
        listed = [
            word.translate(_OCR_SLIPS) for word in self.names | self.clinicians | self.places | self.numbers
        ]
        read = [word.translate(_OCR_SLIPS) for word in (*words_of(text), "".join(words_of(text)))]
        return any(_is_alike(word, other, likeness) for word in read for other in listed)

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where a text holds a date or number of the list, however it is spaced."""
        size = len(self.dates) + len(self.numbers)
        if self._pattern[0] != size:
            self._pattern = size, _pattern_of(self.dates | self.numbers)
        if self._pattern[1]:
            yield from (match.span() for match in self._pattern[1].finditer(text))

    def _holds_run(self, text: str) -> bool:
        packed = re.sub(r"\s+", "", text)
        return any(run in text for run in self.dates) or any(run in packed for run in self.numbers)


def _run_together(group: str) -> set[str]:
    """Return neighbouring parts of a name without a space, in both orders: zhangwei, lihua."""
    parts = [word for word in words_of(group) if word not in _GENERIC]
    if len(parts) > 5:
        return set()
    runs = {"".join(parts[start:end]) for end in range(len(parts) + 1) for start in range(end - 1)}
    orders = {one + other for one in parts for other in parts if one != other}
    return {
        run
        for run in runs | orders | {"".join(reversed(parts))}
        if len(run) > LEAST_WORD or not run.isascii()
    }


def _umlauts_spelled(text: str) -> str:
    """Return text with German umlauts written as two letters, as systems without them do."""
    return re.sub("[äöüÄÖÜ]", lambda mark: _UMLAUTS[mark[0].lower()], unicodedata.normalize("NFC", text))


def _pattern_of(runs: set[str]) -> re.Pattern[str] | None:
    """Return one pattern of all runs; digits may be grouped, short numbers must stand alone."""
    parts = []
    for run in sorted(runs, key=len, reverse=True):
        pattern = (
            r"[\s.\-/]?".join(re.escape(mark) for mark in run)
            if run.isalnum() and len(run) >= 6
            else re.escape(run)
        )
        parts.append(rf"(?<!\d){pattern}(?!\d)" if len(run) < 9 else pattern)
    return re.compile("|".join(parts), re.IGNORECASE) if parts else None


def _is_alike(word: str, other: str, likeness: float) -> bool:
    if min(len(word), len(other)) < LEAST_NUMBER:
        return False
    if len(other) >= 5 and other in word:
        return True
    if abs(len(word) - len(other)) > 2:
        return False
    return SequenceMatcher(None, word, other).ratio() >= likeness
