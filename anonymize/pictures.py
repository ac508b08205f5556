"""Pixels taken out of a file frame by frame, and seen as a person would see them.

Only one frame is ever decoded at a time, so that a file of many gigabytes needs the memory of one picture.
`anonymize.rewriting` puts changed frames back.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from anonymize import headers
from anonymize.codestreams import starts_picture
from anonymize.elements import RLE, ParsedFile, PixelSpan, broken

Pixels = NDArray[np.generic]
"""One frame as its values are stored, shape (rows, columns, samples): 8, 16 or 32 bits, or floats."""

ROWS, COLUMNS, SAMPLES, FRAMES = 0x00280010, 0x00280011, 0x00280002, 0x00280008
PHOTOMETRIC, PLANAR, ALLOCATED, STORED = 0x00280004, 0x00280006, 0x00280100, 0x00280101
HIGH_BIT, SIGNED = 0x00280102, 0x00280103
OFFSET_TABLES = (0x7FE00001, 0x7FE00002)
MOST_FRAME_BYTES = 1 << 30
"""Largest frame that is decoded; a larger one is held."""

_FLOATS = {0x7FE00008: ("f4", 32), 0x7FE00009: ("f8", 64)}
_HALVED = ("YBR_FULL_422", "YBR_PARTIAL_422")
_JPEG_LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
_PREVIEW_PX = 1024


class Layout(NamedTuple):
    """How a file's pixels are arranged (PS3.3 C.7.6.3)."""

    frames: int
    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    high_bit: int
    is_signed: bool
    photometric: str
    is_planar: bool

    @property
    def frame_bits(self) -> int:
        """Bits of one native frame."""
        bits = self.rows * self.columns * self.samples * self.allocated
        return bits * 2 // 3 if self.photometric in _HALVED else bits

    @property
    def is_halved(self) -> bool:
        """Whether two neighbouring pixels share one colour."""
        return self.photometric in _HALVED


def layout_of(parsed: ParsedFile) -> Layout:
    """Return how the pixels of a file are arranged.

    Raises
    ------
    StudyUnreadable
        ``PIXELS_UNREADABLE`` when that makes no sense, ``TOO_LARGE`` when one frame is.
    """
    photometric, samples = headers.text_of(parsed, PHOTOMETRIC), _number(parsed, SAMPLES, 1)
    allocated = _number(parsed, ALLOCATED, 0)
    if parsed.pixels is not None and parsed.pixels.tag in _FLOATS:
        allocated = _FLOATS[parsed.pixels.tag][1]
    stored = _number(parsed, STORED, allocated)
    layout = Layout(
        frames=_number(parsed, FRAMES, 1),
        rows=_number(parsed, ROWS, 1),
        columns=_number(parsed, COLUMNS, 1),
        samples=samples,
        allocated=allocated,
        stored=stored,
        high_bit=_number(parsed, HIGH_BIT, stored - 1),
        is_signed=headers.number_of(parsed, SIGNED) == 1,
        photometric=photometric,
        is_planar=samples > 1 and headers.number_of(parsed, PLANAR) == 1,
    )
    if layout.allocated not in (1, 8, 16, 32, 64) or layout.samples not in (1, 3, 4):
        raise broken("PIXELS_UNREADABLE")
    if not layout.stored - 1 <= layout.high_bit < layout.allocated or (layout.is_halved and samples != 3):
        raise broken("PIXELS_UNREADABLE")
    if layout.frame_bits // 8 > MOST_FRAME_BYTES:
        raise broken("TOO_LARGE")
    return layout


def _number(parsed: ParsedFile, tag: int, default: int) -> int:
    return max(headers.number_of(parsed, tag, default), 1 if default else 0)


