"""Pixels taken out of a file as arrays, seen as a person would see them, and put back without loss."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anonymize import headers
from anonymize.elements import EXPLICIT_LITTLE, Element, ParsedFile, PixelSpan, broken, encode_element

_PHOTOMETRIC, _PLANAR = 0x00280004, 0x00280006
_OFFSET_TABLES = (0x7FE00001, 0x7FE00002, 0x7FE00003)

Pixels = NDArray[np.uint8] | NDArray[np.int8] | NDArray[np.uint16] | NDArray[np.int16]


class Picture(NamedTuple):
    """Decoded pixels, shape (frames, rows, columns, samples), and how their values are to be seen."""

    pixels: Pixels
    photometric: str
    palette: NDArray[np.uint8] | None


def decoded(parsed: ParsedFile) -> Picture:
    """Return the pixels of a file.

    Raises
    ------
    StudyUnreadable
        ``HELD_FOR_REVIEW`` when they cannot be decoded here.
    """
    photometric = headers.text_of(parsed, _PHOTOMETRIC)
    if parsed.pixels is None or headers.number_of(parsed, 0x00280100) not in (8, 16):
        raise broken("HELD_FOR_REVIEW")
    if photometric.endswith(("_422", "_420")) and not parsed.pixels.is_encapsulated:
        raise broken("HELD_FOR_REVIEW")
    pixels = _decompressed(parsed) if parsed.pixels.is_encapsulated else _native(parsed, parsed.pixels)
    if parsed.pixels.is_encapsulated and pixels.shape[-1] == 3:
        photometric = "RGB"
    palette = _palette(parsed) if photometric == "PALETTE COLOR" else None
    return Picture(pixels, photometric, palette)


def _shape(parsed: ParsedFile) -> tuple[int, int, int, int]:
    frames, rows, columns, samples = (
        headers.number_of(parsed, tag, 1) for tag in (0x00280008, 0x00280010, 0x00280011, 0x00280002)
    )
    return max(frames, 1), rows, columns, max(samples, 1)


def _is_planar(parsed: ParsedFile) -> bool:
    return headers.number_of(parsed, 0x00280002, 1) > 1 and headers.number_of(parsed, _PLANAR) == 1


def _native(parsed: ParsedFile, span: PixelSpan) -> Pixels:
    bits, signed = headers.number_of(parsed, 0x00280100), headers.number_of(parsed, 0x00280103)
    frames, rows, columns, samples = _shape(parsed)
    count = frames * rows * columns * samples
    values = np.frombuffer(
        bytes(parsed.buffer[span.value_start : span.value_start + count * bits // 8]),
        dtype=f"<{'i' if signed else 'u'}{bits // 8}",
    )
    if _is_planar(parsed):
        return values.reshape(frames, samples, rows, columns).transpose(0, 2, 3, 1)
    return values.reshape(frames, rows, columns, samples)


def _decompressed(parsed: ParsedFile) -> Pixels:
    import pydicom
    from pydicom.errors import InvalidDicomError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of odd headers; the result's shape is checked here
        try:
            data_set = pydicom.dcmread(io.BytesIO(bytes(parsed.buffer)), force=True)
            pixels: Pixels = np.asarray(data_set.pixel_array)
            return pixels.reshape(_shape(parsed))
        except (InvalidDicomError, RuntimeError, ValueError, AttributeError, TypeError, KeyError, OSError):
            raise broken("HELD_FOR_REVIEW") from None


def _palette(parsed: ParsedFile) -> NDArray[np.uint8]:
    """Return the colours of a palette, shape (n, 3)."""
    tables = []
    for tag in (0x00281201, 0x00281202, 0x00281203):
        value = next((element.value for element in parsed.elements if element.tag == tag), b"")
        table = np.frombuffer(value[: len(value) // 2 * 2], dtype="<u2")
        tables.append((table >> 8 if table.size and table.max() > 255 else table).astype(np.uint8))
    if not tables[0].size or len({table.size for table in tables}) != 1:
        raise broken("HELD_FOR_REVIEW")
    return np.stack(tables, axis=-1)


def stored(parsed: ParsedFile, picture: Picture) -> ParsedFile:
    """Return the file with new pixels, native; a compressed file becomes explicit little endian."""
    pixels, is_planar = picture.pixels, _is_planar(parsed)
    was_encapsulated = parsed.pixels is not None and parsed.pixels.is_encapsulated
    if is_planar and not was_encapsulated:
        pixels = pixels.transpose(0, 3, 1, 2)
    data = np.ascontiguousarray(pixels).tobytes()
    vr = "OB" if pixels.dtype.itemsize == 1 and parsed.encoding.is_explicit else "OW"
    element = encode_element(0x7FE00010, vr, data, parsed.encoding)
    span = PixelSpan(0x7FE00010, 0, len(element) - len(data) - len(data) % 2, len(element), False)
    if not was_encapsulated:
        return parsed._replace(buffer=element, pixels=span)
    elements = _with_values(parsed.elements, picture)
    return parsed._replace(buffer=element, pixels=span, elements=elements, syntax=EXPLICIT_LITTLE)


def _with_values(elements: Sequence[Element], picture: Picture) -> tuple[Element, ...]:
    """Return the elements as they must read for pixels that are no longer compressed."""
    kept = [element for element in elements if element.tag not in (_PHOTOMETRIC, _PLANAR, *_OFFSET_TABLES)]
    kept.append(Element(_PHOTOMETRIC, "CS", picture.photometric.encode()))
    if picture.pixels.shape[-1] > 1:
        kept.append(Element(_PLANAR, "US", b"\0\0"))
    return tuple(sorted(kept, key=lambda element: element.tag))


def visible(frame: Pixels, picture: Picture) -> NDArray[np.uint8]:
    """Return a frame as an 8-bit RGB picture, shape (rows, columns, 3)."""
    if picture.palette is not None:
        indices = np.clip(frame[..., 0].astype(np.int64), 0, len(picture.palette) - 1)
        colours: NDArray[np.uint8] = picture.palette[indices]
        return colours
    values = frame.astype(np.float64)
    if picture.photometric.startswith("YBR"):
        values = _rgb_of_ybr(values)
    if frame.dtype.itemsize > 1:
        low, high = float(values.min()), float(values.max())
        values = (values - low) * (255.0 / max(high - low, 1.0))
    scaled = np.clip(values, 0, 255).astype(np.uint8)
    return np.repeat(scaled, 3, axis=-1) if scaled.shape[-1] == 1 else scaled


def _rgb_of_ybr(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return RGB of full-range YCbCr (PS3.3 C.7.6.3.1.2)."""
    luma, blue, red = values[..., 0], values[..., 1] - 128, values[..., 2] - 128
    rgb = np.stack([luma + 1.402 * red, luma - 0.344 * blue - 0.714 * red, luma + 1.772 * blue], axis=-1)
    return np.clip(rgb, 0, 255)
