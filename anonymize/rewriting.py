"""Changed frames put back into a file, frame by frame, without loss.

What was native stays native. What was compressed without loss is compressed again in the same syntax, and the
result is decoded to prove it. Where that is not possible the pixels are stored without loss in another way,
and the caller is told. Frames that did not change keep their bytes wherever the syntax allows.
"""

from __future__ import annotations

import logging
import mmap
import struct
import tempfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from anonymize.elements import (
    EXPLICIT_LITTLE,
    RLE,
    Buffer,
    Element,
    ParsedFile,
    PixelSpan,
    broken,
)
from anonymize.pictures import (
    OFFSET_TABLES,
    PHOTOMETRIC,
    PLANAR,
    Frames,
    Layout,
    Pixels,
    codec_options,
    decompress,
    stored_type,
    swaps_bytes,
)
from medviz.core.errors import StudyUnreadable

JPEG_LS, JPEG_LS_NEAR = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"
J2K, J2K_LOSSY = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"
_ENCODED_WITH = {RLE: RLE, JPEG_LS: JPEG_LS, JPEG_LS_NEAR: JPEG_LS_NEAR, J2K: J2K, J2K_LOSSY: J2K}
_NAMES = {JPEG_LS: "JPEG-LS", EXPLICIT_LITTLE: "no compression"}
MOST_PLAIN_BYTES = 256 << 20
"""Pixels up to this size are stored plainly when their own syntax cannot take them back."""
MOST_BYTES = 64 << 30
"""Pixels beyond this size are not rewritten; the file is held."""
_IN_MEMORY_BYTES = 64 << 20
_PIECE = 16 << 20
_PIXEL_TAG = 0x7FE00010

Changed = Iterable[tuple[int, Pixels]]
"""Numbers of frames, rising, and what they become: shape and type as `Frames` gives them."""


class Rewritten(NamedTuple):
    """A file with changed frames, and what an officer must know about how it is stored now."""

    parsed: ParsedFile
    notes: tuple[str, ...] = ()


def with_frames(parsed: ParsedFile, changed: Changed) -> Rewritten:
    """Return the file with some frames changed and every other pixel as it was.

    Raises
    ------
    StudyUnreadable
        ``PIXELS_UNREADABLE`` when a frame cannot be decoded or stored, ``TOO_LARGE`` when there are too many
        pixels.
    """
    frames = Frames(parsed)
    if frames.layout.frame_bits * len(frames) // 8 > MOST_BYTES:
        raise broken("TOO_LARGE")
    if not frames.span.is_encapsulated:
        return Rewritten(_native(frames, changed))
    if parsed.syntax in _ENCODED_WITH and _can_keep_syntax(frames):
        return _same_syntax(frames, changed)
    return _other_syntax(frames, changed)


def _can_keep_syntax(frames: Frames) -> bool:
    """Return whether a lossless frame can stand beside the others under the file's own description."""
    return frames.parsed.syntax != J2K_LOSSY or frames.layout.samples == 1 or len(frames) == 1


# ---------------------------------------------------------------- native pixels


