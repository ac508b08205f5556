"""DICOM bytes to elements and back (PS3.5 section 7), without ever copying or decoding the pixels.

Own code rather than a reader's objects, because a file is clean only if every byte written was judged: what
this module does not return cannot reach the output.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from functools import lru_cache
from typing import NamedTuple

from pydicom.datadict import dictionary_has_tag, dictionary_VR, repeater_has_tag

from medviz.core.errors import StudyUnreadable

Buffer = bytes | mmap.mmap

UNDEFINED = 0xFFFFFFFF
PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
LAST_PIXEL_TAG = 0x7FE00010
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
MOST_DEPTH = 32
MOST_INFLATED_BYTES = 8 << 30

_MOST_SHORT_BYTES = 65534
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG_VRS = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"])
_SHORT_VRS = frozenset(
    [
        *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO"),
        *("LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"),
    ]
)


class Encoding(NamedTuple):
    """How a data set is written: explicit or implicit VR, little or big endian."""

    is_explicit: bool
    is_little: bool


class Element(NamedTuple):
    """One data element: its tag, VR, and value as it stood in the file (a sequence's items undecoded).

    `implicit_inside` marks a sequence sent as UN, whose items are implicit little endian (PS3.5 6.2.2).
    `is_cleared` marks bytes that a room of their own has judged and made clean: a document, an overlay's
    bitmap. They may leave as they are; the same bytes without the mark may not.
    """

    tag: int
    vr: str
    value: bytes
    implicit_inside: bool = False
    is_cleared: bool = False


class PixelSpan(NamedTuple):
    """Where the pixel element lies in the file.

    `start` to `end` is the whole element with its header; `value_start` to `end` its value. Encapsulated
    pixel data has undefined length.
    """

    tag: int
    start: int
    value_start: int
    end: int
    is_encapsulated: bool


class ParsedFile(NamedTuple):
    """A file taken apart: File Meta, data set, where the pixels are, and what followed them.

    `buffer` is what the pixel span points into: the file, or its inflated content.
    """

    buffer: Buffer
    meta: tuple[Element, ...]
    syntax: str
    encoding: Encoding
    elements: tuple[Element, ...]
    pixels: PixelSpan | None
    trailing_tags: tuple[int, ...]


def broken(reason: str = "TRUNCATED") -> StudyUnreadable:
    """Return the error for a file whose structure cannot be followed."""
    return StudyUnreadable(
        "A file of the study is broken.", reason=reason, mend="Send the study again from the archive."
    )


def parse_file(buffer: Buffer) -> ParsedFile:
    """Return the elements of a DICOM file, with or without preamble and File Meta.

    Raises
    ------
    StudyUnreadable
        ``NOT_DICOM`` when it does not look like DICOM, ``TRUNCATED`` when an element runs past the end,
        ``UNREADABLE`` when its structure is nonsense.
    """
    try:
        return _parse_file(buffer)
    except (struct.error, IndexError):
        raise broken() from None
    except (zlib.error, RecursionError):
        raise broken("UNREADABLE") from None


def looks_like_dicom(head: bytes) -> bool:
    """Return whether a file that starts like this is DICOM: by its preamble, File Meta, or first elements."""
    if head[128:132] == b"DICM":
        return True
    if head[:4] == b"\x02\x00\x00\x00" and head[4:6] == b"UL":
        return True
    return _guess_encoding(head, 0) is not None


def readable_part(buffer: Buffer) -> tuple[Element, ...]:
    """Return the top-level elements in front of the place where a broken file breaks off."""
    found: list[Element] = []
    try:
        _, position = _read_meta(buffer, 132 if buffer[128:132] == b"DICM" else 0)
        encoding = _guess_encoding(buffer, position)
        reader = _Reader(buffer, encoding or Encoding(True, True), len(buffer))
        while encoding and reader.tag(position) not in PIXEL_TAGS:
            element, position = reader.element(position)
            found.append(element)
    except (struct.error, IndexError, RecursionError, StudyUnreadable):
        pass
    return tuple(found)


def _parse_file(buffer: Buffer) -> ParsedFile:
    start = 132 if buffer[128:132] == b"DICM" else 0
    meta, position = _read_meta(buffer, start)
    syntax = _uid_value(meta, 0x00020010)
    if syntax == DEFLATED:
        buffer, position = _inflate(bytes(buffer[position:])), 0
    encoding = _encoding_of(syntax) if syntax else _guess_encoding(buffer, position)
    if encoding is None:
        raise broken("NOT_DICOM" if start == 0 else "UNREADABLE")
    if not syntax:
        syntax = _plain_syntax(encoding)
    elements, pixels, trailing = _read_data_set(buffer, position, encoding)
    return ParsedFile(buffer, meta, syntax, encoding, elements, pixels, trailing)


def _read_meta(buffer: Buffer, position: int) -> tuple[tuple[Element, ...], int]:
    reader = _Reader(buffer, Encoding(True, True), len(buffer))
    elements = []
    while position + 8 <= len(buffer) and buffer[position : position + 2] == b"\x02\x00":
        element, position = reader.element(position)
        elements.append(element)
    return tuple(elements), position


def _uid_value(elements: tuple[Element, ...], tag: int) -> str:
    found = next((element.value for element in elements if element.tag == tag), b"")
    return found.rstrip(b"\0 ").decode("ascii", "replace")


def _encoding_of(syntax: str) -> Encoding:
    return Encoding(syntax != IMPLICIT_LITTLE, syntax != EXPLICIT_BIG)


def _plain_syntax(encoding: Encoding) -> str:
    if not encoding.is_explicit:
        return IMPLICIT_LITTLE
    return EXPLICIT_LITTLE if encoding.is_little else EXPLICIT_BIG


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    result = inflater.decompress(data, MOST_INFLATED_BYTES)
    if inflater.unconsumed_tail:
        raise broken("UNREADABLE")
    return result


def _guess_encoding(buffer: Buffer, position: int) -> Encoding | None:
    """Return the encoding under which the first elements make sense, for files without File Meta."""
    for encoding in (Encoding(True, True), Encoding(False, True), Encoding(True, False)):
        if _is_plausible(buffer, position, encoding):
            return encoding
    return None


def _is_plausible(buffer: Buffer, position: int, encoding: Encoding) -> bool:
    """Return whether at least three known elements of group 0008 and on follow in rising order."""
    reader, previous = _Reader(buffer, encoding, len(buffer)), 0
    for _ in range(3):
        try:
            vr = buffer[position + 4 : position + 6].decode("latin-1")
            if encoding.is_explicit and vr not in _LONG_VRS | _SHORT_VRS:
                return False
            element, position = reader.element(position)
        except (struct.error, IndexError, StudyUnreadable, RecursionError):
            return False
        if not (previous < element.tag and 0x0008 <= element.tag >> 16 <= 0x0020 and known_vr(element.tag)):
            return False
        previous = element.tag
    return True


def _read_data_set(
    buffer: Buffer, position: int, encoding: Encoding
) -> tuple[tuple[Element, ...], PixelSpan | None, tuple[int, ...]]:
    reader = _Reader(buffer, encoding, len(buffer))
    elements: list[Element] = []
    trailing: list[int] = []
    pixels: PixelSpan | None = None
    while position < len(buffer):
        if len(buffer) - position < 8 and not any(buffer[position:]):
            break  # zero bytes that some archives append
        tag = reader.tag(position)
        if tag in PIXEL_TAGS and pixels is None:
            pixels = reader.pixel_span(position)
            position = pixels.end
            continue
        element, position = reader.element(position)
        if pixels is None and tag <= LAST_PIXEL_TAG:
            elements.append(element)
        else:
            trailing.append(tag)
    return tuple(elements), pixels, tuple(trailing)


def read_items(element: Element, encoding: Encoding) -> tuple[tuple[Element, ...], ...]:
    """Return the items of a sequence element, each a tuple of elements.

    Raises
    ------
    StudyUnreadable
        If the items cannot be followed.
    """
    inside = Encoding(False, True) if element.implicit_inside else encoding
    reader = _Reader(element.value, inside, len(element.value))
    try:
        return tuple(reader.items())
    except (struct.error, IndexError):
        raise broken("UNREADABLE") from None


class _Reader:
    """Reads elements of one encoding from a buffer up to `end`."""

    __slots__ = ("buffer", "encoding", "end", "length2", "length4", "pair")

    def __init__(self, buffer: Buffer, encoding: Encoding, end: int) -> None:
        order = "<" if encoding.is_little else ">"
        self.buffer, self.encoding, self.end = buffer, encoding, end
        self.pair = struct.Struct(order + "HH").unpack_from
        self.length2 = struct.Struct(order + "H").unpack_from
        self.length4 = struct.Struct(order + "L").unpack_from

    def tag(self, position: int) -> int:
        group, number = self.pair(self.buffer, position)
        return int(group << 16 | number)

    def element(self, position: int, depth: int = 0) -> tuple[Element, int]:
        tag, vr, length, start = self.header(position)
        if length == UNDEFINED:
            inside = vr == "UN" and self.encoding.is_explicit
            reader = _Reader(self.buffer, Encoding(False, True), self.end) if inside else self
            end, after = reader.skip_sequence(start, depth + 1)
            return Element(tag, "SQ", bytes(self.buffer[start:end]), inside), after
        after = start + length
        if after > self.end:
            raise broken()
        return Element(tag, vr, bytes(self.buffer[start:after])), after

    def header(self, position: int) -> tuple[int, str, int, int]:
        """Return tag, VR, length and where the value starts."""
        tag = self.tag(position)
        if not self.encoding.is_explicit or tag >> 16 == 0xFFFE:
            return tag, known_vr(tag) or "UN", self.length4(self.buffer, position + 4)[0], position + 8
        vr = self.buffer[position + 4 : position + 6].decode("latin-1")
        if vr in _LONG_VRS:
            return tag, vr, self.length4(self.buffer, position + 8)[0], position + 12
        if vr in _SHORT_VRS or (vr.isalpha() and vr.isupper()):
            return tag, vr, self.length2(self.buffer, position + 6)[0], position + 8
        return self._header_without_vr(tag, position)

    def _header_without_vr(self, tag: int, position: int) -> tuple[int, str, int, int]:
        """Some writers leave the VR blank (then two length bytes follow) or fall back to implicit VR."""
        if self.buffer[position + 4 : position + 6] in (b"  ", b"\0\0", b"??", b"--"):
            return tag, known_vr(tag) or "UN", self.length2(self.buffer, position + 6)[0], position + 8
        length = self.length4(self.buffer, position + 4)[0]
        if position + 8 + length > self.end:
            raise broken("UNREADABLE")
        return tag, known_vr(tag) or "UN", length, position + 8

    def skip_sequence(self, position: int, depth: int) -> tuple[int, int]:
        """Return where the items of an undefined-length sequence end, and where the next element starts."""
        if depth > MOST_DEPTH:
            raise broken("UNREADABLE")
        while True:
            tag, length = self.tag(position), self.length4(self.buffer, position + 4)[0]
            if tag == _SEQUENCE_END:
                return position, position + 8
            if tag != _ITEM:
                raise broken("UNREADABLE")
            position = self.skip_item(position + 8, length, depth)
            if position > self.end:
                raise broken()

    def skip_item(self, position: int, length: int, depth: int) -> int:
        if length != UNDEFINED:
            return position + int(length)
        while self.tag(position) != _ITEM_END:
            position = self.element(position, depth)[1]
        return position + 8

    def items(self) -> list[tuple[Element, ...]]:
        found, position = [], 0
        while position < self.end:
            if self.tag(position) == _SEQUENCE_END:
                break
            if self.tag(position) != _ITEM:
                raise broken("UNREADABLE")
            length = self.length4(self.buffer, position + 4)[0]
            elements, position = self.item(position + 8, length)
            found.append(elements)
        return found

    def item(self, position: int, length: int) -> tuple[tuple[Element, ...], int]:
        elements = []
        end = self.end if length == UNDEFINED else position + int(length)
        if end > self.end:
            raise broken("UNREADABLE")
        while position < end:
            if self.tag(position) == _ITEM_END:
                position += 8
                break
            element, position = self.element(position)
            elements.append(element)
        return tuple(elements), position

    def pixel_span(self, position: int) -> PixelSpan:
        tag, _, length, start = self.header(position)
        if length != UNDEFINED:
            if start + length > self.end:
                raise broken()
            return PixelSpan(tag, position, start, start + int(length), False)
        end = start
        while (item := self.tag(end)) != _SEQUENCE_END:
            if item != _ITEM:
                raise broken("UNREADABLE")
            end += 8 + int(self.length4(self.buffer, end + 4)[0])
            if end + 8 > self.end:
                raise broken()
        return PixelSpan(tag, position, start, end + 8, True)


@lru_cache(maxsize=8192)
def known_vr(tag: int) -> str:
    """Return the VR that the standard's dictionary gives a public tag; empty when it has none.

    Repeating groups (50xx, 60xx) count as known.
    """
    if tag >> 16 & 1:
        return ""
    if tag & 0xFFFF == 0:
        return "UL"
    if not dictionary_has_tag(tag) and not repeater_has_tag(tag):
        return ""
    return str(dictionary_VR(tag))


def encode_element(tag: int, vr: str, value: bytes, encoding: Encoding) -> bytes:
    """Return one element as bytes; an odd value gets the padding byte of its VR (PS3.5 6.2).

    A value too long for the two-byte length of its VR is written as UN (PS3.5 6.2.2).
    """
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB", "UN") else b" "
    order = "<" if encoding.is_little else ">"
    group, number = tag >> 16, tag & 0xFFFF
    if not encoding.is_explicit:
        return struct.pack(order + "HHL", group, number, len(value)) + value
    if vr not in _LONG_VRS and len(value) > _MOST_SHORT_BYTES:
        vr = "UN"
    if vr in _LONG_VRS:
        return struct.pack(order + "HH2sHL", group, number, vr.encode(), 0, len(value)) + value
    return struct.pack(order + "HH2sH", group, number, vr.encode(), len(value)) + value


def encode_items(items: list[bytes], encoding: Encoding) -> bytes:
    """Return the value of a sequence whose items are already encoded."""
    order = "<" if encoding.is_little else ">"
    return b"".join(struct.pack(order + "HHL", 0xFFFE, 0xE000, len(item)) + item for item in items)
