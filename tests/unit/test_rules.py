"""Hounsfield rules on a head of ellipsoids: body, bone, air, cavity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medviz.core.errors import BadInput
from medviz.core.volume import Volume
from pipelines.segmenters import rules
from tests.make_head import Head, make_head


@pytest.fixture(scope="module")
def head() -> Head:
    return make_head(spacing_mm=(2.5, 2.0, 2.0))


def found(volume: Volume) -> rules.HeadMasks:
    view = rules.coarse_view(volume)
    return rules.find_head(volume, rules.find_body(volume, view), view)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def with_voxels(volume, voxels):
    return replace(volume, voxels=voxels.astype(np.int16))


def turned(volume: Volume, axes: tuple[int, int, int], flips: tuple[int, ...] = ()) -> Volume:
    """The same head stacked another way: axes reordered and flipped, every voxel where it was."""
    voxels, affine = volume.voxels.transpose(axes), np.array(volume.grid.affine)
    affine[:, :3] = affine[:, list(axes)]
    for axis in flips:
        voxels = np.flip(voxels, axis)
        affine[:3, 3] += affine[:3, axis] * (voxels.shape[axis] - 1)
        affine[:3, axis] *= -1
    grid = replace(volume.grid, shape=voxels.shape, affine=affine)
    return replace(volume, voxels=np.ascontiguousarray(voxels), grid=grid)


def test_the_rules_find_the_painted_body_bone_and_air(head):
    masks, truth = found(head.volume), head.segmentation
    painted_air = (head.volume.voxels < -900) & (truth.labels == 0)
    body = truth.mask("skin")
    assert dice(masks.body, body) > 0.99
    assert dice(masks.bone, truth.mask("skull")) > 0.97
    inside = masks.body & painted_air
    assert masks.air.sum() == pytest.approx(inside.sum(), rel=0.05)
    sinus_ml = 4 / 3 * np.pi * 14 * 6 * 12 / 1000
    assert masks.air.sum() * head.volume.grid.voxel_ml == pytest.approx(sinus_ml, rel=0.15)


def test_the_cavity_is_what_the_skull_surrounds(head):
    masks, truth = found(head.volume), head.segmentation
    inside = truth.mask("brain") | truth.mask("csf")
    assert (masks.cavity & inside).sum() / inside.sum() > 0.97
    assert (masks.cavity & ~inside).sum() / masks.cavity.sum() < 0.02


def test_table_and_head_rest_are_not_the_patient(head):
    voxels = head.volume.voxels.copy()
    points = head.volume.grid.points(np.indices(voxels.shape).reshape(3, -1).T)
    x, y, _ = (points - head.place((0, 0, 0))).T
    shell = np.abs(np.hypot(x, y) - 104) < 1.6
    voxels[(shell & (y > 20)).reshape(voxels.shape)] = 150
    masks = found(with_voxels(head.volume, voxels))
    assert dice(masks.body, found(head.volume).body) > 0.99


def test_a_head_rest_that_touches_the_head_adds_little(head):
    voxels = head.volume.voxels.copy()
    points = head.volume.grid.points(np.indices(voxels.shape).reshape(3, -1).T)
    x, y, _ = (points - head.place((0, 0, 0))).T
    shell = np.abs(np.hypot(x, y) - 98.5) < 1.6
    voxels[(shell & (y > 20)).reshape(voxels.shape)] = 150
    assert dice(found(with_voxels(head.volume, voxels)).body, found(head.volume).body) > 0.97


def test_a_removed_face_is_outside_the_body_and_breaks_nothing(head):
    voxels = head.volume.voxels.copy()
    points = head.volume.grid.points(np.indices(voxels.shape).reshape(3, -1).T)
    _, y, z = (points - head.place((0, 0, 0))).T
    face = ((y < -60) & (z < -10)).reshape(voxels.shape) & (voxels < 200)
    voxels[face] = -1000
    masks = found(with_voxels(head.volume, voxels))
    whole = found(head.volume)
    assert not (masks.body & ~whole.body).any()
    assert masks.body.sum() < whole.body.sum()
    assert dice(masks.cavity, whole.cavity) > 0.98
    assert dice(masks.bone, whole.bone) > 0.98


@pytest.mark.parametrize(
    ("axes", "flips"),
    [((2, 0, 1), ()), ((1, 2, 0), (0,)), ((0, 1, 2), (0, 2))],
    ids=["sagittal", "coronal", "feet first"],
)
def test_the_same_head_is_found_however_it_is_stacked(head, axes, flips):
    other = turned(head.volume, axes, flips)
    here, there = found(head.volume), found(other)
    for name in ("body", "bone", "air", "cavity"):
        one, two = getattr(here, name), getattr(there, name)
        assert two.sum() == pytest.approx(one.sum(), rel=0.02), name
        first = head.volume.grid.points(np.argwhere(one).mean(axis=0)[None])
        second = other.grid.points(np.argwhere(two).mean(axis=0)[None])
        assert np.allclose(first, second, atol=0.7), name


def test_rules_need_hounsfield_units(head):
    with pytest.raises(BadInput) as caught:
        rules.coarse_view(replace(head.volume, modality="MR", unit=""))
    assert caught.value.reason == "NOT_CT"


@pytest.mark.slow
def test_marrow_between_the_tables_is_bone_and_the_brain_beside_it_is_not():
    head = make_head(spacing_mm=(2.0, 1.0, 1.0))
    voxels = head.volume.voxels.copy()
    points = head.volume.grid.points(np.indices(voxels.shape).reshape(3, -1).T) - head.place((0, 0, 0))
    middle = np.abs((points**2 / np.array([67.5, 87.5, 82.5]) ** 2).sum(axis=1) - 1) < 0.03
    voxels[middle.reshape(voxels.shape)] = 130
    masks = found(with_voxels(head.volume, voxels))
    assert dice(masks.bone, head.segmentation.mask("skull")) > 0.97


def test_a_volume_without_a_body_gives_empty_masks(head):
    masks = found(with_voxels(head.volume, np.full(head.volume.grid.shape, -1000)))
    assert not masks.body.any()
    assert not masks.cavity.any()
