"""Stored numbers of one frame, from any transfer syntax, one frame in memory at a time.

Uncompressed pixels are read straight from the file. Compressed frames are cut out of the file here, so that a
code stream that ends early is named and never half-decoded, and handed to pydicom's decoders one by one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from pipelines.geometry.frames import PixelLayout, open_at
from pipelines.geometry.reasons import refused

Stored = NDArray[Any]

_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_ITEM = b"\xfe\xff\x00\xe0"
_END = b"\xfe\xff\xdd\xe0"
_UNKNOWN_LENGTH = 0xFFFFFFFF
_END_OF_IMAGE = b"\xff\xd9"
_NATIVE = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
_DECODERS: Mapping[str, tuple[str, ...]] = {
    RLELossless: ("pylibjpeg", "pydicom"),
    JPEGLSLossless: ("pyjpegls", "pylibjpeg", "gdcm"),
    JPEGLSNearLossless: ("pyjpegls", "pylibjpeg", "gdcm"),
    **dict.fromkeys((JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1), ("gdcm",)),
    **dict.fromkeys((JPEG2000, JPEG2000Lossless, HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL), ("pylibjpeg",)),
}
"""Which decoder is trusted with which syntax, best first; never left to what happens to be installed."""


class PixelReader:
    """Reads frames; remembers where the frames of the last file lie.

    One reader serves one series; it holds no file open.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._inflated: bytes = b""
        self._fragments: list[tuple[int, int]] = []

    def read(self, layout: PixelLayout) -> Stored:
        """Return the stored numbers, shape (rows, columns), in the file's own integer type.

        Raises
        ------
        GeometryRefused
            If the pixels end early, are damaged, or have no decoder here.
        """
        _check_format(layout)
        try:
            if layout.transfer_syntax == DeflatedExplicitVRLittleEndian:
                return self._from_inflated(layout)
            if layout.transfer_syntax in _NATIVE:
                return _from_file(layout)
            return self._decoded(layout)
        except FileNotFoundError:
            raise refused("UNREADABLE") from None

    def _from_inflated(self, layout: PixelLayout) -> Stored:
        if self._path != layout.path:
            self._inflated, self._path = _inflate(layout), layout.path
        size = frame_bytes(layout)
        part = self._inflated[layout.index * size : (layout.index + 1) * size]
        if len(part) < size:
            raise refused("TRUNCATED")
        return np.frombuffer(part, kind_of(layout)).reshape(layout.rows, layout.columns)

    def _decoded(self, layout: PixelLayout) -> Stored:
        if self._path != layout.path:
            self._fragments, self._path = _find_fragments(layout), layout.path
        return decode(_cut(layout, self._fragments), layout)


def kind_of(layout: PixelLayout) -> np.dtype[Any]:
    """Return the integer type of the stored numbers, in the byte order of the file."""
    order = ">" if layout.transfer_syntax == ExplicitVRBigEndian else "<"
    return np.dtype(f"{order}{'i' if layout.is_signed else 'u'}{layout.bits_allocated // 8}")


def frame_bytes(layout: PixelLayout) -> int:
    """Return the length of one uncompressed frame."""
    return layout.rows * layout.columns * layout.bits_allocated // 8


def decode(code: bytes, layout: PixelLayout) -> Stored:
    """Return the stored numbers of one compressed frame."""
    decoder = get_decoder(UID(layout.transfer_syntax))
    here = [name for name in _DECODERS[layout.transfer_syntax] if name in decoder.available_plugins]
    if not here:
        raise refused("NO_DECODER")
    try:
        pixels, _ = decoder.as_array(
            encapsulate([code], has_bot=False),
            index=0,
            raw=True,
            decoding_plugin=here[0],
            **_description(layout),
        )
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        # Each decoder raises its own kinds, and one written in Rust panics with a kind that is no Exception.
        # Whatever it was, this frame cannot be trusted.
        raise refused("UNREADABLE", "Its compressed pixels are damaged.") from None
    return pixels.reshape(layout.rows, layout.columns)


def _description(layout: PixelLayout) -> dict[str, Any]:
    return {
        "correct_unused_bits": False,
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_stored,
        "photometric_interpretation": layout.photometric,
        "pixel_representation": int(layout.is_signed),
        "pixel_keyword": "PixelData",
    }


