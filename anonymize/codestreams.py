"""Comments inside compressed pixels: blanked in place, so that every decoded value and offset stays.

JPEG and JPEG-LS (ISO/IEC 10918-1 B.2.4, 14495-1) and JPEG 2000 (15444-1 A.9) allow comments and application
data, which writers fill with what they please; and bytes may follow the end of a stream.
"""

from __future__ import annotations

_JPEG_START, _J2K_START, _END = b"\xff\xd8", b"\xff\x4f", b"\xff\xd9"
_JPEG_COMMENT, _JPEG_SCAN, _J2K_COMMENT, _J2K_TILE = 0xFE, 0xDA, 0x64, 0x90
_NEEDED = (b"JFIF\0", b"Adobe", b"mrfx")  # resolution, colour transforms that decoders obey
_NEEDED_BYTES = 14


def without_comments(fragment: bytes) -> bytes:
    """Return a fragment of encapsulated pixel data, of the same length, with its comments blanked.

    A fragment that starts neither a JPEG nor a JPEG 2000 stream comes back as it is.
    """
    if fragment[:2] not in (_JPEG_START, _J2K_START):
        return fragment
    blank = bytearray(fragment)
    position = 2
    while position + 4 <= len(blank) and blank[position] == 0xFF:
        marker = blank[position + 1]
        if marker in (_JPEG_SCAN, _J2K_TILE):
            break
        end = position + 2 + int.from_bytes(blank[position + 2 : position + 4], "big")
        _blank_segment(blank, marker, position + 4, min(end, len(blank)))
        position = end
    _blank_tail(blank)
    return bytes(blank)


def _blank_segment(stream: bytearray, marker: int, start: int, end: int) -> None:
    """Blank a comment or application segment from `start` to `end`; any other stays."""
    if stream[:2] == _J2K_START:
        if marker != _J2K_COMMENT:
            return
        start += 2  # the registration value says that text follows
    elif 0xE0 <= marker <= 0xEF:
        start += _NEEDED_BYTES if bytes(stream[start : start + 5]).startswith(_NEEDED) else 0
    elif marker != _JPEG_COMMENT:
        return
    stream[start:end] = b" " * max(end - start, 0)


def _blank_tail(stream: bytearray) -> None:
    """Blank what follows the end of the stream."""
    end = stream.rfind(_END)
    if end >= 0:
        stream[end + 2 :] = bytes(len(stream) - end - 2)