def _native(frames: Frames, changed: Changed) -> ParsedFile:
    """Return a file with native pixels whose changed frames are written in their places."""
    parsed, span, layout = frames.parsed, frames.span, frames.layout
    length = min(-(-layout.frame_bits * len(frames) // 8), span.end - span.value_start)
    head = bytes(parsed.buffer[span.start : span.value_start])
    with _Store(len(head) + length + length % 2) as store:
        store.put(0, head)
        for start in range(0, length, _PIECE):
            piece = parsed.buffer[span.value_start + start : span.value_start + min(start + _PIECE, length)]
            store.put(len(head) + start, bytes(piece))
        for index, pixels in changed:
            _put_native(store, len(head), index, pixels, frames)
        result = store.result()
    placed = PixelSpan(span.tag, 0, len(head), len(head) + length + length % 2, False)
    return parsed._replace(buffer=result, pixels=placed)


def _put_native(store: _Store, start: int, index: int, pixels: Pixels, frames: Frames) -> None:
    layout, first = frames.layout, frames.layout.frame_bits * index
    if layout.allocated == 1:
        store.put_bits(start, first, pixels.astype(np.uint8).reshape(-1))
        return
    data = native_bytes(pixels, layout, stored_type(frames.parsed, frames.span, layout))
    at = start + first // 8
    if swaps_bytes(frames.parsed, frames.span, layout):
        for number, byte in ((n, data[n : n + 1]) for n in (0, len(data) - 1)):
            store.put(start + ((at - start + number) ^ 1), byte)
        odd = (at - start) % 2
        body = data[odd : odd + (len(data) - odd) // 2 * 2]
        store.put(at + odd, np.frombuffer(body, ">u2").astype("<u2").tobytes())
        return
    store.put(at, data)


def native_bytes(pixels: Pixels, layout: Layout, kind: np.dtype[np.generic]) -> bytes:
    """Return a frame as native pixel bytes of a type."""
    if layout.is_halved:
        pairs = np.empty((layout.rows, layout.columns // 2, 4), dtype=pixels.dtype)
        pairs[..., 0], pairs[..., 1] = pixels[:, 0::2, 0], pixels[:, 1::2, 0]
        pairs[..., 2:] = pixels[:, 0::2, 1:]
        return pairs.astype(kind).tobytes()
    ordered = pixels.transpose(2, 0, 1) if layout.is_planar else pixels
    return np.ascontiguousarray(ordered).astype(kind).tobytes()


def masked_words(parsed: ParsedFile, layout: Layout) -> ParsedFile | None:
    """Return the file with every bit cleared that its values do not use; None when none is set.

    Bits above a signed value repeat its sign, or are all zero, as the file has it (PS3.5 8.1.1).
    """
    span = parsed.pixels
    if span is None or layout.stored >= layout.allocated or span.tag != _PIXEL_TAG:
        return None
    kind = stored_type(parsed, span, layout)
    is_wide = layout.is_signed and layout.high_bit == layout.stored - 1
    if not _uses_more_bits(parsed, span, layout, kind, is_wide=is_wide):
        return None
    length = span.end - span.value_start
    head = bytes(parsed.buffer[span.start : span.value_start])
    with _Store(len(head) + length) as store:
        store.put(0, head)
        for start, words in _words(parsed, span, kind):
            store.put(len(head) + start, _masked(words, layout, is_wide=is_wide).tobytes())
        result = store.result()
    return parsed._replace(buffer=result, pixels=PixelSpan(span.tag, 0, len(head), len(head) + length, False))


def _words(parsed: ParsedFile, span: PixelSpan, kind: np.dtype[np.generic]) -> Iterator[tuple[int, Pixels]]:
    """Give the stored words piece by piece, with where they start in the value."""
    length = (span.end - span.value_start) // kind.itemsize * kind.itemsize
    for start in range(0, length, _PIECE):
        piece = parsed.buffer[span.value_start + start : span.value_start + min(start + _PIECE, length)]
        yield start, np.frombuffer(bytes(piece), dtype=kind)


def _uses_more_bits(
    parsed: ParsedFile, span: PixelSpan, layout: Layout, kind: np.dtype[np.generic], *, is_wide: bool
) -> bool:
    """Return whether bits are set that mean nothing."""
    is_plain, is_signed = True, is_wide
    for _, words in _words(parsed, span, kind):
        is_plain = is_plain and bool((words == _masked(words, layout, is_wide=False)).all())
        is_signed = is_signed and bool((words == _masked(words, layout, is_wide=True)).all())
        if not is_plain and not is_signed:
            return True
    return False


def _masked(words: Pixels, layout: Layout, *, is_wide: bool) -> Pixels:
    """Return words with zeros, or with their sign, in the bits that they do not use."""
    low = layout.high_bit + 1 - layout.stored
    whole = words.astype(np.int64) & (((1 << layout.stored) - 1) << low)
    if is_wide:
        sign = 1 << (layout.stored - 1)
        whole = (whole ^ sign) - sign
    return whole.astype(words.dtype)


class _Store:
    """Room for a result: in memory when it is small, else in a nameless file on disk."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._small = bytearray(length) if length <= _IN_MEMORY_BYTES else None
        self._file = None if self._small is not None else tempfile.TemporaryFile()  # noqa: SIM115
        if self._file is not None:
            self._file.truncate(length)

    def __enter__(self) -> _Store:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def put(self, position: int, data: bytes) -> None:
        """Write bytes at a position; the room grows when they pass its end."""
        if self._small is not None:
            self._small[position : position + len(data)] = data
        elif self._file is not None:
            self._file.seek(position)
            self._file.write(data)
        self._length = max(self._length, position + len(data))
        self._spill()

    def put_bits(self, start: int, first: int, ones: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
        """Write single bits, lowest first, from a bit on (PS3.5 8.1.1)."""
        position, end = start + first // 8, start + (first + len(ones) + 7) // 8
        old = np.unpackbits(np.frombuffer(self.get(position, end), np.uint8), bitorder="little")
        old[first % 8 : first % 8 + len(ones)] = ones
        self.put(position, np.packbits(old, bitorder="little").tobytes())

    def get(self, start: int, end: int) -> bytes:
        """Return bytes that were written."""
        if self._small is not None:
            return bytes(self._small[start:end])
        assert self._file is not None
        self._file.seek(start)
        return self._file.read(end - start)

    def _spill(self) -> None:
        """Move to the disk what has become too large for the memory."""
        if self._small is not None and len(self._small) > _IN_MEMORY_BYTES:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115
            self._file.write(self._small)
            self._small = None

    def result(self) -> Buffer:
        """Return what was written."""
        if self._small is not None:
            return bytes(self._small)
        assert self._file is not None
        self._file.flush()
        return mmap.mmap(self._file.fileno(), self._length, access=mmap.ACCESS_READ)


# ---------------------------------------------------------------- compressed pixels


def _same_syntax(frames: Frames, changed: Changed) -> Rewritten:
    """Return the file with its changed frames compressed again, the others' bytes kept."""
    parsed = frames.parsed
    is_new = False
    streams = _Streams(frames)
    for index, pixels in changed:
        stream = compress(pixels, parsed.syntax, frames)
        if stream is None:
            return _other_syntax(frames, _again(streams, frames, index, pixels, changed))
        streams.add(index, stream)
        is_new = True
    result = streams.result()
    if is_new and parsed.syntax == J2K_LOSSY and frames.layout.samples == 3:
        result = result._replace(elements=with_values(result.elements, {PHOTOMETRIC: ("CS", b"YBR_RCT")}))
    return Rewritten(result)


def _again(
    streams: _Streams, frames: Frames, index: int, pixels: Pixels, rest: Changed
) -> Iterator[tuple[int, Pixels]]:
    """Give all changed frames once more: those already compressed, this one, and those to come."""
    for number in streams.changed:
        yield number, decompress(streams.stream(number), frames.parsed.syntax, frames.layout)[0]
    yield index, pixels
    yield from rest


def compress(pixels: Pixels, syntax: str, frames: Frames) -> bytes | None:
    """Return a frame compressed without loss, proven by decoding it; None when that is not possible here."""
    from pydicom.pixels.encoders.base import get_encoder

    layout = frames.layout
    if layout.samples == 3:
        is_colour_turned = syntax in (J2K, J2K_LOSSY) and layout.photometric in ("YBR_RCT", "YBR_ICT")
        name = "YBR_RCT" if is_colour_turned else frames.photometric
        layout = layout._replace(photometric=name)
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # it logs values of the header with its failures
    try:
        encoder = get_encoder(_ENCODED_WITH[syntax])
        plain = np.ascontiguousarray(pixels[..., 0] if layout.samples == 1 else pixels)
        stream = bytes(encoder.encode(plain, **codec_options(layout)))
        decoded, _ = decompress(stream, syntax, layout)
    except (
        NotImplementedError,
        RuntimeError,
        ValueError,
        AttributeError,
        TypeError,
        KeyError,
        StudyUnreadable,
    ):
        return None
    return stream if np.array_equal(decoded, pixels) else None


class _Streams:
    """Compressed frames of a file on their way into a new one, each as one fragment."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self.changed: list[int] = []
        self._places: dict[int, tuple[int, int]] = {}
        self._store, self._end = _Store(0), 0

    def add(self, index: int, stream: bytes) -> None:
        """Take a frame's new stream; frames come in rising order."""
        self._places[index] = self._end, self._end + len(stream)
        self._store.put(self._end, stream)
        self._end += len(stream)
        self.changed.append(index)

    def stream(self, index: int) -> bytes:
        """Return the stream of a frame, new or as it was."""
        if index in self._places:
            return self._store.get(*self._places[index])
        return self._frames.stream(index)

    def result(self) -> ParsedFile:
        """Return the file with one fragment a frame."""
        frames = self._frames
        with self._store:
            return encapsulated(
                frames.parsed, (self.stream(index) for index in range(len(frames))), len(frames)
            )


def encapsulated(parsed: ParsedFile, streams: Iterable[bytes], frames: int) -> ParsedFile:
    """Return a file whose pixels are compressed streams, one fragment each, with their offset table.

    The basic table is filled where it can be (PS3.5 A.4); the extended one of the file is dropped.
    """
    head = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
    table = 4 * frames if frames > 1 else 0
    with _Store(0) as store:
        store.put(0, head + struct.pack("<HHL", 0xFFFE, 0xE000, table) + bytes(table))
        first = position = len(head) + 8 + table
        offsets = []
        for stream in streams:
            offsets.append(position - first)
            padded = stream + bytes(len(stream) % 2)
            store.put(position, struct.pack("<HHL", 0xFFFE, 0xE000, len(padded)) + padded)
            position += 8 + len(padded)
        if table and offsets[-1] < 1 << 32:
            store.put(len(head) + 8, struct.pack(f"<{frames}L", *offsets))
        store.put(position, struct.pack("<HHL", 0xFFFE, 0xE0DD, 0))
        result = store.result()
    span = PixelSpan(_PIXEL_TAG, 0, len(head), position + 8, True)
    kept = tuple(element for element in parsed.elements if element.tag not in OFFSET_TABLES)
    return parsed._replace(buffer=result, pixels=span, elements=kept)


def _other_syntax(frames: Frames, changed: Changed) -> Rewritten:
    """Return the file with all frames decoded and stored plainly, or in JPEG-LS when they are many."""
    layout = frames.layout._replace(is_planar=False, photometric=frames.photometric)
    if layout.is_halved or layout.photometric in ("YBR_RCT", "YBR_ICT", "YBR_PARTIAL_420"):
        raise broken("PIXELS_UNREADABLE")
    size = layout.frame_bits * len(frames) // 8
    every = _every(frames, changed)
    if size <= MOST_PLAIN_BYTES:
        return Rewritten(plain(frames.parsed, every, layout), _told(EXPLICIT_LITTLE))
    as_stored = _described(frames.parsed, layout, JPEG_LS)
    streams = (_jpeg_ls(pixels, frames) for pixels in every)
    return Rewritten(encapsulated(as_stored, streams, len(frames)), _told(JPEG_LS))


def _told(syntax: str) -> tuple[str, ...]:
    return (f"stored anew without loss, with {_NAMES[syntax]}, because its own compression cannot be redone",)


def _every(frames: Frames, changed: Changed) -> Iterator[Pixels]:
    """Give all frames, the changed ones changed."""
    waiting = iter(changed)
    index, pixels = next(waiting, (-1, None))
    for number in range(len(frames)):
        if number == index and pixels is not None:
            yield pixels
            index, pixels = next(waiting, (-1, None))
        else:
            yield frames[number]


def _jpeg_ls(pixels: Pixels, frames: Frames) -> bytes:
    stream = compress(pixels, JPEG_LS, frames)
    if stream is None:
        raise broken("PIXELS_UNREADABLE")
    return stream


def jpeg_ls_stream(picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    """Return an 8-bit RGB picture, shape (rows, columns, 3), as a lossless JPEG-LS stream."""
    from pydicom.pixels.encoders.base import get_encoder

    rows, columns = picture.shape[:2]
    layout = Layout(1, rows, columns, 3, 8, 8, 7, is_signed=False, photometric="RGB", is_planar=False)
    return bytes(get_encoder(JPEG_LS).encode(np.ascontiguousarray(picture), **codec_options(layout)))


def plain(parsed: ParsedFile, every: Iterable[Pixels], layout: Layout) -> ParsedFile:
    """Return the file in explicit little endian with these frames, described by `layout`."""
    length = layout.frames * layout.frame_bits // 8
    kind = np.dtype(f"<{'i' if layout.is_signed else 'u'}{layout.allocated // 8}")
    vr = b"OB" if layout.allocated == 8 else b"OW"
    head = struct.pack("<HH2sHL", 0x7FE0, 0x0010, vr, 0, length + length % 2)
    with _Store(len(head) + length + length % 2) as store:
        store.put(0, head)
        position = len(head)
        for pixels in every:
            data = native_bytes(pixels, layout, kind)
            store.put(position, data)
            position += len(data)
        result = store.result()
    span = PixelSpan(_PIXEL_TAG, 0, len(head), len(head) + length + length % 2, False)
    return _described(parsed, layout, EXPLICIT_LITTLE)._replace(buffer=result, pixels=span)


def _described(parsed: ParsedFile, layout: Layout, syntax: str) -> ParsedFile:
    """Return the file with the elements that describe its pixels, under another syntax."""
    values: dict[int, tuple[str, bytes]] = {PHOTOMETRIC: ("CS", layout.photometric.encode())}
    if layout.samples > 1:
        values[PLANAR] = ("US", b"\0\0")
    elements = with_values(parsed.elements, values, without=OFFSET_TABLES)
    return parsed._replace(elements=elements, syntax=syntax)


def with_values(
    elements: Iterable[Element], values: dict[int, tuple[str, bytes]], *, without: Iterable[int] = ()
) -> tuple[Element, ...]:
    """Return elements with some values replaced or added and some tags left out, in the order of tags."""
    gone = {*values, *without}
    kept = [element for element in elements if element.tag not in gone]
    kept += [Element(tag, vr, value) for tag, (vr, value) in values.items()]
    return tuple(sorted(kept, key=lambda element: element.tag))
