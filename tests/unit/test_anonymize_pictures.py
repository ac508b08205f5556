"""Every kind of pixels is decoded frame by frame and put back so that nothing else changes."""

from __future__ import annotations

import io
import struct
import tracemalloc
from itertools import product
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import (
    JPEG2000,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from anonymize import headers, rewriting
from anonymize.elements import ParsedFile, encode_element, parse_file
from anonymize.pictures import Frames, preview, visible
from anonymize.quarantine import mapped
from anonymize.rewriting import with_frames
from anonymize.unseen import without_unseen
from medviz.core.errors import StudyUnreadable
from tests import make_raw

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom", "ignore::UserWarning:tests")

SPOT = np.s_[4:8, 6:10]


def picture(
    pixels: NDArray[np.generic],
    *,
    photometric: str = "MONOCHROME2",
    stored: int = 0,
    syntax: str = ExplicitVRLittleEndian,
) -> Dataset:
    """Return a secondary capture of pixels, shape (frames, rows, columns, samples)."""
    frames, rows, columns, samples = pixels.shape
    bits = pixels.dtype.itemsize * 8
    ds = make_raw.screenshot(np.zeros((1, 1, 3), np.uint8))
    ds.file_meta.TransferSyntaxUID = syntax
    ds.NumberOfFrames, ds.Rows, ds.Columns, ds.SamplesPerPixel = frames, rows, columns, samples
    ds.PhotometricInterpretation, ds.PixelRepresentation = photometric, int(pixels.dtype.kind == "i")
    ds.BitsAllocated, ds.BitsStored = bits, stored or bits
    ds.HighBit = ds.BitsStored - 1
    del ds.PlanarConfiguration
    if samples > 1:
        ds.PlanarConfiguration = 0
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    ds.PixelData = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    ds.PixelData += bytes(len(ds.PixelData) % 2)
    ds["PixelData"].VR = "OB" if bits == 8 else "OW"
    return ds


def noise(shape: tuple[int, ...], kind: str, *, bits: int = 0, seed: int = 1) -> NDArray[np.generic]:
    """Return values that use all their bits."""
    signed, size = kind[0] == "i", bits or 8 * np.dtype(kind).itemsize
    low, high = (-(2 ** (size - 1)), 2 ** (size - 1)) if signed else (0, 2**size)
    return np.random.default_rng(seed).integers(low, high, shape).astype(kind)


def coloured(frames: int = 2, *, side: int = 16) -> NDArray[np.uint8]:
    """Return smooth colours, shape (frames, side, side, 3)."""
    rows, columns = np.mgrid[:side, :side] * 16 // side
    one = np.stack([rows * 15, columns * 15, (rows + columns) * 8], axis=-1).astype(np.uint8)
    return np.stack([np.roll(one, number, axis=1) for number in range(frames)])


def parsed_of(ds: Dataset) -> ParsedFile:
    return parse_file(make_raw.to_bytes(ds))


def written(parsed: ParsedFile) -> Dataset:
    """Return a taken-apart file, written like the product does, read by pydicom."""
    start = headers.file_start(headers.sop_class_of(parsed), "1.2.3", parsed.syntax)
    body = b"".join(
        encode_element(part.tag, part.vr, part.value, parsed.encoding) for part in parsed.elements
    )
    value = b"".join(bytes(piece) for piece in headers.pixel_value(parsed))
    return pydicom.dcmread(io.BytesIO(start + body + headers.pixel_header(parsed) + value))


def with_grey_spot(parsed: ParsedFile, index: int) -> ParsedFile:
    """Return the file with a spot of one frame set to the value of its first pixel."""
    frame = Frames(parsed)[index]
    frame[SPOT] = frame[0, 0]
    return with_frames(parsed, [(index, frame)]).parsed


def check_only_the_spot_changed(ds: Dataset, index: int = 1) -> Dataset:
    """Check one changed frame against pydicom's own reading of the file before and after."""
    before = np.atleast_3d(ds.pixel_array)
    after_ds = written(with_grey_spot(parsed_of(ds), index))
    after = np.atleast_3d(after_ds.pixel_array)
    assert after.shape == before.shape
    expected = before.copy()
    if ds.get("NumberOfFrames", 1) > 1:
        expected[index][SPOT] = expected[index][0, 0]
    else:
        expected[SPOT] = expected[0, 0]
    assert np.array_equal(after, expected)
    return after_ds


@pytest.mark.parametrize(
    ("kind", "bits"),
    [("u1", 8), ("i1", 8), ("u2", 12), ("u2", 16), ("i2", 16), ("i2", 12), ("u4", 32), ("i4", 32)],
)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_change_touches_only_its_spot(kind: str, bits: int, syntax: str) -> None:
    ds = picture(noise((2, 16, 16, 1), kind, bits=bits), stored=bits, syntax=syntax)
    check_only_the_spot_changed(ds)


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "MONOCHROME1", "PALETTE COLOR"])
def test_colour_models_stay(photometric: str) -> None:
    samples = 3 if photometric in ("RGB", "YBR_FULL") else 1
    ds = picture(noise((2, 16, 16, samples), "u1"), photometric=photometric)
    if photometric == "PALETTE COLOR":
        set_palette(ds)
    after = check_only_the_spot_changed(ds)
    assert after.PhotometricInterpretation == photometric


