"""Pixel data in every transfer syntax a CT is sent in, written by encoders that are not our decoders."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

UNCOMPRESSED = (
    ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian,
)  # fmt: skip
LOSSLESS = (
    RLELossless, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless,
    HTJ2KLosslessRPCL,
)  # fmt: skip
LOSSY = (JPEGLSNearLossless, JPEG2000, HTJ2K)


def encode(item: Dataset, transfer_syntax: str) -> None:
    """Turn little-endian pixel data into that of `transfer_syntax`, in place."""
    if transfer_syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        return
    words = np.frombuffer(item.PixelData, f"<u{item.BitsAllocated // 8}")
    if transfer_syntax == ExplicitVRBigEndian:
        item.PixelData = words.astype(words.dtype.newbyteorder(">")).tobytes()
        return
    frames = words.reshape(-1, item.Rows, item.Columns)
    codes = [encode_frame(frame, transfer_syntax, item) for frame in frames]
    item.PixelData = encapsulate(codes)
    item["PixelData"].VR = "OB"
    item["PixelData"].is_undefined_length = True
    if transfer_syntax in LOSSY:
        item.LossyImageCompression = "01"


def encode_frame(frame: NDArray[Any], transfer_syntax: str, item: Dataset) -> bytes:
    """Return one frame of unsigned words as a code stream."""
    signed = frame.view(f"i{frame.itemsize}") if item.PixelRepresentation else frame
    if transfer_syntax == RLELossless:
        return encode_rle(frame)
    if transfer_syntax in (JPEGLossless, JPEGLosslessSV1):
        return encode_jpeg_lossless(frame, predictor=1 if transfer_syntax == JPEGLosslessSV1 else 4)
    if transfer_syntax in (JPEGLSLossless, JPEGLSNearLossless):
        near = 2 if transfer_syntax == JPEGLSNearLossless else 0
        return bytes(imagecodecs.jpegls_encode(np.ascontiguousarray(frame), level=near))
    if transfer_syntax == JPEG2000Lossless:
        return bytes(imagecodecs.jpeg2k_encode(signed, codecformat="j2k", reversible=True))
    if transfer_syntax == JPEG2000:
        return bytes(imagecodecs.jpeg2k_encode(signed, level=90, codecformat="j2k", reversible=False))
    level = 0.0005 if transfer_syntax == HTJ2K else None
    return bytes(imagecodecs.htj2k_encode(signed, level=level, reversible=transfer_syntax != HTJ2K))


def encode_rle(frame: NDArray[Any]) -> bytes:
    """Return a frame as RLE (PS3.5 annex G), one segment per byte plane, most significant first."""
    planes = frame.astype(frame.dtype.newbyteorder(">")).view(np.uint8).reshape(*frame.shape, -1)
    segments = []
    for n in range(planes.shape[-1]):
        packed = b"".join(_pack_row(row.tobytes()) for row in planes[..., n])
        segments.append(packed + b"\0" * (len(packed) % 2))
    starts = np.zeros(16, "<u4")
    starts[0] = len(segments)
    place = 64
    for n, segment in enumerate(segments):
        starts[n + 1] = place
        place += len(segment)
    return starts.tobytes() + b"".join(segments)


def _pack_row(row: bytes) -> bytes:
    out, at = bytearray(), 0
    while at < len(row):
        run = 1
        while run < 128 and at + run < len(row) and row[at + run] == row[at]:
            run += 1
        if run > 1:
            out += bytes((257 - run, row[at]))
        else:
            while run < 128 and at + run < len(row) and row[at + run] != row[at + run - 1]:
                run += 1
            out += bytes((run - 1,)) + row[at : at + run]
        at += run
    return bytes(out)


def encode_jpeg_lossless(frame: NDArray[Any], *, predictor: int = 1) -> bytes:
    """Return 16-bit words as lossless JPEG (ITU-T T.81 annex H, process 14) with any of predictors 1 to 7."""
    values = frame.astype(np.int64)
    difference = ((values - _predict(values, predictor) + 32768) % 65536 - 32768).ravel()
    difference[difference == -32768] = 32768
    size = np.zeros(difference.size, np.int64)
    nonzero = difference != 0
    size[nonzero] = np.floor(np.log2(np.abs(difference[nonzero]))).astype(np.int64) + 1
    # Seventeen codes of equal length (5 bits): category n has the code n.
    extra = np.where(difference < 0, difference + (1 << size) - 1, difference)
    width = np.where(size == 16, 0, size)
    code = (size << width) | np.where(size == 16, 0, extra)
    scan = _pack_bits(code, width + 5).replace(b"\xff", b"\xff\x00")
    rows, columns = frame.shape
    table = bytes((0, 0, 0, 0, 17)) + bytes(11) + bytes(range(17))
    return (
        b"\xff\xd8"
        + _segment(
            0xC3, bytes((16,)) + rows.to_bytes(2, "big") + columns.to_bytes(2, "big") + b"\x01\x01\x11\x00"
        )
        + _segment(0xC4, b"\x00" + table)
        + _segment(0xDA, bytes((1, 1, 0, predictor, 0, 0)))
        + scan
        + b"\xff\xd9"
    )


def _predict(values: NDArray[np.int64], predictor: int) -> NDArray[np.int64]:
    left, above, corner = (np.zeros_like(values) for _ in range(3))
    left[:, 1:], above[1:], corner[1:, 1:] = values[:, :-1], values[:-1], values[:-1, :-1]
    rule = (
        None, left, above, corner, left + above - corner, left + ((above - corner) >> 1),
        above + ((left - corner) >> 1), (left + above) >> 1,
    )[predictor]  # fmt: skip
    assert rule is not None
    rule[0], rule[1:, 0] = left[0], above[1:, 0]
    rule[0, 0] = 32768
    return rule


def _pack_bits(codes: NDArray[np.int64], widths: NDArray[np.int64]) -> bytes:
    starts = np.concatenate([[0], np.cumsum(widths)])
    bits = np.ones(-(-int(starts[-1]) // 8) * 8, np.uint8)
    for n in range(int(widths.max())):
        has = widths > n
        bits[starts[:-1][has] + n] = (codes[has] >> (widths[has] - 1 - n)) & 1
    return np.packbits(bits).tobytes()


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2, "big") + payload
