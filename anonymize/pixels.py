"""Text burned into pictures: found by reading them, painted over, and read again (PS3.15 E.3.1).

Everything that reads as text is filled, unless it is plainly a measurement, a scale mark or a side letter.
Filled with the value around it, never inpainted, and stored without loss.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from anonymize import headers
from anonymize.denylist import DenyList
from anonymize.elements import EXPLICIT_LITTLE, Element, ParsedFile, PixelSpan, broken, encode_element

SURE_SCORE = 0.9
MOST_ROUNDS = 3
_RING_PX = 3
_LARGEST_DOUBLED_PX = 1024
_LARGEST_LETTER_SHARE = 0.2
_PHOTOMETRIC, _PLANAR = 0x00280004, 0x00280006
_OFFSET_TABLES = (0x7FE00001, 0x7FE00002, 0x7FE00003)
_MEASUREMENT = re.compile(
    r"^[<>~]?-?\d{1,4}(?:[.,]\d{1,3})?\s?(?:mm|cm|ml|cc|hu|kv|ma|mas|mgy|msv|mgy\s?\*?\s?cm|%|deg|°|mm²|cm²|cm2|mm2|x)$"
    r"|^[LRAPHFSI]{1,2}$",
    re.IGNORECASE,
)

Pixels = NDArray[np.uint8] | NDArray[np.int8] | NDArray[np.uint16] | NDArray[np.int16]


class TextBox(NamedTuple):
    """Text in a picture: first and last row and column (last excluded), what it says, how sure (0-1)."""

    top: int
    bottom: int
    left: int
    right: int
    text: str
    score: float


class TextFinder(Protocol):
    """Reads the text of a picture."""

    def find(self, picture: NDArray[np.uint8]) -> list[TextBox]:
        """Return every text box of a picture, shape (rows, columns, 3), RGB."""


class _Picture(NamedTuple):
    """Decoded pixels, shape (frames, rows, columns, samples), and how their values are to be seen."""

    pixels: Pixels
    photometric: str
    palette: NDArray[np.uint8] | None


def without_burned_in_text(
    parsed: ParsedFile, finder: TextFinder | None, deny: DenyList
) -> tuple[ParsedFile, int, int]:
    """Return the file without the text in its pixels, the frames read and the boxes filled.

    Where no text is found the stored bytes stay as they are.

    Raises
    ------
    StudyUnreadable
        ``HELD_FOR_REVIEW`` when there is no finder, the pixels cannot be decoded, or text remains.
    """
    if finder is None or not parsed.encoding.is_little:
        raise broken("HELD_FOR_REVIEW")
    picture = _decoded(parsed)
    filled, boxes = _fill_all(picture, finder, deny)
    frames = picture.pixels.shape[0]
    if boxes == 0:
        return parsed, frames, 0
    return _stored(parsed, picture._replace(pixels=filled)), frames, boxes


def is_plain_measurement(box: TextBox, deny: DenyList) -> bool:
    """Return whether a text is surely a length, dose, density or side letter, not the patient's."""
    text = box.text.strip()
    return box.score >= SURE_SCORE and bool(_MEASUREMENT.match(text)) and not deny.resembles(text)


def _fill_all(picture: _Picture, finder: TextFinder, deny: DenyList) -> tuple[Pixels, int]:
    """Return the pixels with the text of every frame filled, and how many boxes that took."""
    filled, boxes = picture.pixels.copy(), 0
    known: dict[bytes, tuple[int, Pixels]] = {}
    for index, frame in enumerate(filled):
        content = hashlib.sha256(frame.tobytes()).digest()
        if content not in known:
            known[content] = _fill_frame(frame, picture, finder, deny), frame.copy()
        count, result = known[content]
        filled[index] = result
        boxes += count
    return filled, boxes


def _fill_frame(frame: Pixels, picture: _Picture, finder: TextFinder, deny: DenyList) -> int:
    """Fill a frame in place until nothing but measurements can be read."""
    count = 0
    for _ in range(MOST_ROUNDS):
        found = _found(_visible(frame, picture), finder)
        wanted = [box for box in found if _must_go(box, frame.shape[0], deny)]
        if not wanted:
            return count
        for box in wanted:
            _fill(frame, box)
        count += len(wanted)
    if any(_must_go(box, frame.shape[0], deny) for box in finder.find(_visible(frame, picture))):
        raise broken("HELD_FOR_REVIEW")
    return count


def _must_go(box: TextBox, rows: int, deny: DenyList) -> bool:
    """Return whether a text must be filled: not a measurement, nor an organ that reads as one letter."""
    is_shape = len(box.text.strip()) <= 1 and box.bottom - box.top > _LARGEST_LETTER_SHARE * rows
    return not is_shape and not is_plain_measurement(box, deny)


def _found(visible: NDArray[np.uint8], finder: TextFinder) -> list[TextBox]:
    """Return the text found at its own size and, for small print, at twice its size."""
    found = finder.find(visible)
    if max(visible.shape[:2]) > _LARGEST_DOUBLED_PX:
        return found
    doubled = finder.find(np.repeat(np.repeat(visible, 2, axis=0), 2, axis=1))
    small = [box._replace(top=box.top // 2, bottom=-(-box.bottom // 2)) for box in doubled]
    return found + [box._replace(left=box.left // 2, right=-(-box.right // 2)) for box in small]


def _fill(frame: Pixels, box: TextBox) -> None:
    """Paint a box, with a margin, in the middle value of the pixels around it."""
    margin = max(2, (box.bottom - box.top) // 5)
    top, left = max(box.top - margin, 0), max(box.left - margin, 0)
    bottom, right = box.bottom + margin, box.right + margin
    around = frame[max(top - _RING_PX, 0) : bottom + _RING_PX, max(left - _RING_PX, 0) : right + _RING_PX]
    ring = np.ones(around.shape[:2], dtype=np.bool_)
    inner_top, inner_left = min(top, _RING_PX), min(left, _RING_PX)
    ring[inner_top : inner_top + bottom - top, inner_left : inner_left + right - left] = False
    background = around[ring] if ring.any() else around.reshape(-1, around.shape[-1])
    frame[top:bottom, left:right] = np.median(background, axis=0).astype(frame.dtype)


def _visible(frame: Pixels, picture: _Picture) -> NDArray[np.uint8]:
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


def _decoded(parsed: ParsedFile) -> _Picture:
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
    return _Picture(pixels, photometric, palette)


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


def _stored(parsed: ParsedFile, picture: _Picture) -> ParsedFile:
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


def _with_values(elements: Sequence[Element], picture: _Picture) -> tuple[Element, ...]:
    """Return the elements as they must read for pixels that are no longer compressed."""
    kept = [element for element in elements if element.tag not in (_PHOTOMETRIC, _PLANAR, *_OFFSET_TABLES)]
    kept.append(Element(_PHOTOMETRIC, "CS", picture.photometric.encode()))
    if picture.pixels.shape[-1] > 1:
        kept.append(Element(_PLANAR, "US", b"\0\0"))
    return tuple(sorted(kept, key=lambda element: element.tag))
