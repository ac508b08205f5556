"""A volume and its labels survive the disk, and other programs place them where we do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from medviz.core.errors import BadInput
from medviz.core.segmentation import Finding, ModelRecord, Segmentation, SegmentedStructure
from medviz.core.space import Grid
from medviz.core.volume import GeometryReport, Outcome, SeriesSummary, Volume
from pipelines.nifti import read_segmentation, read_volume, write_labels, write_volume


def oblique_grid(*, is_left_handed: bool = False) -> Grid:
    axis = np.array([1.0, 2.0, 3.0]) / np.sqrt(14)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.eye(3) + np.sin(0.4) * cross + (1 - np.cos(0.4)) * cross @ cross
    affine = np.eye(4)
    affine[:3, :3] = turn[:, [2, 1, 0]] * np.array([2.5, 0.7, 0.8])
    if is_left_handed:
        affine[:3, 0] *= -1
    affine[:3, 3] = [-101.25, 57.5, -1234.75]
    return Grid((4, 6, 5), affine, "1.2.3")


def volume(grid: Grid, dtype: str = "int16") -> Volume:
    voxels = np.random.default_rng(1).integers(-1024, 2000, grid.shape).astype(dtype)
    series = SeriesSummary("1.2.4", "CT", 4, "SPL", (2.5, 0.7, 0.8), True, "the only series")
    report = GeometryReport(Outcome.RESAMPLED, "GANTRY_TILT", "Tilted.", "", 3.25, series, (), ("a",))
    return Volume(voxels, grid, "CT", "HU", "unknown", report)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_a_volume_comes_back_from_disk_exactly(tmp_path: Path, dtype: str) -> None:
    before = volume(oblique_grid(), dtype)
    path = write_volume(before, tmp_path / "v")
    for after in (read_volume(tmp_path / "v"), read_volume(path)):
        assert after.voxels.dtype == before.voxels.dtype
        assert np.array_equal(after.voxels, before.voxels)
        assert np.array_equal(after.grid.affine, before.grid.affine)
        assert after.grid.frame_of_reference == "1.2.3"
        assert after.report == before.report
        assert not after.voxels.flags.writeable


@pytest.mark.parametrize("is_left_handed", [False, True])
def test_an_independent_reader_places_every_voxel_where_we_do(tmp_path: Path, is_left_handed: bool) -> None:
    ours = volume(oblique_grid(is_left_handed=is_left_handed))
    image = SimpleITK.ReadImage(str(write_volume(ours, tmp_path)))
    assert np.array_equal(SimpleITK.GetArrayFromImage(image), ours.voxels)
    for index in np.ndindex(ours.grid.shape):
        theirs = image.TransformIndexToPhysicalPoint(tuple(reversed(index)))
        np.testing.assert_allclose(theirs, ours.grid.points(np.array([index]))[0], atol=2e-3)


def test_the_header_says_millimetres_and_holds_no_text(tmp_path: Path) -> None:
    head = write_volume(volume(oblique_grid()), tmp_path).read_bytes()[:352]
    assert head[123] == 2
    assert set(head[4:40]) <= {0, ord("r")}
    assert set(head[148:252]) == {0}
    assert set(head[328:344]) == {0}


def test_labels_come_back_from_disk_exactly(tmp_path: Path) -> None:
    grid = oblique_grid()
    labels = np.random.default_rng(2).integers(0, 8, grid.shape).astype(np.uint8)
    before = Segmentation(
        labels,
        grid,
        (
            SegmentedStructure("skull", "rule", 1.5, None),
            SegmentedStructure("cerebrum", "network", 3, 0.9, False),
        ),
        (Finding("skull", "OPEN", "The skull is open."),),
        (ModelRecord("head", "1", "ab"),),
    )
    write_labels(before, tmp_path)
    after = read_segmentation(tmp_path)
    assert np.array_equal(after.labels, labels)
    assert after.structures == before.structures
    assert (after.findings, after.models) == (before.findings, before.models)
    assert after.grid.is_same_as(grid, tolerance_mm=0)


def test_a_damaged_volume_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = write_volume(volume(oblique_grid()), tmp_path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(BadInput, match="medviz volume") as refusal:
        read_volume(tmp_path)
    assert refusal.value.reason == "VOLUME_UNREADABLE"
    (tmp_path / "volume.json").unlink()
    with pytest.raises(BadInput):
        read_volume(tmp_path)
