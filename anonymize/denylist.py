"""What must not be read in any text of this study: collected from its own headers.

Names in every order and script, numbers, dates in many spellings, places. First line of defence for free text
and for what is read in pictures; general name recognition comes after it, as evidence only.
"""

from __future__ import annotations

import re
import unicodedata
from difflib import SequenceMatcher

from anonymize.dates import spellings

LEAST_WORD = 2
LEAST_NUMBER = 4
_SPLIT = re.compile(r"[\s^=\\,;:/()\[\]_.+\-'\"]+")
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
        self.numbers: set[str] = set()
        self.dates: set[str] = set()
        self.places: set[str] = set()

    def add_name(self, value: str) -> None:
        """Add a person's name in DICOM form: every part of every group, and the parts run together."""
        for group in value.split("="):
            parts = [word for word in words_of(group) if word not in _GENERIC]
            self.names.update(part for part in parts if len(part) >= LEAST_WORD or not part.isascii())
            if 1 < len(parts) <= 5:
                self.names.update({"".join(parts), "".join(reversed(parts))})

    def add_text(self, value: str) -> None:
        """Add an identifier, institution, address or other text that the table removes."""
        whole = folded(value).strip()
        if any(mark.isdigit() for mark in whole) and len(whole) >= LEAST_NUMBER and len(whole) <= 64:
            self.numbers.add(re.sub(r"\s+", "", whole))
        for word in words_of(value):
            if word.isdigit():
                self.numbers.update([word] if len(word) >= LEAST_NUMBER else [])
            elif len(word) > LEAST_WORD and word not in _GENERIC:
                self.places.add(word)

    def add_date(self, value: str) -> None:
        """Add a date in all its usual spellings."""
        self.dates.update(spellings(value[:8]))

    def names_word(self, word: str) -> bool:
        """Return whether a folded word is part of a person's name or an identifier."""
        return word in self.names or word in self.numbers

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
        listed = [word.translate(_OCR_SLIPS) for word in self.names | self.places | self.numbers]
        read = [word.translate(_OCR_SLIPS) for word in (*words_of(text), "".join(words_of(text)))]
        return any(_is_alike(word, other, likeness) for word in read for other in listed)

    def scrubbed(self, text: str) -> str:
        """Return the text without the dates and numbers of the list (its words are judged one by one)."""
        plain = text
        for run in sorted(self.dates | self.numbers, key=len, reverse=True):
            if run in folded(plain):
                plain = re.sub(re.escape(run), " ", plain, flags=re.IGNORECASE)
        return plain

    def _holds_run(self, text: str) -> bool:
        packed = re.sub(r"\s+", "", text)
        return any(run in text for run in self.dates) or any(run in packed for run in self.numbers)


def _is_alike(word: str, other: str, likeness: float) -> bool:
    if min(len(word), len(other)) < LEAST_NUMBER:
        return False
    if len(other) >= 5 and other in word:
        return True
    if abs(len(word) - len(other)) > 2:
        return False
    return SequenceMatcher(None, word, other).ratio() >= likeness
