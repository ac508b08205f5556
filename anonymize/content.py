"""Structured content: what happens to each item of a report's tree (PS3.15 E.3.4, Table E.3.4-1).

An item is known by its concept name. Listed ones follow the table; for all others the value type decides:
texts are cleaned, names become dummies, dates follow the profile, references are mapped, numbers stay.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from anonymize.charsets import decoded
from anonymize.codes import code_of
from anonymize.elements import Element, Encoding, encode_element, encode_items, read_items
from anonymize.profile import Action, Profile, table
from medviz.core.errors import StudyUnreadable

CONTENT, GRAPHICS = 0x0040A730, 0x00700001
"""Content Sequence and Graphic Annotation Sequence."""
VALUE_TYPE, CONCEPT_NAME, RELATIONSHIP = 0x0040A040, 0x0040A043, 0x0040A010
TEXT, PERSON, CODE, MEASURED, NUMBER = 0x0040A160, 0x0040A123, 0x0040A168, 0x0040A300, 0x0040A30A
_DATE_TIME, _DATE, _TIME, _UID = 0x0040A120, 0x0040A121, 0x0040A122, 0x0040A124
VALUES = frozenset([TEXT, PERSON, CODE, MEASURED, NUMBER, _DATE_TIME, _DATE, _TIME, _UID])
"""Attributes that hold an item's value."""
DUMMY_TEXT = b"REMOVED"
_LINK = (b"\x40\x00\x73\xdb", b"\x00\x40\xdb\x73")
_BY_TYPE = {"TEXT": Action.CLEAN, "PNAME": Action.DUMMY}
_GRAPHIC_LAYER, _TEXT_OBJECTS, _UNFORMATTED = 0x00700002, 0x00700008, 0x00700006


def is_content_item(item: tuple[Element, ...]) -> bool:
    """Return whether an item is a content item: a concept name and a value type (PS3.3 10.2, C.17.3)."""
    tags = {element.tag for element in item}
    return CONCEPT_NAME in tags and (VALUE_TYPE in tags or bool(tags & VALUES))


def has_links(element: Element) -> bool:
    """Return whether a tree refers to its own items by their place in it, so that no item may vanish."""
    return any(link in element.value for link in _LINK)


def action_of_item(
    item: tuple[Element, ...], profile: Profile, encoding: Encoding, character_set: bytes
) -> Action:
    """Return what happens to a content item under a profile that cleans structured content.

    An item without a concept name is judged by its value type: a container, or a reference.
    """
    value_type = text_in(item, VALUE_TYPE, character_set).upper()
    scheme, value = code_of(concept_name(item, encoding), character_set)
    listed = _listed(scheme, value, value_type)
    if listed is None:
        return _BY_TYPE.get(value_type, Action.JUDGE)
    chosen = {listed["options"][option] for option in profile.options if option in listed["options"]}
    if chosen:
        return Action.CLEAN if "C" in chosen else Action.KEEP
    return Action.REMOVE if listed["basic"] == "X" else Action.DUMMY


def text_in(item: tuple[Element, ...], tag: int, character_set: bytes) -> str:
    """Return a value of an item as text; empty when it has none."""
    value = next((element.value for element in item if element.tag == tag), b"")
    return decoded(value, character_set) if value else ""


def concept_name(item: tuple[Element, ...], encoding: Encoding) -> tuple[Element, ...]:
    """Return the code that names an item; nothing when it has none or it cannot be read."""
    named = next((element for element in item if element.tag == CONCEPT_NAME), None)
    try:
        return next(iter(read_items(named, encoding)), ()) if named else ()
    except StudyUnreadable:
        return ()


@lru_cache(maxsize=4096)
def _listed(scheme: str, value: str, value_type: str) -> dict[str, Any] | None:
    """Return the row of Table E.3.4-1 for a concept; the one of its value type where there are several."""
    rows = _rows().get((scheme, value), [])
    return next((row for row in rows if row["value_type"] == value_type), rows[0] if rows else None)


@lru_cache(maxsize=1)
def _rows() -> dict[tuple[str, str], list[dict[str, Any]]]:
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in table()["content"]:
        found.setdefault((row["scheme"].upper(), row["code"]), []).append(row)
    return found


def dummy_text_item(code: bytes, relationship: bytes, encoding: Encoding) -> bytes:
    """Return a content item that says only that something was removed; `code` is an encoded code item."""
    parts = (
        (RELATIONSHIP, "CS", relationship),
        (VALUE_TYPE, "CS", b"TEXT"),
        (CONCEPT_NAME, "SQ", encode_items([code], encoding)),
        (TEXT, "UT", DUMMY_TEXT),
    )
    return b"".join(encode_element(tag, vr, value, encoding) for tag, vr, value in parts)


def dummy_graphic_item(layer: bytes, encoding: Encoding) -> bytes:
    """Return an annotation that says only that something was removed, in the picture's corner."""
    anchor = (
        (0x00700004, "CS", b"DISPLAY"),
        (_UNFORMATTED, "ST", DUMMY_TEXT),
        (0x00700014, "FL", bytes(8)),
        (0x00700015, "CS", b"N"),
    )
    text = b"".join(encode_element(tag, vr, value, encoding) for tag, vr, value in anchor)
    parts = ((_GRAPHIC_LAYER, "CS", layer), (_TEXT_OBJECTS, "SQ", encode_items([text], encoding)))
    return b"".join(encode_element(tag, vr, value, encoding) for tag, vr, value in parts)


def graphic_layer(item: tuple[Element, ...]) -> bytes:
    """Return the name of the layer that an annotation lies on."""
    return next((element.value for element in item if element.tag == _GRAPHIC_LAYER), b"")