def set_palette(ds: Dataset, *, entries: int = 256, first: int = 0) -> None:
    for number, name in enumerate(("Red", "Green", "Blue")):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [entries, first, 16])
        table = (np.arange(entries) * 257 % 65536 // (number + 1)).astype("<u2")
        setattr(ds, f"{name}PaletteColorLookupTableData", table.tobytes())


def test_a_planar_file_stays_planar() -> None:
    pixels = coloured()
    ds = picture(pixels, photometric="RGB")
    ds.PlanarConfiguration = 1
    ds.PixelData = pixels.transpose(0, 3, 1, 2).tobytes()
    assert check_only_the_spot_changed(ds).PlanarConfiguration == 1


def test_native_pixels_that_share_colours_change_in_pairs_only() -> None:
    pairs = noise((2, 16, 8, 4), "u1")
    ds = picture(coloured(), photometric="RGB")
    ds.PhotometricInterpretation = "YBR_FULL_422"
    ds.PixelData = pairs.tobytes()
    check_only_the_spot_changed(ds)


@pytest.mark.parametrize("rows", [16, 15])
def test_single_bit_pictures_change_bit_by_bit(rows: int) -> None:
    ones = np.random.default_rng(3).integers(0, 2, (3, rows, 13, 1)).astype(np.uint8)
    ds = picture(ones)
    ds.BitsAllocated = ds.BitsStored = 1
    ds.HighBit = 0
    packed = np.packbits(ones.reshape(-1), bitorder="little").tobytes()
    ds.PixelData = packed + bytes(len(packed) % 2)
    check_only_the_spot_changed(ds)


def test_single_bytes_in_big_endian_words_are_found() -> None:
    pixels = noise((2, 15, 15, 1), "u1")
    ds = picture(pixels, syntax=ExplicitVRBigEndian)
    plain = pixels.tobytes()
    ds.PixelData = np.frombuffer(plain + bytes(len(plain) % 2), ">u2").astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
    assert np.array_equal(Frames(parsed_of(ds))[1], pixels[1])
    check_only_the_spot_changed(ds)


def test_floats_are_put_back() -> None:
    pixels = np.random.default_rng(1).normal(size=(2, 16, 16, 1)).astype("<f4")
    ds = picture(np.zeros((2, 16, 16, 1), "u4"))
    del ds.PixelData
    ds.FloatPixelData = pixels.tobytes()
    frames = Frames(parsed_of(ds))
    assert np.array_equal(frames[1], pixels[1])
    after = written(with_grey_spot(parsed_of(ds), 1))
    values = np.frombuffer(after.FloatPixelData, "<f4").reshape(pixels.shape)
    assert np.array_equal(values[0], pixels[0])
    assert (values[1][SPOT] == pixels[1][0, 0]).all()


def compressed(ds: Dataset, syntax: str) -> Dataset:
    ds.compress(syntax, generate_instance_uid=False)
    return ds


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize(("kind", "bits"), [("u1", 8), ("u2", 12), ("i2", 16)])
def test_a_lossless_syntax_is_kept(syntax: str, kind: str, bits: int) -> None:
    ds = compressed(picture(noise((3, 64, 64, 1), kind, bits=bits), stored=bits), syntax)
    after = check_only_the_spot_changed(ds)
    assert after.file_meta.TransferSyntaxUID == syntax


@pytest.mark.parametrize(
    ("syntax", "photometric"),
    [
        *product([RLELossless, JPEGLSLossless, JPEG2000Lossless], ["RGB"]),
        (RLELossless, "YBR_FULL"),
        (JPEG2000Lossless, "YBR_RCT"),
    ],
)
def test_lossless_colour_is_kept(syntax: str, photometric: str) -> None:
    ds = picture(coloured(3, side=64), photometric="RGB" if photometric == "YBR_RCT" else photometric)
    ds.PhotometricInterpretation = photometric
    after = check_only_the_spot_changed(compressed(ds, syntax))
    assert after.file_meta.TransferSyntaxUID == syntax
    assert after.PhotometricInterpretation == photometric


def test_frames_that_did_not_change_keep_their_compressed_bytes() -> None:
    ds = compressed(picture(noise((3, 16, 16, 1), "u1")), JPEGLSLossless)
    before = list(generate_frames(ds.PixelData, number_of_frames=3))
    after = written(with_grey_spot(parsed_of(ds), 1))
    now = list(generate_frames(after.PixelData, number_of_frames=3))
    assert now[0] == before[0]
    assert now[2] == before[2]
    assert now[1] != before[1]


def jpeg(pixels: NDArray[np.uint8], *, subsampling: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0]).save(
        stream, "JPEG", quality=80, subsampling=subsampling
    )
    return stream.getvalue()


