"""Burned-in text is filled on every frame, and nothing else changes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import JPEGLSLossless, RLELossless

from anonymize.denylist import DenyList
from anonymize.elements import parse_file
from anonymize.ocr import text_finder
from anonymize.pictures import Frames
from anonymize.pixels import (
    Redaction,
    TextBox,
    TextFinder,
    filled_mask,
    is_plain_measurement,
    must_go,
    without_burned_in_text,
)
from benchmarks import deid_text_in_pictures
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


@pytest.mark.parametrize(
    "text",
    [
        *("FR 32Hz", "MI 0.8", "TIs 0.4", "Depth 15.0 cm", "Gain 50 dB", "kV 120", "FLAIR", "PRF 1.4kHz"),
        *("CTDIvol 12.3 mGy", "Total DLP", "T2 TSE 3mm", "+ Dist 1.24 cm", "10", "-58.2", "2D 62%", "HRes"),
    ],
)
def test_what_a_scanner_says_about_the_picture_stays(text: str) -> None:
    assert not must_go(TextBox(0, 1, 0, 1, text, 0.97), DenyList())
    assert must_go(TextBox(0, 1, 0, 1, text, 0.6), DenyList())


@pytest.mark.parametrize(
    "text",
    [
        *("DOB 1964-02-07", "ID 12345", "Okonkwo", "FR Olaf", "住院号 82164938", "姓名 王秀英", "12:30"),
        *("Dr. Depth", "Age 67", "03/04", "Gain 1964", "Klinikum", "20240312", "张伟", "R. L."),
    ],
)
def test_what_may_be_a_persons_goes_however_surely_it_is_read(text: str) -> None:
    assert must_go(TextBox(0, 1, 0, 1, text, 1.0), DenyList())


def test_a_scanners_word_that_is_the_patients_name_goes() -> None:
    deny = DenyList()
    deny.add_name("Gain^Focus")
    assert must_go(TextBox(0, 1, 0, 1, "Gain 50", 1.0), deny)


def read(
    shot: pydicom.Dataset, finder: TextFinder | None, *, verdict: tuple[TextBox, ...] | None = None
) -> Redaction:
    parsed = parse_file(make_raw.to_bytes(shot))
    return without_burned_in_text(parsed, finder, DenyList(), verdict=verdict)


def test_a_persons_boxes_are_filled_on_every_frame_and_nothing_is_read() -> None:
    finder = make_raw.BrightFinder()
    boxes = (TextBox(40, 50, 40, 50, "", 1.0),)
    result = read(make_raw.screenshot(coloured(frames=3)), finder, verdict=boxes)
    assert finder.pictures == 0
    assert (result.frames, result.boxes) == (0, 3)
    after = Frames(result.parsed)
    for before, now in zip(coloured(frames=3), after, strict=True):
        assert np.array_equal(now[:36], before[:36])


def test_a_person_may_say_that_nothing_identifies() -> None:
    shot = make_raw.screenshot(coloured())
    result = read(shot, None, verdict=())
    assert result.parsed.pixels == parse_file(make_raw.to_bytes(shot)).pixels
    assert result.picture == b""


def test_equal_frames_are_read_once() -> None:
    finder = make_raw.BrightFinder()
    read(make_raw.screenshot(np.stack([coloured()] * 5)), finder)
    assert finder.pictures == 2  # once, and once more to see that nothing is left


def test_text_that_stands_still_is_filled_before_a_moving_frame_is_read() -> None:
    frames = np.stack([coloured()] * 4)
    frames[:, 40:44, 40:44, 1] = np.arange(4)[:, None, None] * 30
    finder = make_raw.BrightFinder()
    result = read(make_raw.screenshot(frames), finder)
    assert finder.pictures == 5  # the first frame twice, the others once
    assert result.boxes == 4
    assert max(frame.max() for frame in Frames(result.parsed)) < 200


def test_the_officers_picture_is_taken_after_filling_and_outlines_the_boxes() -> None:
    result = read(make_raw.screenshot(coloured()), make_raw.BrightFinder())
    shown = np.array(Image.open(io.BytesIO(result.picture)))
    assert shown.shape == (64, 64, 3)
    assert (shown == (255, 64, 0)).all(axis=-1).sum() > 20
    assert not (shown == 255).all(axis=-1).any()


def test_palette_pictures_are_filled_with_an_index_that_occurs_around() -> None:
    shot = make_raw.screenshot(coloured())
    indices = np.full((64, 64), 7, np.uint8)
    indices[10:16, 6:24] = 250
    shot.SamplesPerPixel, shot.PhotometricInterpretation = 1, "PALETTE COLOR"
    del shot.PlanarConfiguration
    shot.PixelData = indices.tobytes()
    for name in ("Red", "Green", "Blue"):
        setattr(shot, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        table = (np.arange(256) * 257).astype("<u2").tobytes()
        setattr(shot, f"{name}PaletteColorLookupTableData", table)
    assert (Frames(read(shot, make_raw.BrightFinder()).parsed)[0] == 7).all()


@pytest.mark.slow
def test_names_are_read_filled_and_measurements_stay_with_the_real_reader() -> None:
    finder = text_finder()
    assert finder is not None
    lines = [(20, 10, "Gundula Rumpelstein"), (60, 10, "12.5 mm"), (100, 10, "1931-04-07")]
    before = make_raw.picture_of_text(lines)
    after = Frames(read(make_raw.screenshot(before), finder).parsed)[0]
    assert after[15:45].max() < 60
    assert after[95:125].max() < 60
    assert np.array_equal(after[60:80], before[60:80])


@pytest.mark.slow
def test_small_and_turned_names_on_tissue_are_covered_and_clean_pictures_are_untouched() -> None:
    finder = text_finder()
    assert finder is not None
    drawn = deid_text_in_pictures.scene(7104)
    mask = filled_mask(drawn.picture, finder, DenyList())
    wanted = [line for line in drawn.lines if line.size_px >= 10 and line.contrast >= 60]
    assert len(wanted) >= 6
    assert all(deid_text_in_pictures.covered(mask, line) for line in wanted)
    for _, picture in deid_text_in_pictures.clean_pictures(1, 7104):
        assert not filled_mask(picture, finder, DenyList()).any()


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
