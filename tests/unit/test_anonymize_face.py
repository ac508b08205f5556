"""A head loses its face and nothing else; a trunk stays as it is; doubt stops the case."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from anonymize.face import DefaceReport, deface
from medviz.core.errors import Uncertain
from medviz.core.space import Grid
from medviz.core.volume import GeometryReport, Outcome, Volume

SPACING_MM = (2.5, 2.0, 2.0)
SHAPE = (84, 120, 100)
Part = tuple[tuple[float, float, float], tuple[float, float, float], float]

# Centre and semi-axes in mm (left, back, up), and HU; later parts are painted over earlier ones.
HEAD: tuple[Part, ...] = (
    ((0, 15, -80), (50, 55, 60), 45),  # neck
    ((0, -66, -80), (48, 34, 50), 45),  # jaw and cheeks
    ((0, -96, -68), (9, 20, 16), 35),  # nose
    ((0, 0, 0), (78, 98, 88), 40),
    ((0, 0, 0), (72, 92, 82), 1000),
    ((0, 0, 0), (65, 85, 75), 30),
)
BRAIN: Part = ((0, 0, 0), (65, 85, 75), 30)
NOSE_TIP_MM = (0.0, -110.0, -68.0)
FOREHEAD_MM = (0.0, -92.0, 30.0)
TRUNK: tuple[Part, ...] = (((0, 0, 0), (120, 95, 400), 40), ((0, 60, 0), (18, 18, 400), 600))


def grid(shape: tuple[int, int, int] = SHAPE) -> Grid:
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *SPACING_MM, 1
    affine[:3, 3] = [-(shape[2] - 1) * 1.0, -(shape[1] - 1) * 1.0 - 8, -(shape[0] - 1) * 1.25 - 5]
    return Grid(shape, affine, "1.2.3")


def is_inside(part: Part, place: Grid) -> NDArray[np.bool_]:
    """Voxels of an ellipsoid, on a grid whose axes run up, back and left."""
    (left, back, up), axes, _ = part
    squares = []
    for axis, (middle, half) in enumerate(zip((up, back, left), axes[::-1], strict=True)):
        shape = [1, 1, 1]
        shape[axis] = -1
        along = place.affine[2 - axis, 3] + np.arange(place.shape[axis]) * place.affine[2 - axis, axis]
        squares.append((((along - middle) / half) ** 2).reshape(shape))
    inside: NDArray[np.bool_] = squares[0] + squares[1] + squares[2] <= 1
    return inside


def make_volume(parts: tuple[Part, ...], *, seed: int = 1) -> Volume:
    place = grid()
    hu = np.full(place.shape, -1000.0)
    for part in parts:
        hu[is_inside(part, place)] = part[2]
    hu += np.random.default_rng(seed).normal(0, 5, place.shape)
    report = GeometryReport(Outcome.CORRECT, "OK", "made here")
    return Volume(hu.astype(np.int16), place, "CT", "HU", "no", report)


def level_at(volume: Volume, point_mm: tuple[float, float, float]) -> int:
    index = np.rint(volume.grid.indices(np.array([point_mm]))[0]).astype(int)
    return int(volume.voxels[tuple(index)])


@pytest.fixture(scope="module")
def head() -> Volume:
    return make_volume(HEAD)


@pytest.fixture(scope="module")
def defaced(head: Volume) -> tuple[Volume, DefaceReport]:
    return deface(head)


def test_the_nose_is_gone_and_the_forehead_stays(head: Volume, defaced: tuple[Volume, DefaceReport]) -> None:
    after, report = defaced
    assert report.face_in_view
    assert level_at(head, NOSE_TIP_MM) > 0
    assert level_at(after, NOSE_TIP_MM) == -1000
    assert level_at(after, FOREHEAD_MM) == level_at(head, FOREHEAD_MM)
    assert report.moved_mm > 5
    assert 30 < report.removed_ml < 400


def test_no_voxel_of_brain_or_skull_changes(head: Volume, defaced: tuple[Volume, DefaceReport]) -> None:
    after, report = defaced
    kept = is_inside(BRAIN, head.grid) | (head.voxels > 500)
    assert np.array_equal(after.voxels[kept], head.voxels[kept])
    assert report.brain_voxels_changed == 0
    assert report.voxels_changed == int((after.voxels != head.voxels).sum())


def test_nothing_changes_above_the_brow_or_behind_the_ears(
    head: Volume, defaced: tuple[Volume, DefaceReport]
) -> None:
    after, _ = defaced
    changed = head.grid.points(np.argwhere(after.voxels != head.voxels))
    assert changed[:, 2].max() < 0
    assert changed[:, 1].max() < 0


def test_the_new_surface_follows_no_feature(head: Volume, defaced: tuple[Volume, DefaceReport]) -> None:
    after, _ = defaced
    plane = after.voxels[:, :, SHAPE[2] // 2]
    below = [row for row in plane[10:25] if (row > -300).any()]
    front = np.array([np.argmax(row > -300) for row in below]) * SPACING_MM[1]
    assert np.abs(np.diff(front, n=2)).max() <= 2 * SPACING_MM[1]


def test_the_face_is_found_from_the_geometry_and_not_from_the_array_order(
    head: Volume, defaced: tuple[Volume, DefaceReport]
) -> None:
    usual, _ = defaced
    order, affine = (2, 0, 1), head.grid.affine
    turned = np.eye(4)
    turned[:3, :3] = affine[:3, :3][:, order]
    turned[:3, 3] = affine[:3, 3] + affine[:3, 0] * (SHAPE[0] - 1)
    turned[:3, 1] *= -1
    voxels = np.ascontiguousarray(head.voxels.transpose(order)[:, ::-1])
    other, _ = deface(replace(head, voxels=voxels, grid=Grid(voxels.shape, turned, "1.2.3")))
    is_changed = (usual.voxels != head.voxels).transpose(order)
    is_changed_too = (other.voxels != voxels)[:, ::-1]
    overlap = 2 * (is_changed & is_changed_too).sum() / (is_changed.sum() + is_changed_too.sum())
    assert overlap > 0.97


def test_a_trunk_comes_back_unchanged() -> None:
    trunk = make_volume(TRUNK)
    after, report = deface(trunk)
    assert after is trunk
    assert not report.face_in_view
    assert "no face in view" in report.plane


def test_a_field_of_view_above_the_brow_holds_no_face(head: Volume) -> None:
    affine = head.grid.affine.copy()
    affine[:3, 3] += affine[:3, 0] * 50
    cut = replace(head, voxels=head.voxels[50:].copy(), grid=Grid((34, *SHAPE[1:]), affine))
    after, report = deface(cut)
    assert after is cut
    assert not report.face_in_view


def test_a_lower_face_without_a_skull_stops_the_case(head: Volume) -> None:
    jaw: Part = ((0, -80, -85), (30, 12, 30), 900)
    voxels = make_volume((*HEAD, jaw)).voxels[:22].copy()
    with pytest.raises(Uncertain) as caught:
        deface(replace(head, voxels=voxels, grid=Grid((22, *SHAPE[1:]), head.grid.affine)))
    assert caught.value.reason == "FACE_NOT_REMOVED"
    assert caught.value.mend


def test_mr_is_not_passed_on_trust(head: Volume) -> None:
    with pytest.raises(Uncertain):
        deface(replace(head, modality="MR", unit=""))


def test_the_same_head_gives_the_same_bytes(head: Volume, defaced: tuple[Volume, DefaceReport]) -> None:
    assert np.array_equal(deface(head)[0].voxels, defaced[0].voxels)


def test_a_defaced_head_is_known_as_one_and_left_alone(defaced: tuple[Volume, DefaceReport]) -> None:
    again, report = deface(defaced[0])
    assert again is defaced[0]
    assert "removed before" in report.plane