def _check_format(layout: PixelLayout) -> None:
    is_grey = layout.samples == 1 and layout.photometric in ("MONOCHROME1", "MONOCHROME2", "")
    is_whole = layout.bits_allocated in (8, 16, 32) and 0 < layout.bits_stored <= layout.bits_allocated
    # PS3.5 8.1.1: High Bit is one less than Bits Stored; anything else cannot be read without guessing.
    is_low = layout.high_bit == layout.bits_stored - 1
    if not (is_grey and is_whole and is_low and 0 <= layout.index < layout.count):
        raise refused("PIXEL_FORMAT")
    if layout.transfer_syntax not in _NATIVE and layout.transfer_syntax not in _DECODERS:
        raise refused("NO_DECODER")


def _from_file(layout: PixelLayout) -> Stored:
    size = frame_bytes(layout)
    with open_at(layout) as stream:
        length = _element_length(stream, layout)
        if length < size * (layout.index + 1):
            raise refused("TRUNCATED")
        stream.seek(size * layout.index, os.SEEK_CUR)
        pixels = np.fromfile(stream, kind_of(layout), layout.rows * layout.columns)
    if pixels.size < layout.rows * layout.columns:
        raise refused("TRUNCATED")
    return pixels.reshape(layout.rows, layout.columns)


def _element_length(stream: IO[bytes], layout: PixelLayout) -> int:
    """Return the length of the pixel data element; the stream stands at its value afterwards."""
    is_big = layout.transfer_syntax == ExplicitVRBigEndian
    head = stream.read(8)
    expected = b"\x7f\xe0\x00\x10" if is_big else _PIXEL_DATA
    if len(head) < 8:
        raise refused("TRUNCATED")
    if head[:4] != expected:
        raise refused("PIXEL_FORMAT")
    tail = head[4:] if layout.transfer_syntax == ImplicitVRLittleEndian else stream.read(4)
    return int.from_bytes(tail, "big" if is_big else "little")


def _inflate(layout: PixelLayout) -> bytes:
    try:
        return bytes(dcmread(layout.path).PixelData)
    except Exception:
        # zlib, pydicom and struct each raise their own kinds on a broken stream.
        raise refused("TRUNCATED") from None


def _find_fragments(layout: PixelLayout) -> list[tuple[int, int]]:
    """Return place and length of every fragment, the offset table first (PS3.5 A.4).

    Raises
    ------
    GeometryRefused
        If the file ends before the sequence does.
    """
    found: list[tuple[int, int]] = []
    with open_at(layout) as stream:
        end = os.fstat(stream.fileno()).st_size
        if _element_length(stream, layout) != _UNKNOWN_LENGTH:
            raise refused("PIXEL_FORMAT")
        while True:
            head = stream.read(8)
            if len(head) < 8:
                raise refused("TRUNCATED")
            if head[:4] == _END:
                return found
            length = int.from_bytes(head[4:], "little")
            if head[:4] != _ITEM or stream.tell() + length > end:
                raise refused("TRUNCATED")
            found.append((stream.tell(), length))
            stream.seek(length, os.SEEK_CUR)


def _cut(layout: PixelLayout, fragments: list[tuple[int, int]]) -> bytes:
    table, *parts = fragments
    with layout.path.open("rb") as stream:
        own = _own_parts(layout, _offsets(stream, layout, table), parts)
        code = b"".join(_read(stream, place, length) for place, length in own)
    is_closed = layout.transfer_syntax == RLELossless or _END_OF_IMAGE in code[-4:]
    if not is_closed:
        raise refused("TRUNCATED")
    return code


def _read(stream: IO[bytes], place: int, length: int) -> bytes:
    stream.seek(place)
    return stream.read(length)


def _offsets(stream: IO[bytes], layout: PixelLayout, table: tuple[int, int]) -> tuple[int, ...]:
    if layout.extended_offsets:
        return layout.extended_offsets
    return tuple(int(v) for v in np.frombuffer(_read(stream, *table), "<u4"))


def _own_parts(
    layout: PixelLayout, offsets: tuple[int, ...], parts: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return the fragments of this frame."""
    if layout.count == 1:
        return parts
    if len(parts) == layout.count:
        return [parts[layout.index]]
    if len(offsets) != layout.count:
        raise refused("PIXEL_FORMAT", "Its frames cannot be told apart.")
    # Offsets count from the first byte of the first fragment's item tag.
    begin = parts[0][0] - 8
    bounds = [*(begin + offset for offset in offsets), 2**63]
    low, high = bounds[layout.index], bounds[layout.index + 1]
    return [part for part in parts if low <= part[0] - 8 < high]