@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "MONOCHROME2"])
def test_a_lossy_picture_is_stored_without_further_loss_and_says_so(photometric: str) -> None:
    pixels = coloured() if photometric.startswith("YBR") else coloured()[..., :1].copy()
    ds = picture(pixels, photometric="RGB" if pixels.shape[-1] == 3 else photometric)
    ds.PhotometricInterpretation, ds.LossyImageCompression = photometric, "01"
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    ds.PixelData = encapsulate([jpeg(frame, subsampling=1) for frame in pixels])
    after = check_only_the_spot_changed(ds)
    assert after.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert after.LossyImageCompression == "01"
    assert after.PhotometricInterpretation == ("RGB" if pixels.shape[-1] == 3 else "MONOCHROME2")
    parsed = parsed_of(ds)
    assert "without loss" in with_frames(parsed, [(0, Frames(parsed)[0])]).notes[0]


def test_a_lossy_jpeg_2000_syntax_takes_lossless_frames() -> None:
    ds = picture(coloured(side=64)[..., :1].copy())
    ds.compress(JPEG2000, j2k_cr=[4], generate_instance_uid=False)
    assert check_only_the_spot_changed(ds).file_meta.TransferSyntaxUID == JPEG2000


def test_a_near_lossless_syntax_takes_lossless_frames() -> None:
    ds = picture(noise((2, 16, 16, 1), "u1"))
    ds.compress(JPEGLSNearLossless, jls_error=3, generate_instance_uid=False)
    assert check_only_the_spot_changed(ds).file_meta.TransferSyntaxUID == JPEGLSNearLossless


def test_what_is_large_becomes_jpeg_ls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriting, "MOST_PLAIN_BYTES", 100)
    ds = picture(coloured(), photometric="RGB")
    ds.PhotometricInterpretation = "YBR_FULL_422"
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    ds.PixelData = encapsulate([jpeg(frame, subsampling=1) for frame in coloured()])
    assert check_only_the_spot_changed(ds).file_meta.TransferSyntaxUID == JPEGLSLossless