class Frames(Sequence[Pixels]):
    """The frames of a file, each decoded when it is asked for; a frame is a copy that may be changed.

    Parameters
    ----------
    parsed : ParsedFile
        The file.
    keeps_all_bits : bool
        Whether values keep bits that they do not use, where graphics may hide.

    Raises
    ------
    StudyUnreadable
        ``PIXELS_UNREADABLE`` or ``TOO_LARGE`` when it cannot be decoded here; also when a frame is taken.
    """

    def __init__(self, parsed: ParsedFile, *, keeps_all_bits: bool = False) -> None:
        if parsed.pixels is None:
            raise broken("PIXELS_UNREADABLE")
        self.parsed, self.span, self.layout = parsed, parsed.pixels, layout_of(parsed)
        self._keeps_all_bits = keeps_all_bits
        self.streams = fragments_by_frame(parsed, self.layout.frames) if self.span.is_encapsulated else ()
        self.photometric = self.layout.photometric
        if self.layout.is_halved:
            self.photometric = self.photometric.removesuffix("_422")
        if self.span.is_encapsulated and self.layout.samples == 3:
            self.photometric = self._decompressed(0)[1]
        self.palette = _palette(parsed) if self.photometric == "PALETTE COLOR" else None

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.layout.frames

    @overload
    def __getitem__(self, index: int) -> Pixels: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Pixels]: ...
    def __getitem__(self, index: int | slice) -> Pixels | Sequence[Pixels]:
        """Return a frame, shape (rows, columns, samples)."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        return self._decompressed(index)[0] if self.span.is_encapsulated else self._native(index)

    def stream(self, index: int) -> bytes:
        """Return the compressed bytes of a frame."""
        return b"".join(bytes(self.parsed.buffer[start:end]) for start, end in self.streams[index])

    def _native(self, index: int) -> Pixels:
        layout, bits = self.layout, self.layout.frame_bits
        first, last = bits * index, bits * (index + 1)
        start, end = self.span.value_start + first // 8, self.span.value_start + (last + 7) // 8
        if end > self.span.end:
            raise broken("PIXELS_UNREADABLE")
        data = bytes(self.parsed.buffer[start - start_odd(self, start) : end + end_odd(self, end)])
        if swaps_bytes(self.parsed, self.span, layout):
            data = np.frombuffer(data, ">u2").astype("<u2").tobytes()
        data = data[start_odd(self, start) : start_odd(self, start) + end - start]
        if layout.allocated == 1:
            ones = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
            return _shaped(ones[first % 8 : first % 8 + bits], layout)
        values = np.frombuffer(data, dtype=stored_type(self.parsed, self.span, layout))
        if layout.is_halved:
            return _doubled(values, layout)
        native = values.astype(values.dtype.newbyteorder("="))
        return _shaped(native if self._keeps_all_bits else within_bits(native, layout), layout)

    def _decompressed(self, index: int) -> tuple[Pixels, str]:
        if self._keeps_all_bits:
            whole = self.layout._replace(stored=self.layout.allocated, high_bit=self.layout.allocated - 1)
            return decompress(self.stream(index), self.parsed.syntax, whole)
        pixels, photometric = decompress(self.stream(index), self.parsed.syntax, self.layout)
        return within_bits(pixels, self.layout), photometric


def start_odd(frames: Frames, position: int) -> int:
    """Return how many bytes a word that is swapped begins before a position."""
    return (position - frames.span.value_start) % 2


def end_odd(frames: Frames, position: int) -> int:
    """Return how many bytes a word that is swapped ends behind a position."""
    return (position - frames.span.value_start) % 2 if position < frames.span.end else 0


def swaps_bytes(parsed: ParsedFile, span: PixelSpan, layout: Layout) -> bool:
    """Return whether single bytes are written as big endian words (PS3.5 8.1.1, A.3)."""
    is_words = bytes(parsed.buffer[span.start + 4 : span.start + 6]) == b"OW"
    return not parsed.encoding.is_little and is_words and layout.allocated <= 8


def stored_type(parsed: ParsedFile, span: PixelSpan, layout: Layout) -> np.dtype[np.generic]:
    """Return the type of the values as they stand in the file."""
    order = "<" if parsed.encoding.is_little else ">"
    if span.tag in _FLOATS:
        return np.dtype(order + _FLOATS[span.tag][0])
    return np.dtype(f"{order}{'i' if layout.is_signed else 'u'}{max(layout.allocated // 8, 1)}")


def _shaped(values: Pixels, layout: Layout) -> Pixels:
    if layout.is_planar:
        return values.reshape(layout.samples, layout.rows, layout.columns).transpose(1, 2, 0).copy()
    return values.reshape(layout.rows, layout.columns, layout.samples)


def _doubled(values: Pixels, layout: Layout) -> Pixels:
    """Return full colour of pairs of pixels that share one (PS3.3 C.7.6.3.1.2): two Y, one Cb, one Cr."""
    if layout.columns % 2 or layout.allocated != 8:
        raise broken("PIXELS_UNREADABLE")
    pairs = values.reshape(layout.rows, layout.columns // 2, 4)
    full = np.empty((layout.rows, layout.columns, 3), dtype=values.dtype)
    full[:, 0::2, 0], full[:, 1::2, 0] = pairs[..., 0], pairs[..., 1]
    full[..., 1:] = np.repeat(pairs[..., 2:], 2, axis=1)
    return full


def within_bits(values: Pixels, layout: Layout) -> Pixels:
    """Return values without what stands in bits that they do not use, where graphics may hide.

    Signed values keep their sign (PS3.5 8.1.1).
    """
    if layout.allocated <= 1 or values.dtype.kind == "f" or layout.stored >= layout.allocated:
        return values
    if layout.high_bit != layout.stored - 1:
        return values  # shifted values: `rewriting.masked_words` judges the words
    whole = values.astype(np.int64) & ((1 << layout.stored) - 1)
    if layout.is_signed:
        sign = 1 << (layout.stored - 1)
        whole = (whole ^ sign) - sign
    return whole.astype(values.dtype)


def decompress(stream: bytes, syntax: str, layout: Layout) -> tuple[Pixels, str]:
    """Return one decoded frame, shape (rows, columns, samples), and its photometric interpretation.

    Colours of DCT-compressed frames come back as RGB, those of lossless ones as they were stored.

    Raises
    ------
    StudyUnreadable
        ``PIXELS_UNREADABLE``.
    """
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of odd headers; the result's shape is checked here
        try:
            decoder = get_decoder(syntax)
            pixels, told = decoder.as_array(
                encapsulate([stream]), raw=syntax not in _JPEG_LOSSY, **codec_options(layout)
            )
            shaped: Pixels = np.array(pixels).reshape(layout.rows, layout.columns, layout.samples)
        except (NotImplementedError, RuntimeError, ValueError, AttributeError, TypeError, KeyError, OSError):
            raise broken("PIXELS_UNREADABLE") from None
    return shaped, str(told["photometric_interpretation"])


def codec_options(layout: Layout) -> dict[str, Any]:
    """Return what encoders and decoders must know of one frame."""
    options: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": 1,
        "samples_per_pixel": layout.samples,
        "bits_allocated": layout.allocated,
        "bits_stored": layout.stored,
        "photometric_interpretation": layout.photometric,
        "pixel_representation": int(layout.is_signed),
        "pixel_keyword": "PixelData",
    }
    return options | ({"planar_configuration": 0} if layout.samples > 1 else {})


Spans = tuple[tuple[int, int], ...]


def fragments_of(parsed: ParsedFile) -> tuple[Spans, bytes]:
    """Return where the fragments of encapsulated pixels lie, and the value of the basic offset table."""
    span = parsed.pixels
    found, position, end = [], span.value_start if span else 0, span.end if span else 0
    while position + 8 < end:
        length = int.from_bytes(parsed.buffer[position + 4 : position + 8], "little")
        found.append((position + 8, position + 8 + length))
        position += 8 + length
    if not found:
        raise broken("PIXELS_UNREADABLE")
    return tuple(found[1:]), bytes(parsed.buffer[slice(*found[0])])


def fragments_by_frame(parsed: ParsedFile, frames: int) -> tuple[Spans, ...]:
    """Return for each frame where its fragments lie (PS3.5 A.4); fragments of no frame are left out.

    Raises
    ------
    StudyUnreadable
        ``PIXELS_UNREADABLE`` when the fragments cannot be shared among the frames.
    """
    fragments, basic = fragments_of(parsed)
    starts = [index for index, part in enumerate(fragments) if _starts(parsed, part)]
    if parsed.syntax == RLE or (frames == len(fragments) and len(starts) in (0, frames)):
        starts = list(range(len(fragments)))  # one fragment a frame
    elif not starts or starts[0] != 0:
        starts = _by_offsets(fragments, basic)
    if len(starts) < frames:
        raise broken("PIXELS_UNREADABLE")
    ends = [*starts[1:], len(fragments)]
    return tuple(fragments[start:end] for start, end in zip(starts[:frames], ends, strict=False))


def _starts(parsed: ParsedFile, part: tuple[int, int]) -> bool:
    return starts_picture(bytes(parsed.buffer[part[0] : min(part[0] + 8, part[1])]))


def _by_offsets(fragments: Spans, basic: bytes) -> list[int]:
    """Return which fragments start a frame by the basic offset table; the first, when there is none."""
    offsets = struct.unpack(f"<{len(basic) // 4}L", basic[: len(basic) // 4 * 4])
    begins = (
        {start - fragments[0][0]: index for index, (start, _) in enumerate(fragments)} if fragments else {}
    )
    return [begins[offset] for offset in offsets if offset in begins] or [0][: len(fragments)]


def _palette(parsed: ParsedFile) -> NDArray[np.uint8]:
    """Return the colour of every stored value below 65536, shape (n, 3); the first mapped value counts."""
    tables = [_palette_table(parsed, number) for number in range(3)]
    if not tables[0].size or len({table.size for table in tables}) != 1:
        raise broken("PIXELS_UNREADABLE")
    return np.stack(tables, axis=-1)


def _palette_table(parsed: ParsedFile, colour: int) -> NDArray[np.uint8]:
    values = {element.tag: element.value for element in parsed.elements}
    order = "<" if parsed.encoding.is_little else ">"
    describing = values.get(0x00281101 + colour, b"")[:6].ljust(6, b"\0")
    entries, first, bits = struct.unpack(order + "3H", describing)
    value = values.get(0x00281201 + colour, b"")
    entries = entries or 65536
    if len(value) >= 2 * entries:
        table = np.frombuffer(value[: 2 * entries], dtype=order + "u2")
        table = (table >> 8 if bits == 16 and table.max() > 255 else table).astype(np.uint8)
    elif len(value) >= entries:
        table = np.frombuffer(value[:entries], dtype=np.uint8)
    else:
        raise broken("PIXELS_UNREADABLE")
    return np.concatenate([np.full(first, table[0], dtype=np.uint8), table])


def visible(frame: Pixels, frames: Frames) -> NDArray[np.uint8]:
    """Return a frame as an 8-bit RGB picture, shape (rows, columns, 3), with its grey values stretched.

    One value in two thousand may be saturated, so that a single hot pixel does not darken the rest.
    """
    if frames.palette is not None:
        indices = np.clip(frame[..., 0].astype(np.int64), 0, len(frames.palette) - 1)
        colours: NDArray[np.uint8] = frames.palette[indices]
        return colours
    if frame.dtype == np.uint8 and frames.layout.allocated == 8 and not frames.photometric.startswith("YBR"):
        plain = frame.astype(np.uint8)
    else:
        plain = _stretched(frame, frames)
    if frames.photometric == "MONOCHROME1":
        plain = 255 - plain
    return np.repeat(plain[..., :1], 3, axis=-1) if plain.shape[-1] != 3 else plain


def _stretched(frame: Pixels, frames: Frames) -> NDArray[np.uint8]:
    values = frame.astype(np.float64)
    if frames.photometric.startswith("YBR") and frame.shape[-1] == 3:
        values = _rgb_of_ybr(values, is_partial="PARTIAL" in frames.photometric)
    if frame.dtype.itemsize > 1 or frames.layout.allocated == 1 or frame.dtype.kind == "i":
        values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
        low, high = (float(edge) for edge in np.percentile(values, (0.05, 99.95)))
        if high <= low:
            low, high = float(values.min()), float(values.max())
        values = (values - low) * (255.0 / max(high - low, 1e-9))
    return np.clip(values, 0, 255).astype(np.uint8)


def _rgb_of_ybr(values: NDArray[np.float64], *, is_partial: bool) -> NDArray[np.float64]:
    """Return RGB of YCbCr (PS3.3 C.7.6.3.1.2)."""
    luma, blue, red = values[..., 0], values[..., 1] - 128, values[..., 2] - 128
    if is_partial:
        luma, blue, red = (luma - 16) * 255 / 219, blue * 255 / 224, red * 255 / 224
    rgb = np.stack([luma + 1.402 * red, luma - 0.344 * blue - 0.714 * red, luma + 1.772 * blue], axis=-1)
    return np.clip(rgb, 0, 255)


def preview(parsed: ParsedFile, frame: int = 0) -> bytes:
    """Return a frame as PNG in its own pixels, for the person who looks at a held file and names boxes in it.

    Raises
    ------
    StudyUnreadable
        As `Frames` does.
    """
    frames = Frames(parsed)
    return png_of(visible(frames[min(frame, len(frames) - 1)], frames), widest_px=None)


def png_of(picture: NDArray[np.uint8], *, widest_px: int | None = _PREVIEW_PX) -> bytes:
    """Return a picture, shape (rows, columns, 3), as PNG, at most so many pixels wide (None: as it is)."""
    from PIL import Image

    image, stream = Image.fromarray(picture), io.BytesIO()
    if widest_px is not None and image.width > widest_px:
        image = image.resize((widest_px, max(1, image.height * widest_px // image.width)))
    image.save(stream, "PNG", optimize=False)
    return stream.getvalue()
