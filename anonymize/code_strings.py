"""Code strings (VR CS): which values are terms, and which could be anybody's name."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from anonymize.denylist import words_of
from anonymize.text import vocabulary

_TERMS = Path(__file__).with_name("code_strings.txt")
_LEGAL = re.compile(r"^[A-Za-z0-9_ .+/-]{0,16}$")
_TECHNICAL = re.compile(r"^(?:\d{1,6}|[a-z]{0,5}\d{1,4}[a-z]{0,5}\d{0,3}[a-z]?|[a-z]{1,3})$")


@lru_cache(maxsize=1)
def _words() -> frozenset[str]:
    """Return the words that terms are made of, folded."""
    lines = _TERMS.read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in words_of(line))


@lru_cache(maxsize=4096)
def is_term(value: str) -> bool:
    """Return whether a code string is made of terms of the standard, radiology words and short marks only.

    A name that nobody listed is none of these; one of three letters or less cannot be told from a mark.
    """
    if not _LEGAL.match(value):
        return False
    return all(
        word in _words() or word in vocabulary() or bool(_TECHNICAL.match(word)) for word in words_of(value)
    )
