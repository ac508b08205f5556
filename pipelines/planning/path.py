"""One straight way through the head, measured below the voxel: crossings, angles and clearances.

Lengths come from trilinear occupancy (where a structure's share of the voxel reaches one half), clearances
from the faces between voxels, angles from the gradient of the smoothed surface.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from medviz.core.anatomy import BY_LABEL, structure
from medviz.core.plan import Clearance, Crossing, Trajectory
from medviz.core.segmentation import Segmentation
from medviz.core.space import FloatArray
from pipelines.planning.request import as_point

STEP_MM = 0.1
_LEAST_RUN_MM = 0.4
_NARROW_GAP_MM = 2.0
_ANTIALIAS_VOXELS = 0.7
_FIT_RADII_MM = (12.0, 18.0)
_OUTSIDE = (0, structure("soft_tissue").label)
UNSURE_MM_PER_DOUBT = 5.0
"""A structure of confidence c may lie (1 - c) x 5 mm elsewhere: a house rule; doubt widens the interval."""


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """What lies along a line from the skin to the target, every `STEP_MM`.

    `labels` has the label at each depth below the skin; `entry_mm` is where the skin is met, `skull_mm` the
    depth of the outer skull (nan when the line meets none).
    """

    entry_mm: FloatArray
    target_mm: FloatArray
    labels: NDArray[np.uint8]
    skull_depth_mm: float

    @property
    def length_mm(self) -> float:
        """Distance from the skin to the target."""
        return float(np.linalg.norm(self.target_mm - self.entry_mm))

    @property
    def direction(self) -> FloatArray:
        """Unit vector from the skin to the target."""
        result: FloatArray = (self.target_mm - self.entry_mm) / self.length_mm
        return result

    def runs(self) -> tuple[Crossing, ...]:
        """Return the structures passed, in order; slivers under 0.4 mm join their neighbour."""
        change = np.flatnonzero(np.diff(self.labels)) + 1
        edges = np.concatenate([[0], change, [len(self.labels)]])
        found: list[list[float]] = []
        for start, end in pairwise(edges):
            label = float(self.labels[start])
            is_sliver = (end - start) * STEP_MM < _LEAST_RUN_MM
            if found and (is_sliver or found[-1][0] == label):
                found[-1][2] = end
            else:
                found.append([label, start, end])
        return _joined([row for row in found if int(row[0]) in BY_LABEL], self.length_mm)

    def inside_mm(self, names: Sequence[str]) -> float:
        """Return the length of the line inside the named structures, in mm."""
        return float(sum(run.to_mm - run.from_mm for run in self.runs() if run.structure in names))


@dataclass(frozen=True, slots=True, eq=False)
class Ruler:
    """Measures straight ways in one segmentation; keeps the boundaries of the structures at risk."""

    segmentation: Segmentation
    boundaries: dict[str, FloatArray]

    def profile(self, target_mm: FloatArray, outward: FloatArray) -> Profile | None:
        """Return what lies between the skin and the target along `outward` (a unit vector from the target).

        None when the line leaves the image before it leaves the head.
        """
        reach = self._reach_mm(target_mm, outward)
        depths = np.arange(0.0, reach, STEP_MM)
        labels, inside = self._sampled(target_mm + depths[:, None] * outward)
        skull = np.flatnonzero(labels == structure("skull").label)
        start = int(skull[-1]) if len(skull) else 0
        outside = np.flatnonzero(~inside[start:])
        if not len(outside):
            return None
        exit_index = start + int(outside[0])
        entry = target_mm + (depths[exit_index] - STEP_MM / 2) * outward
        skull_depth = (exit_index - 1 - start) * STEP_MM if len(skull) else float("nan")
        return Profile(entry, target_mm, labels[:exit_index][::-1], skull_depth)

    def trajectory(self, profile: Profile, *, radius_mm: float, score: float = 0.0) -> Trajectory:
        """Return a line's measurements as a trajectory."""
        skull_mm = profile.entry_mm + np.nan_to_num(profile.skull_depth_mm) * profile.direction
        skin_deg, _ = self.angle_deg(profile.entry_mm, profile.direction, of_skull=False)
        skull_deg, _ = self.angle_deg(skull_mm, profile.direction, of_skull=True)
        return Trajectory(
            entry_mm=as_point(profile.entry_mm),
            target_mm=as_point(profile.target_mm),
            length_mm=profile.length_mm,
            angle_to_skin_deg=skin_deg,
            angle_to_skull_deg=skull_deg,
            crossings=profile.runs(),
            clearances=tuple(
                self.clearance(name, profile.entry_mm, profile.target_mm, radius_mm=radius_mm)
                for name in self.boundaries
            ),
            score=score,
        )

    def clearance(
        self, name: str, entry_mm: FloatArray, target_mm: FloatArray, *, radius_mm: float
    ) -> Clearance:
        """Return the least distance between the needle's surface and a structure; negative inside it."""
        points = self.boundaries[name]
        along, away = _from_segment(points, entry_mm, target_mm)
        nearest = int(np.argmin(away))
        distance, depth, place = float(away[nearest]), float(along[nearest]), points[nearest]
        inner = self._deepest_inside(name, entry_mm, target_mm)
        if inner is not None:
            distance, depth, place = inner
        return Clearance(name, distance - radius_mm, self.uncertainty_mm(name), as_point(place), depth)

    def uncertainty_mm(self, name: str) -> float:
        """Return half the interval of a distance to a structure: half a voxel's diagonal, and its doubt."""
        half_diagonal = float(np.linalg.norm(self.segmentation.grid.spacing_mm)) / 2
        found = [item for item in self.segmentation.structures if item.name == name]
        confidence = found[0].confidence if found else None
        doubt = 0.0 if confidence is None else 1.0 - confidence
        return float(np.hypot(half_diagonal, doubt * UNSURE_MM_PER_DOUBT))

    def angle_deg(self, at_mm: FloatArray, direction: FloatArray, *, of_skull: bool) -> tuple[float, float]:
        """Return the angle between a line and the skin or outer skull, and its +-, in degrees.

        90 is perpendicular. The normal is that of a quadric fitted to the surface around the point, so that
        slice terraces average out. Two radii, 12 and 18 mm, are fitted; their disagreement and one degree
        give the uncertainty.
        """
        points = self._surface_near(at_mm, of_skull=of_skull)
        angles = []
        for radius_mm in _FIT_RADII_MM:
            normal = fitted_normal(points, at_mm, guess=-direction, radius_mm=radius_mm)
            angles.append(float(np.degrees(np.arcsin(min(1.0, abs(float(normal @ direction)))))))
        return float(np.mean(angles)), 1.0 + abs(angles[0] - angles[1]) / 2

    def _surface_near(self, at_mm: FloatArray, *, of_skull: bool) -> FloatArray:
        """Return points (LPS mm) of the skin, or of the outer skull, within the largest fit radius."""
        grid = self.segmentation.grid
        index = grid.indices(at_mm[None])[0]
        reach = np.ceil(_FIT_RADII_MM[-1] / np.asarray(grid.spacing_mm)) + 2
        low = np.maximum(np.floor(index - reach), 0).astype(int)
        high = np.minimum(np.ceil(index + reach) + 1, grid.shape).astype(int)
        box = self.segmentation.labels[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        mask = box > 0
        if of_skull:
            closed = ndimage.binary_closing(np.pad(~np.isin(box, _OUTSIDE), 3, mode="edge"), iterations=2)
            mask = ndimage.binary_fill_holes(closed[3:-3, 3:-3, 3:-3])
        smooth = ndimage.gaussian_filter(mask.astype(np.float32), _ANTIALIAS_VOXELS)
        return grid.points(_half_points(smooth) + low)

    def _reach_mm(self, target_mm: FloatArray, outward: FloatArray) -> float:
        grid = self.segmentation.grid
        start = grid.indices(target_mm[None])[0]
        step = grid.inverse[:3, :3] @ outward
        last = np.array(grid.shape) - 1.0
        with np.errstate(divide="ignore", invalid="ignore"):
            limits = np.where(step > 0, (last - start) / step, -start / step)
        limits[np.abs(step) < 1e-12] = np.inf
        return max(float(limits.min()), STEP_MM)

    def _sampled(self, points_mm: FloatArray) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return the label with the largest trilinear share at points, and whether tissue fills half."""
        grid = self.segmentation.grid
        index = grid.indices(points_mm)
        low = np.maximum(np.floor(index.min(axis=0)) - 1, 0).astype(int)
        high = np.minimum(np.ceil(index.max(axis=0)) + 2, grid.shape).astype(int)
        box = self.segmentation.labels[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        corner = np.floor(index).astype(int) - low
        part = index - np.floor(index)
        present = np.flatnonzero(np.bincount(_corners(box, corner).ravel(), minlength=256))
        share = np.zeros((len(present), len(index)))
        for bits in np.ndindex(2, 2, 2):
            weight = np.prod(np.where(np.array(bits) == 1, part, 1 - part), axis=1)
            at = np.minimum(corner + bits, np.array(box.shape) - 1)
            found = np.searchsorted(present, box[at[:, 0], at[:, 1], at[:, 2]])
            np.add.at(share, (found, np.arange(len(index))), weight)
        empty = share[0] if present[0] == 0 else np.zeros(len(index))
        inside = empty < 0.5
        tissue = share[1:] if present[0] == 0 else share
        names = present[1:] if present[0] == 0 else present
        labels = np.zeros(len(index), dtype=np.uint8)
        if len(names):
            labels[inside] = names[np.argmax(tissue[:, inside], axis=0)]
        return labels, inside

    def _deepest_inside(
        self, name: str, entry_mm: FloatArray, target_mm: FloatArray
    ) -> tuple[float, float, FloatArray] | None:
        length = float(np.linalg.norm(target_mm - entry_mm))
        depths = np.arange(0.0, length, 0.25)
        points = entry_mm + depths[:, None] * (target_mm - entry_mm) / length
        values = [structure(member).label for member in structure(name).members] or [structure(name).label]
        labels, _ = self._sampled(points)
        hit = np.isin(labels, values)
        if not hit.any():
            return None
        inner, _ = cKDTree(self.boundaries[name]).query(points[hit])
        worst = int(np.argmax(inner))
        return -float(inner[worst]), float(depths[hit][worst]), points[hit][worst]


def _joined(rows: list[list[float]], length_mm: float) -> tuple[Crossing, ...]:
    """Return (label, start, end) rows as crossings; one structure on both sides of a narrow gap is one."""
    found: list[Crossing] = []
    for label, start, end in rows:
        name = BY_LABEL[int(label)].name
        from_mm, to_mm = float(start * STEP_MM), float(min(end * STEP_MM, length_mm))
        if found and found[-1].structure == name and from_mm - found[-1].to_mm < _NARROW_GAP_MM:
            from_mm = found.pop().from_mm
        found.append(Crossing(name, from_mm, to_mm))
    return tuple(found)


def make_ruler(segmentation: Segmentation, names: Sequence[str]) -> Ruler:
    """Return a ruler for the named structures at risk; those that the segmentation lacks are left out."""
    present = segmentation.names()
    found = {name: boundary_mm(segmentation, name) for name in names if name in present}
    return Ruler(segmentation, {name: points for name, points in found.items() if len(points)})


def boundary_mm(segmentation: Segmentation, name: str) -> FloatArray:
    """Return points on a structure's surface, LPS mm, shape (n, 3): where its smoothed share is one half.

    The mask is smoothed by 0.7 voxels, which takes the staircase off; a structure too thin for that keeps its
    voxel faces, which lie up to half a voxel further out.
    """
    mask = segmentation.mask(name)
    if not mask.any():
        return np.zeros((0, 3))
    box = ndimage.find_objects(mask.view(np.uint8))[0]
    low = np.array([part.start for part in box])
    padded = np.pad(mask[box], 3)
    smooth = ndimage.gaussian_filter(padded.astype(np.float32), _ANTIALIAS_VOXELS)
    if (smooth >= 0.5).sum() < 0.8 * mask[box].sum():
        return segmentation.grid.points(_face_indices(padded) - 3 + low)
    return segmentation.grid.points(_half_points(smooth) - 3 + low)


def fitted_normal(
    points: FloatArray, at_mm: FloatArray, *, guess: FloatArray, radius_mm: float
) -> FloatArray:
    """Return the unit normal at a point of the quadric fitted to surface points around it.

    The height over the tangent plane is fitted by a full quadratic with Gaussian weights (sigma half the
    radius);
    `guess` is the outward side, and the plane is turned to the fit twice.
    """
    near = points[np.linalg.norm(points - at_mm, axis=1) <= radius_mm] - at_mm
    if len(near) < 12:
        outward: FloatArray = guess / np.linalg.norm(guess)
        return outward
    normal: FloatArray = np.linalg.svd(near - near.mean(axis=0), full_matrices=False)[2][2]
    normal = normal * np.sign(normal @ guess or 1.0)
    for _ in range(2):
        u = np.cross(normal, np.eye(3)[int(np.argmin(np.abs(normal)))])
        u /= np.linalg.norm(u)
        v = np.cross(normal, u)
        x, y, z = near @ u, near @ v, near @ normal
        weight = np.exp(-(x**2 + y**2) / (2 * (radius_mm / 2) ** 2))[:, None]
        terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
        fit = np.linalg.lstsq(terms * weight, z * weight[:, 0], rcond=None)[0]
        normal = normal - fit[1] * u - fit[2] * v
        normal /= np.linalg.norm(normal)
    return normal


def _half_points(share: NDArray[np.float32]) -> FloatArray:
    """Return the fractional indices where the share crosses one half between neighbours, shape (n, 3)."""
    found = []
    for axis in range(3):
        ahead = np.moveaxis(share, axis, 0)
        changed = np.argwhere((ahead[:-1] >= 0.5) != (ahead[1:] >= 0.5))
        here = ahead[changed[:, 0], changed[:, 1], changed[:, 2]]
        there = ahead[changed[:, 0] + 1, changed[:, 1], changed[:, 2]]
        points = changed.astype(np.float64)
        points[:, 0] += (here - 0.5) / (here - there)
        found.append(points[:, np.argsort([axis, *[i for i in range(3) if i != axis]])])
    return np.concatenate(found)


def _face_indices(mask: NDArray[np.bool_]) -> FloatArray:
    """Return the fractional indices of the face centres between inside and outside, shape (n, 3)."""
    faces = []
    for axis in range(3):
        changed = np.argwhere(np.diff(mask.view(np.int8), axis=axis) != 0).astype(np.float64)
        changed[:, axis] += 0.5
        faces.append(changed)
    return np.concatenate(faces)


def _from_segment(
    points: FloatArray, start_mm: FloatArray, end_mm: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return how far along the segment each point projects, and its distance from the segment (mm)."""
    way = end_mm - start_mm
    length = float(np.linalg.norm(way))
    along = np.clip((points - start_mm) @ (way / length), 0.0, length)
    away: FloatArray = np.linalg.norm(points - start_mm - along[:, None] * (way / length), axis=1)
    return along, away


def _corners(box: NDArray[np.uint8], corner: NDArray[np.int_]) -> NDArray[np.uint8]:
    found = []
    for bits in np.ndindex(2, 2, 2):
        at = np.minimum(corner + bits, np.array(box.shape) - 1)
        found.append(box[at[:, 0], at[:, 1], at[:, 2]])
    return np.stack(found)