def test_lossless_jpeg_is_stored_anew_without_loss() -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    pixels = noise((2, 16, 16, 1), "u2", bits=12)
    ds = picture(pixels, stored=12)
    ds.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    ds.PixelData = encapsulate(
        [imagecodecs.ljpeg_encode(frame[..., 0], bitspersample=12) for frame in pixels]
    )
    assert np.array_equal(ds.pixel_array, pixels[..., 0])
    check_only_the_spot_changed(ds)


def test_frames_in_several_fragments_and_extended_offsets_are_found() -> None:
    pixels = noise((3, 16, 16, 1), "u1")
    ds = compressed(picture(pixels), JPEGLSLossless)
    frames = list(generate_frames(ds.PixelData, number_of_frames=3))
    for has_bot in (True, False):
        ds.PixelData = encapsulate(frames, fragments_per_frame=2, has_bot=has_bot)
        parsed = parsed_of(ds)
        assert all(np.array_equal(a, b) for a, b in zip(Frames(parsed), pixels, strict=True))
    ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = encapsulate_extended(frames)
    after = written(with_grey_spot(parsed_of(ds), 2))
    assert "ExtendedOffsetTable" not in after
    assert np.array_equal(after.pixel_array[:2], pixels[:2, ..., 0])


def test_fragments_that_belong_to_no_frame_hold_the_file_or_are_left_out() -> None:
    ds = compressed(picture(noise((1, 16, 16, 1), "u1")), JPEGLSLossless)
    frame = next(generate_frames(ds.PixelData, number_of_frames=1))
    hidden = next(
        generate_frames(
            compressed(picture(noise((1, 16, 16, 1), "u1", seed=9)), JPEGLSLossless).PixelData,
            number_of_frames=1,
        )
    )
    ds.PixelData = encapsulate([frame, hidden], has_bot=False)
    value = b"".join(headers.pixel_value(without_unseen(parsed_of(ds)).parsed))
    assert frame in value
    assert hidden not in value
    ds.NumberOfFrames = 5
    with pytest.raises(StudyUnreadable) as caught:
        without_unseen(parsed_of(ds))
    assert caught.value.reason == "PIXELS_UNREADABLE"


def test_text_in_the_offset_table_goes() -> None:
    ds = compressed(picture(noise((2, 16, 16, 1), "u1")), RLELossless)
    frames = list(generate_frames(ds.PixelData, number_of_frames=2))
    items = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(part)) + part for part in (b"Gundula!", *frames))
    ds.PixelData = items
    parsed = without_unseen(parsed_of(ds)).parsed
    assert b"Gundula" not in b"".join(headers.pixel_value(parsed))
    assert np.array_equal(written(parsed).pixel_array, ds_pixels(frames))


def ds_pixels(frames: list[bytes]) -> NDArray[np.generic]:
    """Return frames of 16 x 16 bytes as pydicom's RLE decoder gives them."""
    ds = picture(np.zeros((len(frames), 16, 16, 1), np.uint8))
    ds.file_meta.TransferSyntaxUID = RLELossless
    ds.PixelData = encapsulate(frames)
    return ds.pixel_array


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("signed", [False, True])
def test_graphics_in_unused_bits_go_and_the_values_stay(signed: bool, syntax: str) -> None:
    values = noise((1, 16, 16, 1), "i2" if signed else "u2", bits=12)
    hidden = (values.astype("u2") & 0x0FFF) | 0x5000
    ds = picture(hidden, stored=12, syntax=syntax)
    ds.PixelRepresentation = int(signed)
    result = without_unseen(parsed_of(ds))
    kind = (">" if syntax == ExplicitVRBigEndian else "<") + ("i2" if signed else "u2")
    words = np.frombuffer(written(result.parsed).PixelData, kind).reshape(16, 16)
    assert np.array_equal(words, values[0, ..., 0])
    assert result.notes


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_graphics_in_unused_bits_of_compressed_frames_go(syntax: str) -> None:
    values = noise((2, 16, 16, 1), "u2", bits=12)
    ds = compressed(picture(values | 0x5000), syntax)
    ds.BitsStored, ds.HighBit = 12, 11
    after = written(without_unseen(parsed_of(ds)).parsed)
    assert after.file_meta.TransferSyntaxUID == syntax
    after.BitsStored, after.HighBit = 16, 15
    assert np.array_equal(after.pixel_array, values[..., 0])


