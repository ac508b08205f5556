"""The phantom has the volumes its formulas say, and its DICOM carries the planted identity."""

from __future__ import annotations

from math import pi
from pathlib import Path

import numpy as np
import pydicom
import pytest

from medviz.core.errors import BadInput
from sample_data.dicomwriter import SeriesRecipe, write_burned_in_capture, write_series
from sample_data.head_ct import fetch_project
from sample_data.identity import PATIENT, PLANTED_TOKENS
from sample_data.phantom import ABDOMEN, HEAD, TRUTH, render


def test_the_phantoms_aorta_has_the_cross_section_of_its_formula() -> None:
    plane = render(ABDOMEN, seed=1, noise_hu=0.001)[64 + 33]  # 50.25 mm above the centre
    row, column = round(127.5 + 34 / 0.9), round(127.5 + 9 / 0.9)
    around = plane[row - 16 : row + 13, column - 16 : column + 17]
    wanted_mm2 = pi * 10 * 10 * (1 - (50.25 / 190) ** 2)
    assert ((around > 40) & (around < 300)).sum() * 0.9**2 == pytest.approx(wanted_mm2, rel=0.05)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_noise_and_another_seed_other_noise() -> None:
    first, again, other = (render(HEAD, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_left_is_left_in_the_phantom() -> None:
    hu = render(HEAD, seed=1, noise_hu=0.001)
    z, y, left_x = 64 + 13, 128 - 9, round(127.5 + 11 / 0.9)
    assert hu[z, y, left_x] == pytest.approx(TRUTH["ventricle_left"].level_hu, abs=4)


def test_a_written_series_carries_the_invented_identity_and_right_positions(tmp_path: Path) -> None:
    recipe = SeriesRecipe(2, "Head", "HEAD", 0.9, 1.5, (-10.0, -12.0, 5.0))
    files = write_series(np.zeros((3, 8, 9), dtype=np.int16), recipe, tmp_path, study="t")
    last = pydicom.dcmread(files[-1])
    assert last.PatientName == PATIENT.name
    assert [float(v) for v in last.ImagePositionPatient] == [-10.0, -12.0, 8.0]
    assert int(last.pixel_array[0, 0]) + int(last.RescaleIntercept) == 0
    blob = b"".join(path.read_bytes() for path in files)
    planted = [token for token in PLANTED_TOKENS if token.encode() in blob]
    assert len(planted) >= len(PLANTED_TOKENS) - 1


def test_the_secondary_capture_says_that_text_is_burned_in(tmp_path: Path) -> None:
    capture = pydicom.dcmread(write_burned_in_capture(tmp_path, study="t"))
    assert capture.BurnedInAnnotation == "YES"
    assert int((capture.pixel_array > 200).sum()) > 1000


def test_a_sample_that_is_not_the_pinned_file_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "Cranium.inv3"
    wrong.write_bytes(b"not it")
    with pytest.raises(BadInput) as caught:
        fetch_project(tmp_path / "cache", wrong)
    assert caught.value.reason == "SAMPLE_DAMAGED"
