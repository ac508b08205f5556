"""Thousands of straight ways from a target to the skin, looked at together on the voxels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medviz.core.anatomy import structure
from medviz.core.segmentation import Segmentation
from medviz.core.space import FloatArray, Grid
from medviz.core.volume import Volume

_STEP_MM = 1.0
_MOST_MM = 190.0
_CHUNK = 4000
_COARSE_MM = 2.0
_FIELD_STEP_MM = 1.5
_GOLDEN_RAD = np.pi * (3.0 - np.sqrt(5.0))
_AIR_HU = -300.0
_SKIN_BAND_MM = 3.0
_NORMAL_SIGMA_MM = 4.0

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Rays:
    """Ways from targets outward.

    Parameters
    ----------
    targets_mm, outward : ndarray, shape (n, 3)
        LPS points, and unit vectors to the skin.
    length_mm, skull_mm : ndarray, shape (n,)
        Distance from the target to the skin and to the outer skull, to the nearest millimetre or so.
    meets_skull, ends_in_image : ndarray of bool, shape (n,)
        Whether the way meets bone, and whether it leaves the head before it leaves the image.
    """

    targets_mm: FloatArray
    outward: FloatArray
    length_mm: FloatArray
    skull_mm: FloatArray
    meets_skull: Mask
    ends_in_image: Mask

    @property
    def skull_points_mm(self) -> FloatArray:
        """Where each way meets the outer skull, LPS mm."""
        result: FloatArray = self.targets_mm + self.skull_mm[:, None] * self.outward
        return result


def sphere_directions(count: int) -> FloatArray:
    """Return `count` unit vectors spread evenly over the sphere (Fibonacci spiral)."""
    return cap_directions(np.array([0.0, 0.0, 1.0]), np.pi, count, seed=0)


def cap_directions(axis: FloatArray, half_angle_rad: float, count: int, *, seed: int) -> FloatArray:
    """Return `count` unit vectors spread evenly over the cap around `axis`; the seed turns the spiral."""
    number = np.arange(count) + 0.5
    along = 1.0 - number / count * (1.0 - np.cos(half_angle_rad))
    across = np.sqrt(np.maximum(0.0, 1.0 - along**2))
    turn = number * _GOLDEN_RAD + np.random.default_rng(seed).uniform(0, 2 * np.pi)
    u = np.cross(axis, np.eye(3)[int(np.argmin(np.abs(axis)))])
    u /= np.linalg.norm(u)
    v = np.cross(axis, u)
    spiral = np.outer(across * np.cos(turn), u) + np.outer(across * np.sin(turn), v)
    result: FloatArray = spiral + np.outer(along, axis)
    return result


def cast(segmentation: Segmentation, targets_mm: FloatArray, outward: FloatArray) -> Rays:
    """Return where ways from targets (n, 3) along unit vectors (n, 3) meet skull and skin.

    The skin is the first background outside the outermost bone, so that a head rest does not count.
    """
    parts = [_cast_chunk(segmentation, targets_mm[part], outward[part]) for part in _chunks(len(targets_mm))]
    length, skull, meets, ends = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Rays(targets_mm, outward, length, skull, meets, ends)


def _chunks(count: int) -> Iterator[slice]:
    for start in range(0, count, _CHUNK):
        yield slice(start, min(count, start + _CHUNK))


def _cast_chunk(
    segmentation: Segmentation, targets_mm: FloatArray, outward: FloatArray
) -> tuple[FloatArray, FloatArray, Mask, Mask]:
    steps = np.arange(0.0, _MOST_MM, _STEP_MM)
    labels, inside = _looked_up(segmentation.labels, segmentation.grid, targets_mm, outward, steps)
    labels = np.where(inside, labels, 0)
    is_skull = labels == structure("skull").label
    meets = is_skull.any(axis=1)
    last_skull = len(steps) - 1 - np.argmax(is_skull[:, ::-1], axis=1)
    last_skull = np.where(meets, last_skull, 0)
    after = np.arange(len(steps))[None] > last_skull[:, None]
    is_air = after & (labels == 0)
    exit_at = np.argmax(is_air, axis=1)
    ends = is_air.any(axis=1) & inside[np.arange(len(exit_at)), exit_at]
    return steps[exit_at] - _STEP_MM / 2, steps[last_skull] + _STEP_MM / 2, meets, ends


def _looked_up(
    values: NDArray[np.generic], grid: Grid, starts_mm: FloatArray, outward: FloatArray, steps_mm: FloatArray
) -> tuple[NDArray[np.generic], Mask]:
    """Return the nearest voxel at every step of every way, shape (n, steps), and whether there is one."""
    start = grid.indices(starts_mm).astype(np.float32)
    step = (outward @ grid.inverse[:3, :3].T).astype(np.float32)
    flat = np.zeros((len(starts_mm), len(steps_mm)), dtype=np.int64)
    inside = np.ones(flat.shape, dtype=np.bool_)
    for axis, size in enumerate(grid.shape):
        index = np.rint(start[:, axis, None] + step[:, axis, None] * steps_mm.astype(np.float32)).astype(
            np.int64
        )
        inside &= (index >= 0) & (index < size)
        flat = flat * size + np.clip(index, 0, size - 1)
    return values.ravel()[flat], inside


def meets_air(volume: Volume, rays: Rays) -> Mask:
    """Return which ways pass two neighbouring samples of air more than 3 mm below the skin (CT only)."""
    if volume.unit != "HU" or not len(rays.targets_mm):
        return np.zeros(len(rays.targets_mm), dtype=np.bool_)
    steps = np.arange(0.0, _MOST_MM, _STEP_MM)
    found = []
    for part in _chunks(len(rays.targets_mm)):
        level, _ = _looked_up(volume.voxels, volume.grid, rays.targets_mm[part], rays.outward[part], steps)
        deep = steps[None] < rays.length_mm[part, None] - _SKIN_BAND_MM
        is_air = (level.astype(np.float32) < _AIR_HU) & deep
        found.append((is_air[:, 1:] & is_air[:, :-1]).any(axis=1))
    return np.concatenate(found)


@dataclass(frozen=True, slots=True, eq=False)
class CoarseField:
    """A scalar field on every n-th voxel (about 2 mm), read by trilinear interpolation at LPS points."""

    values: NDArray[np.float32]
    to_index: FloatArray

    def at(self, points_mm: FloatArray) -> NDArray[np.float32]:
        """Return the field at LPS points, shape (n, 3)."""
        index = points_mm @ self.to_index[:, :3].T + self.to_index[:, 3]
        result: NDArray[np.float32] = ndimage.map_coordinates(self.values, index.T, order=1, mode="nearest")
        return result


def distance_field(segmentation: Segmentation, name: str) -> CoarseField:
    """Return the distance (mm) to a structure on the coarse grid, -1 inside it, in a box around the brain.

    Outside the box a point is given the value at the box's edge.
    """
    stride, spacing, to_index = _coarse_grid(segmentation)
    labels = segmentation.labels[:: stride[0], :: stride[1], :: stride[2]]
    box = ndimage.find_objects(_deep(labels).view(np.uint8))[0]
    wanted = structure(name)
    values = [structure(member).label for member in wanted.members] or [wanted.label]
    mask = np.isin(labels[box], values)
    away = ndimage.distance_transform_edt(~mask, sampling=spacing) - float(np.cbrt(np.prod(spacing))) / 2
    shifted = to_index.copy()
    shifted[:, 3] -= [part.start for part in box]
    return CoarseField(np.where(mask, -1.0, away).astype(np.float32), shifted)


def _deep(labels: NDArray[np.uint8]) -> Mask:
    """Return where the label is brain, fluid around it or a tumour."""
    lookup = np.zeros(256, dtype=np.bool_)
    lookup[[structure(name).label for name in (*structure("brain").members, "csf", "tumour")]] = True
    deep: Mask = lookup[labels]
    return deep


def angles_to_skull_deg(segmentation: Segmentation, rays: Rays) -> FloatArray:
    """Return the angle between each way and the outer skull, from the smoothed head inside the scalp (90 is
    perpendicular).
    """
    stride, spacing, to_index = _coarse_grid(segmentation)
    labels = segmentation.labels[:: stride[0], :: stride[1], :: stride[2]]
    solid = (labels > 0) & (labels != structure("soft_tissue").label)
    smooth = ndimage.gaussian_filter(solid.astype(np.float32), _NORMAL_SIGMA_MM / spacing)
    gradient = np.gradient(smooth, *(float(size) for size in spacing))
    points = rays.skull_points_mm
    local = np.stack([CoarseField(part, to_index).at(points) for part in gradient], axis=1)
    normal = -local @ (segmentation.grid.affine[:3, :3] / np.asarray(segmentation.grid.spacing_mm)).T
    size = np.linalg.norm(normal, axis=1) + 1e-9
    cosine = np.abs((normal * rays.outward).sum(axis=1)) / size
    result: FloatArray = np.degrees(np.arcsin(np.clip(cosine, 0, 1)))
    return result


def least_distance_mm(field: CoarseField, rays: Rays) -> FloatArray:
    """Return the least signed distance (mm) of each way's axis to the field's structure."""
    least = np.full(len(rays.targets_mm), np.inf)
    steps = np.arange(0.0, _MOST_MM, _FIELD_STEP_MM)
    for part in _chunks(len(least)):
        count = int(np.ceil(rays.length_mm[part].max() / _FIELD_STEP_MM)) + 1
        depth = np.minimum(steps[None, :count], rays.length_mm[part, None])
        points = rays.targets_mm[part, None] + depth[..., None] * rays.outward[part, None]
        least[part] = field.at(points.reshape(-1, 3)).reshape(depth.shape).min(axis=1)
    return least


def _coarse_grid(segmentation: Segmentation) -> tuple[tuple[int, int, int], FloatArray, FloatArray]:
    sizes = np.asarray(segmentation.grid.spacing_mm)
    k, r, c = (max(1, round(_COARSE_MM / size)) for size in sizes)
    stride = np.array([k, r, c])
    return (k, r, c), sizes * stride, segmentation.grid.inverse[:3] / stride[:, None]
