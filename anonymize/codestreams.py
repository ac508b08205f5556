"""Comments inside compressed pixels: blanked in place, so that every decoded value and offset stays.

JPEG and JPEG-LS (ISO/IEC 10918-1 B.2.4, 14495-1) and JPEG 2000 (15444-1 A.9, I.7) allow comments and
application data anywhere between their segments, which writers fill with what they please; RLE (PS3.5 annex
G) leaves gaps between and behind its segments; and bytes may follow the end of a stream.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import pairwise

_JPEG_START, _J2K_START, _JP2_START = b"\xff\xd8", b"\xff\x4f", b"\0\0\0\x0cjP  "
_STARTS = (_JPEG_START, _J2K_START, _JP2_START)
_JPEG_COMMENT, _JPEG_SCAN, _JPEG_END = 0xFE, 0xDA, 0xD9
_J2K_COMMENT, _J2K_TILE, _J2K_DATA, _J2K_END = 0x64, 0x90, 0x93, 0xD9
_EXTENSIONS = frozenset([*range(0xF0, 0xF7), *range(0xF9, 0xFE)])  # F7, F8 are JPEG-LS's own
_NEEDED = {b"JFIF\0": 14, b"Adobe": 12, b"mrfx": 5}  # resolution, colour transforms that decoders obey
_NEXT_MARKER = re.compile(rb"\xff+[\x80-\xcf\xd8-\xfe]")  # not stuffing, not a restart (B.1.1.3)
_PIECE = 16 << 20
_KEPT_BOXES = frozenset([b"jP  ", b"ftyp", b"jp2h"])


def starts_picture(fragment: bytes | memoryview) -> bool:
    """Return whether a fragment begins a JPEG, JPEG-LS or JPEG 2000 stream."""
    return bytes(fragment[:8]).startswith(_STARTS)


def fragments_without_comments(value: memoryview, *, rle_pixels: int = 0) -> Iterator[bytes]:
    """Give the items of encapsulated pixel data, their delimiter last, with comments blanked.

    A picture that is cut into several fragments is cleaned as a whole, so that nothing hides at a cut.

    Parameters
    ----------
    value : memoryview
        The value of the pixel element: items and the sequence delimiter (PS3.5 A.4).
    rle_pixels : int
        Rows times columns when the transfer syntax is RLE Lossless; otherwise 0.
    """
    waiting: list[tuple[bytes, bytes]] = []
    position = 0
    while position < len(value):
        head, length = bytes(value[position : position + 8]), _length_at(value, position + 4)
        fragment = value[position + 8 : position + 8 + length]
        goes_on = bool(waiting) and head[:4] == b"\xfe\xff\x00\xe0" and not starts_picture(fragment)
        if not goes_on:
            yield from _cleaned(waiting)
            waiting = []
        if goes_on or starts_picture(fragment):
            waiting.append((head, bytes(fragment)))
        elif rle_pixels:
            yield head + without_gaps(bytes(fragment), rle_pixels)
        else:
            yield head
            yield from (bytes(fragment[at : at + _PIECE]) for at in range(0, length, _PIECE))
        position += 8 + length
    yield from _cleaned(waiting)


def _length_at(value: memoryview, position: int) -> int:
    return int.from_bytes(value[position : position + 4], "little")


def _cleaned(parts: list[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """Give the fragments of one picture, with their item headers, cleaned as one stream."""
    whole = without_comments(b"".join(fragment for _, fragment in parts)) if parts else b""
    position = 0
    for head, fragment in parts:
        yield head + whole[position : position + len(fragment)]
        position += len(fragment)


def without_comments(stream: bytes) -> bytes:
    """Return a compressed picture, of the same length, with its comments and its tail blanked.

    What starts neither a JPEG nor a JPEG 2000 stream comes back as it is.
    """
    blank = bytearray(stream)
    if stream.startswith(_JPEG_START):
        end = _blank_jpeg(blank)
    elif stream.startswith(_J2K_START):
        end = _blank_j2k(blank, 0, len(blank))
    elif stream.startswith(_JP2_START):
        end = _blank_boxes(blank)
    else:
        return stream
    blank[end:] = bytes(len(blank) - end)
    return bytes(blank)


def _blank_jpeg(stream: bytearray) -> int:
    """Blank comments between all segments of a JPEG or JPEG-LS stream and return where it ends."""
    position = 2
    while found := _NEXT_MARKER.search(stream, position):
        stream[position : found.start()] = b"\xff" * (found.start() - position)  # fill bytes (B.1.1.2)
        marker, position = stream[found.end() - 1], found.end()
        if marker == _JPEG_END:
            return position
        if position + 2 > len(stream) or marker == 0xD8:
            continue
        end = min(position + max(int.from_bytes(stream[position : position + 2], "big"), 2), len(stream))
        _blank_segment(stream, marker, position + 2, end)
        position = end
        if marker == _JPEG_SCAN:
            position = _end_of_scan(stream, end)
    return len(stream)


def _end_of_scan(stream: bytearray, start: int) -> int:
    """Return where entropy-coded data ends: at the next marker."""
    found = _NEXT_MARKER.search(stream, start)
    return found.start() if found else len(stream)


def _blank_segment(stream: bytearray, marker: int, start: int, end: int) -> None:
    """Blank a comment or application segment from `start` to `end`; any other stays."""
    if 0xE0 <= marker <= 0xEF:
        head = bytes(stream[start : start + 5])
        start += next((size for name, size in _NEEDED.items() if head.startswith(name)), 0)
    elif marker != _JPEG_COMMENT and marker not in _EXTENSIONS:
        return
    stream[start:end] = b" " * max(end - start, 0)


def _blank_j2k(stream: bytearray, start: int, stop: int) -> int:
    """Blank comments in the main and all tile-part headers of a codestream and return where it ends."""
    position, tile_end = start + 2, stop
    while position + 2 <= stop and stream[position] == 0xFF:
        marker = stream[position + 1]
        if marker == _J2K_END:
            return position + 2
        if marker == _J2K_DATA:
            position = tile_end
            continue
        end = position + 2 + int.from_bytes(stream[position + 2 : position + 4], "big")
        if marker == _J2K_TILE:
            length = int.from_bytes(stream[position + 6 : position + 10], "big")
            tile_end = position + length if length else _last_end(stream, stop)
        elif marker == _J2K_COMMENT:  # its first two bytes say that text follows
            stream[position + 6 : min(end, stop)] = b" " * max(min(end, stop) - position - 6, 0)
        position = end
    return _last_end(stream, stop) + 2


def _last_end(stream: bytearray, stop: int) -> int:
    found = stream.rfind(b"\xff\xd9", 0, stop)
    return found if found >= 0 else stop


def _blank_boxes(stream: bytearray) -> int:
    """Blank the boxes around a JPEG 2000 codestream that decoders do not need (15444-1 annex I)."""
    position, end = 0, len(stream)
    while position + 8 <= len(stream):
        length = int.from_bytes(stream[position : position + 4], "big")
        name = bytes(stream[position + 4 : position + 8])
        head = 16 if length == 1 else 8
        if length == 1:
            length = int.from_bytes(stream[position + 8 : position + 16], "big")
        after = len(stream) if length == 0 else min(position + max(length, head), len(stream))
        if name == b"jp2c":
            end = _blank_j2k(stream, position + head, after)
            stream[end:after] = bytes(after - end)
        elif name not in _KEPT_BOXES:
            stream[position + head : after] = bytes(max(after - position - head, 0))
        position = after
    return max(end, position)


def without_gaps(frame: bytes, pixels: int) -> bytes:
    """Return an RLE frame, of the same length, with zeros where no run lies (PS3.5 G.3 to G.5).

    Each segment's runs are followed until they make `pixels` bytes; what cannot be followed stays as it is,
    for the decoder to judge.
    """
    if len(frame) < 64:
        return frame
    count, *offsets = struct.unpack("<16L", frame[:64])
    starts = [*offsets[:count], len(frame)]
    if not 1 <= count <= 15 or starts != sorted(starts) or starts[0] < 64:
        return frame
    blank = bytearray(len(frame))
    blank[: 4 + 4 * count] = frame[: 4 + 4 * count]
    for start, limit in pairwise(starts):
        end = _end_of_runs(frame, start, limit, pixels)
        blank[start:end] = frame[start:end]
    return bytes(blank)


def _end_of_runs(frame: bytes, position: int, limit: int, pixels: int) -> int:
    """Return where the runs of a segment have made `pixels` bytes, at most `limit`."""
    made = 0
    while made < pixels and position < limit:
        head = frame[position]
        if head < 128:
            made, position = made + head + 1, position + head + 2
        else:
            made, position = made + (257 - head if head > 128 else 0), position + (2 if head > 128 else 1)
    return min(position, limit)
