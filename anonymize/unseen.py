"""What a file can carry beside its pixels without anyone seeing it: taken off, the visible values unchanged.

Graphics in bits that the values do not use, fragments behind the last frame, text in offset tables, palettes
longer than they say they are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from anonymize import headers
from anonymize.elements import RLE, Element, ParsedFile, broken
from anonymize.pictures import (
    OFFSET_TABLES,
    PHOTOMETRIC,
    Frames,
    Layout,
    fragments_by_frame,
    fragments_of,
    layout_of,
    within_bits,
)
from anonymize.rewriting import Rewritten, encapsulated, masked_words, with_frames

_DESCRIPTORS, _TABLES, _SEGMENTED = 0x00281101, 0x00281201, range(0x00281221, 0x00281224)
_JPEG_PRECISION_MARKERS = frozenset([*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), 0xF7])
_HIDDEN = "graphics in unused bits of the pixels were removed"


def without_unseen(parsed: ParsedFile) -> Rewritten:
    """Return a file whose pixel element and palettes hold nothing but what is seen.

    Raises
    ------
    StudyUnreadable
        ``PIXELS_UNREADABLE`` when that cannot be told, ``TOO_LARGE``.
    """
    parsed = parsed._replace(elements=tuple(_with_exact_palettes(parsed)))
    if parsed.pixels is None:
        return Rewritten(parsed)
    layout = layout_of(parsed)
    if not parsed.pixels.is_encapsulated:
        kept = tuple(element for element in parsed.elements if element.tag not in OFFSET_TABLES)
        words = masked_words(parsed._replace(elements=kept), layout)
        return (
            Rewritten(words, (_HIDDEN,)) if words is not None else Rewritten(parsed._replace(elements=kept))
        )
    return _without_unused_bits(_with_frames_only(parsed, layout), layout)


def _with_frames_only(parsed: ParsedFile, layout: Layout) -> ParsedFile:
    """Return the file without fragments of no frame and with offset tables that are true."""
    streams = fragments_by_frame(parsed, layout.frames)
    fragments, basic = fragments_of(parsed)
    starts = [frame[0][0] - 8 - (fragments[0][0] - 8) for frame in streams]
    is_true = basic == b"" or basic == struct.pack(
        f"<{len(starts)}L", *(start % (1 << 32) for start in starts)
    )
    has_all = sum(map(len, streams)) == len(fragments)
    extended = {element.tag: element.value for element in parsed.elements if element.tag in OFFSET_TABLES}
    lengths = [sum(end - start for start, end in frame) for frame in streams]
    wanted = {OFFSET_TABLES[0]: starts, OFFSET_TABLES[1]: lengths}
    if any(value != struct.pack(f"<{len(starts)}Q", *wanted[tag]) for tag, value in extended.items()):
        is_true = False
    if is_true and has_all:
        return parsed
    joined = (b"".join(bytes(parsed.buffer[a:b]) for a, b in frame) for frame in streams)
    return encapsulated(parsed, joined, layout.frames)


def _without_unused_bits(parsed: ParsedFile, layout: Layout) -> Rewritten:
    """Return a compressed file whose decoded values stay within the bits they use."""
    if layout.stored >= layout.allocated or _precision(parsed, layout) <= layout.stored:
        return Rewritten(parsed)
    frames = Frames(parsed, keeps_all_bits=True)
    changed = list(_frames_with_more_bits(frames))
    if not changed:
        return Rewritten(parsed)
    inside = Frames(parsed)
    result = with_frames(parsed, ((index, inside[index]) for index in changed))
    return Rewritten(result.parsed, (*result.notes, _HIDDEN))


def _frames_with_more_bits(frames: Frames) -> Iterator[int]:
    for index, frame in enumerate(frames):
        if not np.array_equal(frame, within_bits(frame, frames.layout)):
            yield index


def _precision(parsed: ParsedFile, layout: Layout) -> int:
    """Return how many bits a sample of the first compressed frame has, by its own stream."""
    if parsed.syntax == RLE:
        return layout.allocated
    start, end = fragments_by_frame(parsed, layout.frames)[0][0]
    head = bytes(parsed.buffer[start : min(end, start + 65536)])
    if head[:4] == b"\xff\x4f\xff\x51" and len(head) > 42:
        return (head[42] & 0x7F) + 1  # Ssiz (15444-1 A.5.1)
    position = 2
    while head[:2] == b"\xff\xd8" and position + 5 < len(head) and head[position] == 0xFF:
        if head[position + 1] in _JPEG_PRECISION_MARKERS:
            return head[position + 4]
        position += 2 + int.from_bytes(head[position + 2 : position + 4], "big")
    return layout.allocated


def _with_exact_palettes(parsed: ParsedFile) -> Iterator[Element]:
    """Give the elements with each palette as long as its descriptor says (PS3.3 C.7.6.3.1.5)."""
    values = {element.tag: element.value for element in parsed.elements}
    is_palette = headers.text_of(parsed, PHOTOMETRIC) == "PALETTE COLOR"
    if is_palette and any(tag in values for tag in _SEGMENTED):
        raise broken("PIXELS_UNREADABLE")
    order = "<" if parsed.encoding.is_little else ">"
    for element in parsed.elements:
        number = element.tag - _TABLES
        if element.tag in _SEGMENTED:
            continue
        if not 0 <= number <= 3:
            yield element
            continue
        descriptor = values.get(_DESCRIPTORS + number, b"")[:6]
        if len(descriptor) == 6:
            entries, _, bits = struct.unpack(order + "3H", descriptor)
            size = (entries or 65536) * (2 if bits > 8 or len(element.value) >= 2 * (entries or 65536) else 1)
            yield element._replace(value=element.value[: size + size % 2])
