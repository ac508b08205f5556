"""Compressed slices: the values stay, the comments go."""

from __future__ import annotations

import io
import re
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from anonymize.codestreams import fragments_without_comments, without_comments, without_gaps
from tests import make_raw

COMMENTS = {
    JPEGLSLossless: b"\xff\xfe\x00\x16by Gundula Rumpelste",
    JPEG2000Lossless: b"\xff\x64\x00\x16\x00\x01by Gundula Rumpels",
}


def with_comment(frame: bytes, syntax: str) -> bytes:
    """Put a comment where the format allows one: after the start, or after J2K's size segment."""
    at = 2
    if syntax == JPEG2000Lossless:
        at = 4 + int.from_bytes(frame[4:6], "big")
    return frame[:at] + COMMENTS[syntax] + frame[at:] + b"Gundula"


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_a_compressed_slice_keeps_its_values_and_loses_its_comments(tmp_path: Path, syntax: str) -> None:
    ds = make_raw.ct_slice(0, side=32)
    before = ds.pixel_array.copy()
    ds.compress(syntax, generate_instance_uid=False)
    if syntax in COMMENTS:
        frame = next(generate_frames(ds.PixelData, number_of_frames=1))
        ds.PixelData = encapsulate([with_comment(frame, syntax)])
    make_raw.write(ds, tmp_path / "in" / "a")

    study = make_raw.deidentified(tmp_path / "in", tmp_path)

    after = pydicom.dcmread(study.files[0])
    assert after.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(after.pixel_array, before)
    assert b"Gundula" not in study.files[0].read_bytes()
    assert b"Rumpels" not in study.files[0].read_bytes()


def test_what_is_no_jpeg_stays_as_it_is() -> None:
    assert without_comments(b"\xff\xfe\x00\x06name") == b"\xff\xfe\x00\x06name"
    assert without_comments(b"") == b""


def test_a_segment_that_runs_past_the_end_is_blanked_to_the_end() -> None:
    assert without_comments(b"\xff\xd8\xff\xfe\xff\xffGundula") == b"\xff\xd8\xff\xfe\xff\xff       "


def test_colour_transforms_that_decoders_obey_stay() -> None:
    stream = b"\xff\xd8\xff\xee\x00\x0eAdobe\x00d\x00\x00\x00\x00\x01\xff\xe1\x00\x08Exif!!\xff\xd9"
    assert without_comments(stream) == stream.replace(b"Exif!!", b"      ")


def progressive_jpeg() -> bytes:
    """Return a JPEG of several scans."""
    rows, columns = np.mgrid[:32, :32]
    picture = np.stack([rows * 8, columns * 8, rows * 4 + columns * 4], axis=-1).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=90, progressive=True)
    return stream.getvalue()


def shown(stream: bytes) -> NDArray[np.uint8]:
    return np.array(Image.open(io.BytesIO(stream)))


@pytest.mark.parametrize("marker", [0xFE, 0xE1, 0xEC])
def test_comments_between_the_scans_of_a_jpeg_go(marker: int) -> None:
    plain = progressive_jpeg()
    scans = [found.start() for found in re.finditer(rb"\xff\xda", plain)]
    assert len(scans) > 2
    note = bytes([0xFF, marker]) + b"\x00\x13Gundula by Rumpel"
    stream = plain[: scans[2]] + note + plain[scans[2] :]
    after = without_comments(stream)
    assert len(after) == len(stream)
    assert b"Gundula" not in after
    assert np.array_equal(shown(after), shown(plain))


def test_bytes_behind_a_jpeg_go_although_they_look_like_another_end() -> None:
    after = without_comments(progressive_jpeg() + b"Gundula\xff\xd9")
    assert b"Gundula" not in after


def j2k(*, tiles: bool = True) -> tuple[bytes, NDArray[np.uint8]]:
    picture = (np.mgrid[:64, :64].sum(axis=0) * 2).astype(np.uint8)
    stream = io.BytesIO()
    size = (32, 32) if tiles else None
    Image.fromarray(picture).save(stream, "JPEG2000", irreversible=False, tile_size=size, no_jp2=True)
    return stream.getvalue(), picture


def test_comments_in_the_tile_headers_of_a_jpeg_2000_go() -> None:
    plain, picture = j2k()
    first = plain.index(b"\xff\x90")
    second = first + int.from_bytes(plain[first + 6 : first + 10], "big")
    note = b"\xff\x64\x00\x13\x00\x01Gundula Rumpels"
    length = int.from_bytes(plain[second + 6 : second + 10], "big") + len(note)
    head = plain[second : second + 6] + length.to_bytes(4, "big") + plain[second + 10 : second + 12]
    stream = plain[:second] + head + note + plain[second + 12 :]
    after = without_comments(stream)
    assert len(after) == len(stream)
    assert b"Gundula" not in after
    assert np.array_equal(shown(after), picture)


def test_boxes_of_text_around_a_jpeg_2000_go() -> None:
    _, picture = j2k(tiles=False)
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG2000", irreversible=False)
    assert stream.getvalue()[:8] == b"\0\0\0\x0cjP  "
    text = b"\0\0\0\x18xml <p>Gundula</p>  "
    at = stream.getvalue().index(b"jp2c") - 4
    after = without_comments(stream.getvalue()[:at] + text + stream.getvalue()[at:])
    assert b"Gundula" not in after
    assert np.array_equal(shown(after), picture)


def test_gaps_and_tails_of_an_rle_frame_go_and_its_values_stay() -> None:
    ds = make_raw.ct_slice(0, side=32)
    before = ds.pixel_array.copy()
    ds.compress(RLELossless, generate_instance_uid=False)
    frame = next(generate_frames(ds.PixelData, number_of_frames=1))
    second = int.from_bytes(frame[8:12], "little")
    hidden = b"Gundula Rumpelst"
    moved = bytearray(frame[:second] + hidden + frame[second:] + hidden)
    moved[8:12] = (second + len(hidden)).to_bytes(4, "little")
    moved[40:56] = hidden
    after = without_gaps(bytes(moved), 32 * 32)
    assert len(after) == len(moved)
    assert b"Gundula" not in after
    ds.PixelData = encapsulate([after])
    assert np.array_equal(ds.pixel_array, before)


def test_a_comment_that_lies_across_two_fragments_goes() -> None:
    ds = make_raw.ct_slice(0, side=32)
    ds.compress(JPEGLSLossless, generate_instance_uid=False)
    frame = with_comment(next(generate_frames(ds.PixelData, number_of_frames=1)), JPEGLSLossless)
    cut = frame.index(b"Gundula") + 4
    cut += cut % 2
    items = (b"", frame[:cut], frame[cut:] + b" " * (len(frame) % 2), None)
    value = b"".join(
        struct.pack("<HHL", 0xFFFE, 0xE0DD if part is None else 0xE000, len(part or b"")) + (part or b"")
        for part in items
    )
    after = b"".join(fragments_without_comments(memoryview(value)))
    assert len(after) == len(value)
    assert b"Gund" not in after
    assert b"ula" not in after
