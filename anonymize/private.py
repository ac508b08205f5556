"""Private elements known to be safe: found by their creator, their blocks numbered anew (PS3.15 E.3.10).

The list is facts: the standard's own sample (Table E.3.10-1) and what The Cancer Imaging Archive keeps. Being
on the list is not enough to leave: each value is judged by its VR like any other, and bytes never leave.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from anonymize.elements import Element

_LIST = Path(__file__).with_name("safe_private.json")
_FIRST_BLOCK, _LAST_BLOCK = 0x10, 0xFF


class SafeElement(NamedTuple):
    """A private element that may be judged, its block numbered anew, and the VR it is meant to have."""

    element: Element
    vr: str
    is_creator: bool = False


@lru_cache(maxsize=1)
def safe_list() -> dict[tuple[str, int, int], str]:
    """Return the VR of each safe element by its creator, group and number within the block."""
    document = json.loads(_LIST.read_text(encoding="utf-8"))
    return {
        (creator, int(group, 16), int(number, 16)): vr
        for source in ("tcia", "standard")
        for creator, groups in document[source].items()
        for group, elements in groups.items()
        for number, vr in elements.items()
    }


def safe_elements(elements: Iterable[Element]) -> list[SafeElement]:
    """Return the safe private elements of one data set or item with the creators they need, by tag.

    A creator must be spelled exactly as listed. Elements without a creator, or whose creator stands in
    another item, are not among them.
    """
    private = [element for element in elements if element.tag >> 16 & 1]
    found: list[SafeElement] = []
    for group in sorted({element.tag >> 16 for element in private}):
        found += _of_group(group, [element for element in private if element.tag >> 16 == group])
    return found


def _of_group(group: int, elements: Sequence[Element]) -> list[SafeElement]:
    creators = {element.tag & 0xFF: element.value for element in elements if _is_creator(element)}
    kept: list[SafeElement] = []
    new_block = _FIRST_BLOCK
    for block, raw_creator in sorted(creators.items()):
        creator = raw_creator.decode("latin-1").strip(" \0")
        members = [element for element in elements if element.tag >> 8 & 0xFF == block]
        listed = [(one, safe_list().get((creator, group, one.tag & 0xFF), "")) for one in members]
        safe = [(one, vr) for one, vr in listed if vr]
        if not safe:
            continue
        reservation = Element(group << 16 | new_block, "LO", creator.encode("latin-1"))
        kept.append(SafeElement(reservation, "LO", is_creator=True))
        start = group << 16 | new_block << 8
        kept += [SafeElement(one._replace(tag=start | one.tag & 0xFF), vr) for one, vr in safe]
        new_block += 1
    return sorted(kept, key=lambda one: one.element.tag)


def _is_creator(element: Element) -> bool:
    """Return whether an element reserves a block (PS3.5 7.8.1)."""
    return _FIRST_BLOCK <= element.tag & 0xFFFF <= _LAST_BLOCK and element.vr in ("LO", "UN", "SH", "CS")
