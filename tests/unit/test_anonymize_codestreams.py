"""Compressed slices: the values stay, the comments go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from anonymize.codestreams import without_comments
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
