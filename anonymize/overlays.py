"""Graphics over a picture (PS3.3 C.9.2): read like a picture; text is taken out, the rest of a drawing stays.

An overlay that cannot be judged is dropped as a whole; so are the retired curves.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anonymize.denylist import DenyList
from anonymize.elements import Element, ParsedFile
from anonymize.pixels import TextBox, TextFinder, filled_picture
from medviz.core.errors import StudyUnreadable

_ROWS, _COLUMNS, _FRAMES, _BITS, _BIT, _DATA = 0x0010, 0x0011, 0x0015, 0x0100, 0x0102, 0x3000
_MOST_BITS = 8 << 30
_MARGIN_PX = 2
_LEAST_SIDE = 32
_LETTERS, _DIFFERENT_LETTERS = re.compile(rb"[A-Za-z]{5,}"), 4

Bits = NDArray[np.uint8]


class CleanOverlays(NamedTuple):
    """A file whose overlays hold no text, and how many frames were read, boxes cleared, overlays dropped."""

    parsed: ParsedFile
    frames: int = 0
    boxes: int = 0
    dropped: int = 0


class _Graphics(NamedTuple):
    """Bits of an overlay, shape (frames, rows, columns), 0 or 1, and what clearing them took."""

    bits: Bits
    boxes: int


def is_overlay(tag: int) -> bool:
    """Return whether a tag belongs to an overlay plane (60xx)."""
    return 0x6000 <= tag >> 16 <= 0x60FF and not tag >> 16 & 1


def without_text_in_overlays(
    parsed: ParsedFile, finder: TextFinder | None, deny: DenyList, *, keeps_graphics: bool
) -> CleanOverlays:
    """Return the file with text taken out of its overlays, and without curves.

    Parameters
    ----------
    keeps_graphics : bool
        Whether the profile cleans graphics; if not, all overlays go.
    """
    elements = tuple(element for element in parsed.elements if not 0x5000 <= element.tag >> 16 <= 0x50FF)
    result = CleanOverlays(parsed._replace(elements=elements))
    for group in sorted({element.tag >> 16 for element in elements if is_overlay(element.tag)}):
        plane = {element.tag & 0xFFFF: element for element in elements if element.tag >> 16 == group}
        cleaned = _cleaned(plane, parsed, finder, deny) if keeps_graphics and finder else None
        result = _with_plane(result, group, cleaned, parsed)
    return result


def _with_plane(
    result: CleanOverlays, group: int, cleaned: _Graphics | None, parsed: ParsedFile
) -> CleanOverlays:
    """Return the result with one more plane: its new bits, or none of its elements."""
    elements = result.parsed.elements
    if cleaned is None:
        kept = tuple(element for element in elements if element.tag >> 16 != group)
        return result._replace(parsed=result.parsed._replace(elements=kept), dropped=result.dropped + 1)
    data = np.packbits(cleaned.bits.reshape(-1), bitorder="little").tobytes()
    data += bytes(len(data) % 2)
    vr = "OW" if not parsed.encoding.is_explicit or parsed.encoding.is_little else "OB"
    new = Element(group << 16 | _DATA, vr, data, is_cleared=True)
    kept = tuple(new if element.tag == new.tag else element for element in elements)
    return CleanOverlays(
        result.parsed._replace(elements=kept),
        result.frames + len(cleaned.bits),
        result.boxes + cleaned.boxes,
        result.dropped,
    )


def _cleaned(
    plane: Mapping[int, Element], parsed: ParsedFile, finder: TextFinder, deny: DenyList
) -> _Graphics | None:
    """Return an overlay's bits without text; None when it cannot be judged."""
    bits = _bits(plane, parsed)
    if bits is None:
        return None
    count = 0
    try:
        for frame in bits:
            boxes = filled_picture(np.repeat(frame[..., None] * 255, 3, axis=2), finder, deny)[1]
            count += len(boxes)
            _clear(frame, boxes)
    except StudyUnreadable:
        return None  # text could still be read
    return _Graphics(bits, count)


def _clear(frame: Bits, boxes: tuple[TextBox, ...]) -> None:
    for box in boxes:
        margin = max(_MARGIN_PX, min(box.bottom - box.top, box.right - box.left) // 5)
        top, left = max(box.top - margin, 0), max(box.left - margin, 0)
        frame[top : box.bottom + margin, left : box.right + margin] = 0


def _bits(plane: Mapping[int, Element], parsed: ParsedFile) -> Bits | None:
    """Return an overlay's bits, shape (frames, rows, columns); None when there are none (retired form)."""
    rows, columns = _short(plane, _ROWS, parsed), _short(plane, _COLUMNS, parsed)
    frames = _count(plane)
    size = frames * rows * columns
    data = plane.get(_DATA)
    is_own = _short(plane, _BITS, parsed) in (0, 1) and _short(plane, _BIT, parsed) == 0
    if data is None or not is_own or not 0 < size <= _MOST_BITS or len(data.value) * 8 < size:
        return None
    value = data.value[: -(-size // 16) * 2]
    if not parsed.encoding.is_little and data.vr == "OW":
        value = np.frombuffer(value, ">u2").astype("<u2").tobytes()
    if min(rows, columns) < _LEAST_SIDE or _spells(value):
        return None
    ones = np.unpackbits(np.frombuffer(value, np.uint8), bitorder="little")[:size]
    return ones.reshape(frames, rows, columns)


def _spells(value: bytes) -> bool:
    """Return whether bytes hold a word, forward or with their bits turned round: no drawing but a message."""
    turned = np.packbits(np.unpackbits(np.frombuffer(value, np.uint8)), bitorder="little").tobytes()
    runs = (run for data in (value, turned) for run in _LETTERS.findall(data))
    return any(len(set(run.lower())) >= _DIFFERENT_LETTERS for run in runs)


def _short(plane: Mapping[int, Element], number: int, parsed: ParsedFile) -> int:
    value = plane[number].value[:2] if number in plane else b""
    order = "<H" if parsed.encoding.is_little else ">H"
    return int(struct.unpack(order, value)[0]) if len(value) == 2 else 0


def _count(plane: Mapping[int, Element]) -> int:
    text = plane[_FRAMES].value.strip(b" \0") if _FRAMES in plane else b""
    return max(int(text), 1) if text.isdigit() else 1
