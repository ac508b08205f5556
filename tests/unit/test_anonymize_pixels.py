"""Burned-in text is filled on every frame, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.uid import JPEGLSLossless, RLELossless

from anonymize.denylist import DenyList
from anonymize.pixels import TextBox, TextFinder, is_plain_measurement
from medviz.core.study import DeidentifiedStudy
from tests import make_raw

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def run(ds: pydicom.Dataset, folder: Path, finder: TextFinder | None) -> DeidentifiedStudy:
    make_raw.write(ds, folder / "in" / "shot")
    make_raw.write(make_raw.ct_slice(0), folder / "in" / "slice")
    return make_raw.deidentified(folder / "in", folder, make_raw.orders(finder=finder))


def screenshot_of(study: DeidentifiedStudy) -> pydicom.Dataset:
    return next(ds for ds in map(pydicom.dcmread, study.files) if ds.Modality == "OT")


def coloured(*, frames: int = 0) -> NDArray[np.uint8]:
    """A red and blue picture with a white bar in its upper left, one or several frames."""
    picture = np.zeros((64, 64, 3), dtype=np.uint8)
    picture[:, :32, 0], picture[:, 32:, 2] = 120, 90
    picture[10:16, 6:24] = 255
    return np.stack([np.roll(picture, 4 * n, axis=0) for n in range(frames)]) if frames else picture


def test_text_is_filled_with_the_colour_around_it_and_the_rest_is_untouched(tmp_path: Path) -> None:
    before = coloured()
    ds = screenshot_of(run(make_raw.screenshot(before), tmp_path, make_raw.BrightFinder()))
    after = ds.pixel_array
    assert (after[8:18, 4:26] == (120, 0, 0)).all()
    untouched = np.ones((64, 64), dtype=bool)
    untouched[4:22, 2:28] = False
    assert np.array_equal(after[untouched], before[untouched])
    assert ds.BurnedInAnnotation == "NO"


def test_every_frame_is_read(tmp_path: Path) -> None:
    finder = make_raw.BrightFinder()
    study = run(make_raw.screenshot(coloured(frames=3)), tmp_path, finder)
    after = screenshot_of(study).pixel_array
    assert after.shape == (3, 64, 64, 3)
    assert after.max() == 120
    assert finder.pictures >= 6


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_a_losslessly_compressed_picture_stays_so(tmp_path: Path, syntax: str) -> None:
    shot = make_raw.screenshot(coloured())
    shot.compress(syntax, generate_instance_uid=False)
    ds = screenshot_of(run(shot, tmp_path, make_raw.BrightFinder()))
    assert ds.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(ds.pixel_array[30:], coloured()[30:])
    assert ds.pixel_array.max() == 120


def test_planar_colour_keeps_its_layout(tmp_path: Path) -> None:
    shot = make_raw.screenshot(coloured())
    shot.PlanarConfiguration = 1
    shot.PixelData = coloured().transpose(2, 0, 1).tobytes()
    ds = screenshot_of(run(shot, tmp_path, make_raw.BrightFinder()))
    assert np.array_equal(ds.pixel_array[30:], coloured()[30:])
    assert ds.pixel_array.max() == 120


def test_a_plain_measurement_stays(tmp_path: Path) -> None:
    study = run(make_raw.screenshot(coloured()), tmp_path, make_raw.BrightFinder("12.5 mm"))
    assert np.array_equal(screenshot_of(study).pixel_array, coloured())


@pytest.mark.parametrize("text", ["5.0 mm", "5.0", "120 kV", "512 mGy*cm", "L", "-37 HU", "25 %"])
def test_measurements_and_side_letters_are_known(text: str) -> None:
    assert is_plain_measurement(TextBox(0, 1, 0, 1, text, 0.99), DenyList())
    assert not is_plain_measurement(TextBox(0, 1, 0, 1, text, 0.5), DenyList())


@pytest.mark.parametrize(
    "text",
    ["Rumpelstein", "1931", "480-1177", "07.04.1931", "07.04", "LUNG 5 mm", "12345 mm", "009"],
)
def test_anything_else_is_not_a_measurement(text: str) -> None:
    assert not is_plain_measurement(TextBox(0, 1, 0, 1, text, 0.99), DenyList())


def test_a_measurement_that_is_the_patients_number_is_filled() -> None:
    deny = DenyList()
    deny.add_text("5123")
    assert not is_plain_measurement(TextBox(0, 1, 0, 1, "5123 mm", 0.99), deny)


def test_without_a_finder_a_screenshot_is_held_and_the_slices_pass(tmp_path: Path) -> None:
    study = run(make_raw.screenshot(coloured()), tmp_path, None)
    assert len(study.files) == 1
    assert [problem.reason for problem in study.problems] == ["NO_TEXT_FINDER"]


def test_text_that_stays_readable_holds_the_picture(tmp_path: Path) -> None:
    class Stubborn(make_raw.BrightFinder):
        def find(self, picture: NDArray[np.uint8]) -> list[TextBox]:
            return [TextBox(1, 5, 1, 5, "GUNDULA", 0.99)]

    study = run(make_raw.screenshot(coloured()), tmp_path, Stubborn())
    assert [problem.reason for problem in study.problems] == ["TEXT_REMAINS"]


def test_a_ct_slice_that_says_it_has_burned_in_text_is_read(tmp_path: Path) -> None:
    slice_ = make_raw.ct_slice(3)
    slice_.BurnedInAnnotation = "YES"
    finder = make_raw.BrightFinder("5 mm")
    run(slice_, tmp_path, finder)
    assert finder.pictures > 0


def test_the_pixels_of_a_usual_ct_slice_are_never_read(tmp_path: Path) -> None:
    finder = make_raw.BrightFinder()
    run(make_raw.ct_slice(3), tmp_path, finder)
    assert finder.pictures == 0
