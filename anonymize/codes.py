"""Coded terms: kept when the scheme is public and value and meaning are plain, otherwise the item goes."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, cast

from anonymize.charsets import decoded
from anonymize.elements import Element
from anonymize.text import TextCleaner

CODE_VALUE, SCHEME, SCHEME_VERSION, MEANING = 0x00080100, 0x00080102, 0x00080103, 0x00080104
JUDGED_TAGS = frozenset([CODE_VALUE, SCHEME, SCHEME_VERSION, MEANING])
_LONG_VALUE, _URN_VALUE = 0x00080119, 0x00080120
_PUBLIC_SCHEMES = frozenset(
    [
        "DCM",
        "SCT",
        "SRT",
        "SNM3",
        "99SDM",
        "LN",
        "UCUM",
        "FMA",
        "RADLEX",
        "NCIT",
        "MDC",
        "NEU",
        "BI",
        "IBSI",
        "UMLS",
    ]
)
_PLAIN_VALUE = re.compile(r"^(?:[A-Z0-9]{1,3}-[0-9A-F]{3,6}|\d{4,18}|\d{1,7}-\d|RID\d{1,6}|C\d{4,7})$")
_VERSION = re.compile(r"^[0-9.\-]{0,16}$")


def is_code_item(item: tuple[Element, ...]) -> bool:
    """Return whether an item is a coded term (PS3.3 8.8)."""
    return any(element.tag in (CODE_VALUE, MEANING, _LONG_VALUE, _URN_VALUE) for element in item)


def is_harmless(item: tuple[Element, ...], character_set: bytes, cleaner: TextCleaner) -> bool:
    """Return whether a coded term names a public concept and nothing of this patient."""
    texts = {part.tag: decoded(part.value, character_set) for part in item if part.tag in JUDGED_TAGS}
    scheme, value, meaning = (texts.get(tag, "") for tag in (SCHEME, CODE_VALUE, MEANING))
    if scheme.upper() not in _PUBLIC_SCHEMES or not _VERSION.match(texts.get(SCHEME_VERSION, "")):
        return False
    if cleaner.deny.matches(value) or not (_PLAIN_VALUE.match(value) or value in _known_values(scheme)):
        return False
    return meaning in _known_meanings() or cleaner.cleaned(meaning) == meaning


def _concepts() -> dict[str, Any]:
    from pydicom.sr._concepts_dict import concepts

    return cast("dict[str, Any]", concepts)


@lru_cache(maxsize=16)
def _known_values(scheme: str) -> frozenset[str]:
    return frozenset(value for coded in _concepts().get(scheme, {}).values() for value in coded)


@lru_cache(maxsize=1)
def _known_meanings() -> frozenset[str]:
    schemes = (_concepts()[name] for name in ("DCM", "SCT", "UCUM"))
    return frozenset(
        meaning for scheme in schemes for coded in scheme.values() for meaning, _ in coded.values()
    )
