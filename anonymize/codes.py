"""Coded terms: kept when the scheme is public and value and meaning are plain.

Any other term goes with its item. Where an object cannot be without it (type 1), a stand-in takes its place:
the same public code with a meaning that was judged, or for a local code a keyed pseudonym in a scheme of our
own, so that different terms stay different and nothing of a hospital's own code list leaves.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, cast

from anonymize.charsets import decoded
from anonymize.elements import Element
from anonymize.keys import ProjectKeys
from anonymize.text import TextCleaner

CODE_VALUE, SCHEME, SCHEME_VERSION, MEANING = 0x00080100, 0x00080102, 0x00080103, 0x00080104
JUDGED_TAGS = frozenset([CODE_VALUE, SCHEME, SCHEME_VERSION, MEANING])
OWN_SCHEME = "99MEDVIZ"
UNKNOWN = {CODE_VALUE: "261665006", SCHEME: "SCT", MEANING: "Unknown"}
"""Stands where a code is demanded and nothing may be said: the concept "Unknown" of SNOMED CT."""
_LONG_VALUE, _URN_VALUE = 0x00080119, 0x00080120
_CONTEXT_VERSION = 0x00080106
_LOCAL_MEANING = "Local term"
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
        "PUBCHEM_CID",
    ]
)
_PLAIN_VALUE = re.compile(r"^(?:[A-Z0-9]{1,3}-[0-9A-F]{3,6}|\d{4,18}|\d{1,7}-\d|RID\d{1,6}|C\d{4,7})$")
_UNIT_ATOM = re.compile(
    r"^(?:[fpnumcdhkMGT]?(?:m|g|s|l|L|Hz|Gy|Sv|Bq|Ci|eq|mol|V|A|W|J|K|N|T|Pa|eV|bar|kat|IU|R)"
    r"|min|h|d|wk|mo|a|deg|rad|sr|Cel|osm|HU|hnsf_U|%)?$"
)
_EDITION = re.compile(rb"^(?:19|20)\d{6}(?:000000)?[ \0]?$")
_VERSION = re.compile(r"^[0-9.\-]{0,16}$")
_OWN_VALUE = re.compile(r"^[0-9A-F]{16}$")


def is_code_item(item: tuple[Element, ...]) -> bool:
    """Return whether an item is a coded term (PS3.3 8.8)."""
    return any(element.tag in (CODE_VALUE, MEANING, _LONG_VALUE, _URN_VALUE) for element in item)


def is_version_of_standard(element: Element) -> bool:
    """Return whether an element says which edition of a context group was used: no date of a patient."""
    return element.tag == _CONTEXT_VERSION and bool(_EDITION.match(element.value))


def code_of(item: tuple[Element, ...], character_set: bytes) -> tuple[str, str]:
    """Return the scheme, in upper case, and the value of a coded term; empty when it has none."""
    texts = _texts(item, character_set)
    return texts.get(SCHEME, "").upper(), texts.get(CODE_VALUE, "")


def is_harmless(
    item: tuple[Element, ...], character_set: bytes, cleaner: TextCleaner, keys: ProjectKeys
) -> bool:
    """Return whether a coded term names a public concept and nothing of this patient."""
    texts = _texts(item, character_set)
    meaning = texts.get(MEANING, "")
    if texts.get(SCHEME) == OWN_SCHEME:
        is_said = meaning in (_LOCAL_MEANING, cleaner.cleaned(meaning))
        return is_said and _is_own(texts.get(CODE_VALUE, ""), keys)
    return _names_public(texts, cleaner) and _is_harmless_meaning(meaning, cleaner)


def stand_in(
    item: tuple[Element, ...], character_set: bytes, cleaner: TextCleaner, keys: ProjectKeys
) -> dict[int, str]:
    """Return value, scheme and meaning that take the place of a term that may not stay as it is."""
    texts = _texts(item, character_set)
    scheme, value, meaning = (texts.get(tag, "") for tag in (SCHEME, CODE_VALUE, MEANING))
    said = cleaner.cleaned(meaning)[:64].strip()
    if _names_public(texts, cleaner):
        known = _meanings(scheme).get(value, "")
        return {CODE_VALUE: value, SCHEME: scheme, MEANING: known or said or "Coded term"}
    if not (value or meaning):
        return dict(UNKNOWN)
    whole = "|".join((scheme, value, texts.get(_LONG_VALUE, ""), texts.get(_URN_VALUE, ""), meaning))
    own = _own_value(whole, keys)
    return {CODE_VALUE: own, SCHEME: OWN_SCHEME, MEANING: said or _LOCAL_MEANING}


def _texts(item: tuple[Element, ...], character_set: bytes) -> dict[int, str]:
    tags = (*JUDGED_TAGS, _LONG_VALUE, _URN_VALUE)
    return {part.tag: decoded(part.value, character_set) for part in item if part.tag in tags}


def _names_public(texts: dict[int, str], cleaner: TextCleaner) -> bool:
    scheme, value = texts.get(SCHEME, "").upper(), texts.get(CODE_VALUE, "")
    if scheme not in _PUBLIC_SCHEMES or not _VERSION.match(texts.get(SCHEME_VERSION, "")):
        return False
    if value in _meanings(texts[SCHEME]):
        return True
    is_plain = _is_unit(value) if scheme == "UCUM" else bool(_PLAIN_VALUE.match(value))
    return is_plain and not cleaner.deny.matches(value)


def _is_unit(value: str) -> bool:
    """Return whether a value is made of units of measurement only, such as ``mm2`` or ``Gy.cm2`` (UCUM)."""
    return bool(value) and all(_UNIT_ATOM.match(part) for part in re.split(r"[./*^()\d+-]|\[|\]", value))


def _is_harmless_meaning(meaning: str, cleaner: TextCleaner) -> bool:
    return meaning in _known_meanings() or cleaner.cleaned(meaning) == meaning


def _own_value(whole: str, keys: ProjectKeys) -> str:
    """Return ten digits of a keyed digest and six that check them, so that our own codes are known again."""
    digest = keys.digest("code", whole.encode("utf-8", "surrogateescape")).hex()[:10].upper()
    return digest + _check(digest, keys)


def _is_own(value: str, keys: ProjectKeys) -> bool:
    return bool(_OWN_VALUE.match(value)) and value[10:] == _check(value[:10], keys)


def _check(digest: str, keys: ProjectKeys) -> str:
    return keys.digest("code check", digest.encode()).hex()[:6].upper()


def _concepts() -> dict[str, Any]:
    from pydicom.sr._concepts_dict import concepts

    return cast("dict[str, Any]", concepts)


@lru_cache(maxsize=16)
def _meanings(scheme: str) -> dict[str, str]:
    """Return the meanings of a scheme's codes, by code value."""
    coded = _concepts().get(scheme, {}).values()
    return {value: meaning for values in coded for value, (meaning, _) in values.items()}


@lru_cache(maxsize=1)
def _known_meanings() -> frozenset[str]:
    return frozenset(meaning for name in ("DCM", "SCT", "UCUM") for meaning in _meanings(name).values())
