"""Every voxel lies where the standard's formula puts it, whatever the orientation, spacing and order."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from medviz.core.errors import GeometryRefused
from medviz.core.space import orientation_letters
from medviz.core.volume import Outcome
from pipelines.geometry.frames import TRAITS, Frame, PixelLayout, Rescale
from pipelines.geometry.lattice import GeometryLimits, place
from pipelines.geometry.stacks import split_series
from pipelines.nifti import write_volume
from pipelines.stages.volume import make_volume
from tests.make import CORONAL, SAGITTAL, Placing, deidentified, make_ct_series, measure, shuffled
from tests.make_odd import oblique, tilted

FloatArray = NDArray[np.float64]


def frame(position: FloatArray, orientation: FloatArray, spacing: tuple[float, float], number: int) -> Frame:
    """Return the header of a slice of 8 rows and 6 columns, positions rounded as DICOM writes them."""
    layout = PixelLayout(Path("x"), "", 0, 0, 1, 8, 6, 1, "MONOCHROME2", 16, 16, 15, True)
    return Frame(
        layout=layout,
        series_uid="1.2",
        series_number=1,
        sop_uid=f"1.2.{number}",
        sop_class="",
        frame_of_reference="1.3",
        modality="CT",
        image_type=("ORIGINAL",),
        position=tuple(float(f"{v:.8g}") for v in position),
        orientation=tuple(float(f"{v:.8g}") for v in orientation),
        spacing_mm=spacing,
        tilt_deg=0.0,
        rescale=Rescale(1.0, 0.0, "HU"),
        padding=None,
        kernel="",
        traits=dict.fromkeys(TRAITS, ""),
        time="",
        body_part="",
        contrast="unknown",
        is_lossy=False,
    )


def rotation(quaternion: tuple[float, ...]) -> FloatArray:
    w, x, y, z = np.array(quaternion) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


numbers = st.floats(-1, 1, allow_nan=False)
quaternions = st.tuples(numbers, numbers, numbers, numbers).filter(lambda q: sum(v * v for v in q) > 0.1)
spacings = st.floats(0.2, 5)


@settings(max_examples=150, deadline=None)
@given(
    quaternion=quaternions,
    step=st.floats(0.3, 8),
    pixels=st.tuples(spacings, spacings),
    origin=st.tuples(*[st.floats(-900, 900)] * 3),
    is_downwards=st.booleans(),
    seed=st.integers(0, 99),
)
def test_an_index_becomes_the_point_of_the_standards_formula(
    quaternion: tuple[float, ...],
    step: float,
    pixels: tuple[float, float],
    origin: tuple[float, ...],
    is_downwards: bool,
    seed: int,
) -> None:
    turn = rotation(quaternion)
    orientation = np.concatenate([turn[:, 0], turn[:, 1]])
    along = turn[:, 2] * step * (-1 if is_downwards else 1)
    frames = [frame(np.array(origin) + k * along, orientation, pixels, k) for k in range(7)]
    mixed = random.Random(seed).sample(frames, len(frames))
    (stack,) = split_series(mixed, lambda a, b: False)
    lattice = place(stack.frames, GeometryLimits())
    assert lattice.outcome is Outcome.CORRECT
    for k, each in enumerate(stack.frames):
        for r, c in ((0, 0), (7, 5), (3, 1)):
            # PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1
            row, column = np.array(each.orientation[:3]), np.array(each.orientation[3:])
            expected = np.array(each.position) + row * pixels[1] * c + column * pixels[0] * r
            point = lattice.grid.points(np.array([[k, r, c]]))[0]
            np.testing.assert_allclose(point, expected, atol=0.02)
    assert np.linalg.det(lattice.grid.affine[:3, [2, 1, 0]]) > 0, "columns, rows, slices are right-handed"


@settings(max_examples=60, deadline=None)
@given(lost=st.sets(st.integers(1, 18), min_size=1, max_size=4), step=st.floats(0.4, 6))
def test_a_missing_slice_is_never_overlooked(lost: set[int], step: float) -> None:
    orientation = np.array([1.0, 0, 0, 0, 1, 0])
    frames = [frame(np.array([0, 0, k * step]), orientation, (1, 1), k) for k in range(20) if k not in lost]
    (stack,) = split_series(frames, lambda a, b: False)
    with pytest.raises(GeometryRefused) as refusal:
        place(stack.frames, GeometryLimits())
    assert refusal.value.reason in ("MISSING_SLICES", "UNEVEN_SPACING")


@settings(max_examples=60, deadline=None)
@given(
    angle=st.floats(3, 33),
    sign=st.sampled_from([-1, 1]),
    step=st.floats(1, 5),
    axis=st.sampled_from([0, 1]),
)
def test_a_tilt_is_resampled_onto_a_grid_that_holds_every_slice(
    angle: float, sign: int, step: float, axis: int
) -> None:
    slide = np.zeros(3)
    slide[axis], slide[2] = sign * np.tan(np.deg2rad(angle)), 1
    frames = [
        frame(np.array([10.0, -20, 5]) + k * step * slide, np.eye(3)[:2].ravel(), (1.5, 0.9), k)
        for k in range(12)
    ]
    lattice = place(frames, GeometryLimits())
    assert (lattice.outcome, lattice.reason) == (Outcome.RESAMPLED, "GANTRY_TILT")
    assert lattice.max_displacement_mm == pytest.approx(11 * step * np.tan(np.deg2rad(angle)), rel=1e-3)
    for k, each in enumerate(frames):
        index = lattice.grid.indices(np.array([each.position]))[0]
        np.testing.assert_allclose(index, [k, *lattice.shifts_px[k]], atol=1e-3)
        assert (lattice.shifts_px[k] >= 0).all()
        assert (lattice.shifts_px[k] + (8, 6) <= np.array(lattice.grid.shape[1:]) + 1e-6).all()


def test_a_gap_is_interpolated_only_within_a_stated_limit() -> None:
    orientation = np.array([1.0, 0, 0, 0, 1, 0])
    frames = [frame(np.array([0, 0, 2.0 * k]), orientation, (1, 1), k) for k in range(20) if k != 7]
    with pytest.raises(GeometryRefused, match="About 1 missing"):
        place(frames, GeometryLimits())
    lattice = place(frames, GeometryLimits(gap_mm=4.0))
    assert (lattice.outcome, lattice.reason) == (Outcome.RESAMPLED, "MISSING_SLICES")
    assert lattice.max_displacement_mm == pytest.approx(2.0)
    assert lattice.grid.shape[0] == 20


PLACINGS: dict[str, Placing] = {
    "axial": Placing(),
    "coronal": Placing(orientation=CORONAL),
    "sagittal": Placing(orientation=SAGITTAL),
    "oblique": oblique(),
    "decubitus": Placing(orientation=(0, 1, 0, -1, 0, 0)),
}


@pytest.mark.parametrize("name", PLACINGS)
def test_simpleitk_places_the_same_dicom_and_our_nifti_where_we_do(tmp_path: Path, name: str) -> None:
    truth = make_ct_series(tmp_path / "in", placing=PLACINGS[name], edit=shuffled)
    volume = make_volume(deidentified(truth.folder))
    files = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(truth.folder))
    dicom = SimpleITK.ReadImage(files)
    nifti = SimpleITK.ReadImage(str(write_volume(volume, tmp_path / "out")))
    rng = np.random.default_rng(0)
    for index in rng.integers(0, volume.grid.shape, (40, 3)):
        point = volume.grid.points(index[None])[0]
        value = volume.voxels[tuple(index)]
        for image in (dicom, nifti):
            there = image.TransformPhysicalPointToIndex(point.tolist())
            np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(there), point, atol=0.01)
            assert image[there] == value


@pytest.mark.parametrize("degrees", [5, -12, 15, 25, -30])
def test_a_tilted_stack_keeps_its_bodies_within_half_a_millimetre(tmp_path: Path, degrees: float) -> None:
    truth = make_ct_series(tmp_path, placing=tilted(degrees))
    volume = make_volume(deidentified(tmp_path))
    found = measure(volume, truth)
    assert volume.report.reason == "GANTRY_TILT"
    assert volume.voxels.dtype == np.int16
    assert found is not None
    assert max(found.large_off_mm, found.small_off_mm) <= 0.5
    assert found.is_right()


def test_a_tilt_agrees_with_an_independent_resampler(tmp_path: Path) -> None:
    """SimpleITK resamples the sheared stack with an affine transform of its own."""
    placing = Placing(tilt_deg=15)
    make_ct_series(tmp_path, placing=placing)
    volume = make_volume(deidentified(tmp_path))
    planes = placing.planes()
    slices = [SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(p)))[0] for p in sorted(tmp_path.iterdir())]
    straight = SimpleITK.GetImageFromArray(np.stack(slices).astype(np.float32))
    shear = (planes[1] - planes[0])[1] / placing.spacing_mm[1]
    sheared = SimpleITK.AffineTransform(3)
    sheared.SetMatrix((1, 0, 0, 0, 1, -shear, 0, 0, 1))
    grid = volume.grid
    sheared.SetTranslation((0, float(grid.indices(planes[0][None])[0][1]) * -1, 0))
    theirs = SimpleITK.GetArrayFromImage(
        SimpleITK.Resample(straight, grid.shape[::-1], sheared, SimpleITK.sitkLinear, (0, 0, 0), (1, 1, 1),
                           (1, 0, 0, 0, 1, 0, 0, 0, 1), -1024.0)
    )  # fmt: skip
    inside = (theirs > -1000.5) & (volume.voxels > -1001)
    assert np.abs(theirs - volume.voxels)[inside].max() <= 1.0


def test_a_usual_head_scan_grows_to_superior_posterior_and_left(tmp_path: Path) -> None:
    make_ct_series(tmp_path)
    assert orientation_letters(make_volume(deidentified(tmp_path)).grid) == "SPL"


def test_an_uneven_stack_says_how_far_it_was_moved(tmp_path: Path) -> None:
    steps: Callable[[int], float] = lambda k: 2.0 + (0.5 if k % 4 == 0 else 0.0)  # noqa: E731
    places = np.concatenate([[0], np.cumsum([steps(k) for k in range(31)])])
    make_ct_series(tmp_path, placing=Placing(offsets_mm=tuple(places - places[-1] / 2)))
    report = make_volume(deidentified(tmp_path)).report
    assert (report.outcome, report.reason) == (Outcome.RESAMPLED, "UNEVEN_SPACING")
    assert 0 < report.max_displacement_mm <= 1.25
    assert "mm" in report.explanation