def test_signed_values_that_carry_their_sign_are_left_alone() -> None:
    parsed = parsed_of(picture(noise((1, 16, 16, 1), "i2", bits=12), stored=12))
    assert without_unseen(parsed).parsed.buffer is parsed.buffer


def test_a_palette_ends_where_its_descriptor_says() -> None:
    ds = picture(noise((1, 16, 16, 1), "u1"), photometric="PALETTE COLOR")
    set_palette(ds)
    ds.RedPaletteColorLookupTableData += b"Gundula Rumpelstein "
    after = written(without_unseen(parsed_of(ds)).parsed)
    assert len(after.RedPaletteColorLookupTableData) == 512


def test_a_palette_starts_at_its_first_mapped_value() -> None:
    ds = picture(np.full((1, 16, 16, 1), 12, np.uint8), photometric="PALETTE COLOR")
    set_palette(ds, entries=16, first=10)
    frames = Frames(parsed_of(ds))
    expected = pydicom.pixels.apply_color_lut(ds.pixel_array, ds)[0, 0] >> 8
    assert np.array_equal(visible(frames[0], frames)[0, 0], expected)


def test_colours_are_seen_as_pydicom_sees_them() -> None:
    ds = picture(noise((1, 16, 16, 3), "u1"), photometric="YBR_FULL")
    frames = Frames(parsed_of(ds))
    assert np.abs(visible(frames[0], frames).astype(int) - ds.pixel_array.astype(int)).max() <= 1


def test_what_cannot_be_decoded_has_its_own_reason() -> None:
    ds = compressed(picture(noise((1, 16, 16, 1), "u1")), JPEGLSLossless)
    ds.PixelData = encapsulate([b"\xff\xd8 not a picture \xff\xd9"])
    with pytest.raises(StudyUnreadable) as caught:
        Frames(parsed_of(ds))[0]
    assert caught.value.reason == "PIXELS_UNREADABLE"


def test_a_frame_beyond_the_limit_has_its_own_reason() -> None:
    ds = picture(noise((1, 16, 16, 1), "u1"))
    ds.Rows = ds.Columns = 60000
    with pytest.raises(StudyUnreadable) as caught:
        Frames(parsed_of(ds))
    assert caught.value.reason == "TOO_LARGE"


def test_a_person_sees_a_held_picture_in_the_pixels_that_boxes_are_named_in() -> None:
    ds = picture(noise((1, 16, 2048, 1), "u2"))
    image = Image.open(io.BytesIO(preview(parsed_of(ds))))
    assert image.format == "PNG"
    assert image.size == (2048, 16)


def test_memory_stays_flat_however_many_frames_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewriting, "_IN_MEMORY_BYTES", 1 << 20)
    pixels = noise((48, 512, 512, 1), "u1")
    path = make_raw.write(picture(pixels), tmp_path / "loop.dcm")
    with mapped(path) as buffer:
        parsed = parse_file(buffer)
        tracemalloc.start()
        frames = Frames(parsed)
        result = with_frames(parsed, ((index, frames[index]) for index in range(len(frames)))).parsed
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        span = result.pixels
        assert span is not None
        assert bytes(result.buffer[span.value_start : span.end]) == pixels.tobytes()
    # frames of 256 KiB and pieces of 12 MiB, a file of 12 MiB
    assert most < 30 << 20
