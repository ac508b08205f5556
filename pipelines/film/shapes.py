"""Surfaces made ready to be drawn: fewer triangles, smooth normals, shaded grooves; needle and burr hole."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from medviz.core.plan import Point
from pipelines.film.compiled import compiled
from pipelines.film.scene import Shape

FloatArray = NDArray[np.float64]


def shape_of(points_mm: NDArray[np.float32], triangles: NDArray[np.int32]) -> Shape:
    """Return a surface as a shape, with normals and openness.

    Parameters
    ----------
    points_mm : ndarray of float32, shape (n, 3)
        LPS mm.
    triangles : ndarray of int32, shape (m, 3)
        Outward by the right-hand rule.
    """
    points, faces = neighbourly(points_mm, triangles)
    neighbours = _neighbour_mean(len(points), faces)
    calm = points.astype(np.float64)
    for _ in range(4):
        calm = 0.5 * calm + 0.5 * (neighbours @ calm)
    normals = vertex_normals(calm, faces)
    openness = _openness(points.astype(np.float64), normals, neighbours)
    return Shape(points, normals.astype(np.float32), openness.astype(np.float32), faces)


def neighbourly(
    points_mm: NDArray[np.float32], triangles: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return the same surface with neighbours in space next to each other in memory (Morton order).

    A renderer that meets them in this order finds their pixels in the cache.
    """
    order = np.argsort(_morton(points_mm), kind="stable")
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    faces = place[triangles]
    by_place = np.argsort(faces.min(axis=1), kind="stable")
    return np.ascontiguousarray(points_mm[order]), np.ascontiguousarray(faces[by_place])


def _morton(points_mm: NDArray[np.float32]) -> NDArray[np.int64]:
    low, high = points_mm.min(axis=0), points_mm.max(axis=0)
    cells = ((points_mm - low) / np.maximum(high - low, 1e-6) * 1023).astype(np.int64)
    code = np.zeros(len(points_mm), dtype=np.int64)
    for bit in range(10):
        for axis in range(3):
            code |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return code


def vertex_normals(points_mm: FloatArray, triangles: NDArray[np.int32]) -> FloatArray:
    """Return outward unit normals, shape (n, 3): the mean of the triangles around, weighted by area."""
    a, b, c = (points_mm[triangles[:, i]] for i in range(3))
    face = np.cross(b - a, c - a)
    normals = np.zeros_like(points_mm)
    for axis in range(3):
        for corner in range(3):
            normals[:, axis] += np.bincount(triangles[:, corner], face[:, axis], len(points_mm))
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    result: FloatArray = normals / np.maximum(length, 1e-12)
    return result


def _neighbour_mean(count: int, triangles: NDArray[np.int32]) -> sparse.csr_matrix:
    """Return the matrix that takes the mean over each vertex's neighbours."""
    first = triangles[:, [0, 1, 2, 1, 2, 0]].ravel()
    second = triangles[:, [1, 2, 0, 0, 1, 2]].ravel()
    links = sparse.csr_matrix((np.ones(len(first)), (first, second)), shape=(count, count))
    links.data[:] = 1.0
    degree = np.maximum(np.asarray(links.sum(axis=1)).ravel(), 1.0)
    return sparse.diags(1.0 / degree) @ links


def _openness(points: FloatArray, normals: FloatArray, neighbours: sparse.csr_matrix) -> FloatArray:
    """Return 0 (deep groove) to 1 (ridge) per vertex: how far the surface around rises above it.

    The surface is smoothed in two strengths; where the smooth one lies above, little light comes in.
    """
    openness = np.full(len(points), 0.78)
    smooth = points
    for rounds, weight in ((6, 0.55), (24, 0.30)):
        for _ in range(rounds):
            smooth = 0.4 * smooth + 0.6 * (neighbours @ smooth)
        sunk_mm = np.einsum("ij,ij->i", smooth - points, normals)
        spread = max(float(np.percentile(np.abs(sunk_mm), 92)), 0.05)
        openness -= weight * np.clip(sunk_mm / spread, -0.9, 1.3)
    result: FloatArray = np.clip(0.5 * openness + 0.5 * (neighbours @ openness), 0.0, 1.0)
    return result


def needle_shape(
    entry_mm: Point, target_mm: Point, *, depth_mm: float, radius_mm: float, shaft_mm: float
) -> Shape:
    """Return a needle along the way from entry to target, its tip `depth_mm` below the entry.

    Parameters
    ----------
    depth_mm : float
        Of the tip along the way; negative is outside the skin.
    radius_mm : float
        Of the shaft; the tip is a short cone.
    shaft_mm : float
        Length drawn behind the tip.
    """
    start, direction = axis_of(entry_mm, target_mm)
    profile = [(0.0, 0.02 * radius_mm), (-2.2 * radius_mm, radius_mm), (-shaft_mm, radius_mm)]
    hub = -shaft_mm
    profile += [(hub, 3.0 * radius_mm), (hub - 14.0, 3.4 * radius_mm), (hub - 15.0, 0.02 * radius_mm)]
    return turned(start + direction * depth_mm, direction, profile)


def axis_of(entry_mm: Point, target_mm: Point) -> tuple[FloatArray, FloatArray]:
    """Return the entry and the unit direction to the target, LPS mm."""
    start = np.asarray(entry_mm, dtype=np.float64)
    way = np.asarray(target_mm, dtype=np.float64) - start
    return start, way / np.linalg.norm(way)


def around(direction: FloatArray, sides: int) -> FloatArray:
    """Return unit vectors at right angles to a direction, evenly around it, shape (sides, 3)."""
    helper = np.eye(3)[int(np.argmin(np.abs(direction)))]
    u = np.cross(direction, helper)
    u /= np.linalg.norm(u)
    v = np.cross(direction, u)
    angles = 2 * math.pi * np.arange(sides) / sides
    result: FloatArray = np.cos(angles)[:, None] * u + np.sin(angles)[:, None] * v
    return result


def turned(
    tip_mm: FloatArray, direction: FloatArray, profile: list[tuple[float, float]], sides: int = 28
) -> Shape:
    """Return a turned solid: (position along the axis, radius) pairs in mm from the tip backwards.

    Each ring is drawn twice, so that edges stay sharp.
    """
    ring = around(direction, sides)
    points: list[FloatArray] = []
    normals: list[FloatArray] = []
    faces: list[NDArray[np.int64]] = []
    for (along, radius), (next_along, next_radius) in itertools.pairwise(profile):
        base = sides * len(points)
        slope = np.array([along - next_along, next_radius - radius])
        normal = ring * slope[0] + direction * slope[1]
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        points += [
            tip_mm + direction * along + ring * radius,
            tip_mm + direction * next_along + ring * next_radius,
        ]
        normals += [normal, normal]
        i = np.arange(sides)
        j = (i + 1) % sides
        faces += [
            np.stack([base + i, base + j, base + sides + j], axis=1),
            np.stack([base + i, base + sides + j, base + sides + i], axis=1),
        ]
    all_points = np.concatenate(points).astype(np.float32)
    triangles = _outward(all_points, np.concatenate(normals), np.concatenate(faces))
    openness = np.full(len(all_points), 0.85, dtype=np.float32)
    return Shape(all_points, np.concatenate(normals).astype(np.float32), openness, triangles)


def _outward(points: NDArray[np.float32], normals: FloatArray, faces: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the triangles, each turned so that it faces the way its normals do."""
    a, b, c = (points[faces[:, i]].astype(np.float64) for i in range(3))
    facing = np.einsum("ij,ij->i", np.cross(b - a, c - a), normals[faces].sum(axis=1))
    result = np.where((facing < 0)[:, None], faces[:, [0, 2, 1]], faces)
    return np.ascontiguousarray(result, dtype=np.int32)


def hole_wall(
    shape: Shape, entry_mm: Point, target_mm: Point, *, radius_mm: float, low_mm: float, high_mm: float
) -> Shape | None:
    """Return the wall of a round hole through a closed surface, facing the hole; None if it misses.

    The wall goes from where rays along the axis first enter the surface to where they leave it, within
    `low_mm` to `high_mm` from the entry.
    """
    start, direction = axis_of(entry_mm, target_mm)
    ring = around(direction, 48)
    origins = start + ring * radius_mm + direction * low_mm
    first, last = np.full(48, np.inf), np.full(48, np.inf)
    _enter_and_leave(shape.points_mm, shape.triangles, origins, direction, first, last)
    first, last = first + low_mm, np.minimum(last + low_mm, high_mm)
    if not np.isfinite(first).all() or (first > high_mm).any():
        return None
    top = start + ring * radius_mm + direction * first[:, None]
    bottom = start + ring * radius_mm + direction * np.maximum(last, first + 0.05)[:, None]
    i = np.arange(48)
    j = (i + 1) % 48
    faces = np.concatenate([np.stack([i, j, 48 + j], axis=1), np.stack([i, 48 + j, 48 + i], axis=1)])
    points = np.concatenate([top, bottom]).astype(np.float32)
    normals = np.concatenate([-ring, -ring])
    openness = np.concatenate([np.full(48, 0.85), np.full(48, 0.45)]).astype(np.float32)
    return Shape(points, normals.astype(np.float32), openness, _outward(points, normals, faces))


@compiled
def _enter_and_leave(
    points: NDArray[np.float32],
    triangles: NDArray[np.int32],
    origins: NDArray[np.float64],
    direction: NDArray[np.float64],
    first: NDArray[np.float64],
    last: NDArray[np.float64],
) -> None:
    """Fill the first and second place where each ray meets the surface (Möller and Trumbore 1997)."""
    dx, dy, dz = direction[0], direction[1], direction[2]
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, az = float(points[a, 0]), float(points[a, 1]), float(points[a, 2])
        ux, uy, uz = points[b, 0] - ax, points[b, 1] - ay, points[b, 2] - az
        vx, vy, vz = points[c, 0] - ax, points[c, 1] - ay, points[c, 2] - az
        px, py, pz = dy * vz - dz * vy, dz * vx - dx * vz, dx * vy - dy * vx
        det = ux * px + uy * py + uz * pz
        if abs(det) < 1e-12:
            continue
        for r in range(origins.shape[0]):
            sx, sy, sz = origins[r, 0] - ax, origins[r, 1] - ay, origins[r, 2] - az
            u = (sx * px + sy * py + sz * pz) / det
            if u < 0.0 or u > 1.0:
                continue
            qx, qy, qz = sy * uz - sz * uy, sz * ux - sx * uz, sx * uy - sy * ux
            v = (dx * qx + dy * qy + dz * qz) / det
            at = (vx * qx + vy * qy + vz * qz) / det
            if v < 0.0 or u + v > 1.0 or at < 0.0:
                continue
            if at < first[r]:
                first[r], last[r] = at, first[r]
            elif at < last[r]:
                last[r] = at


def near_axis(shape: Shape, entry_mm: Point, target_mm: Point, *, within_mm: float) -> Shape | None:
    """Return the triangles with a corner within a distance of the axis (mm); None if there are none."""
    start, direction = axis_of(entry_mm, target_mm)
    away = shape.points_mm.astype(np.float64) - start
    along = away @ direction
    near = np.einsum("ij,ij->i", away, away) - along**2 < within_mm**2
    # large triangles may pass the axis with all corners farther off: take their neighbours too
    near[shape.triangles[near[shape.triangles].any(axis=1)].ravel()] = True
    kept = shape.triangles[near[shape.triangles].any(axis=1)]
    if not len(kept):
        return None
    return Shape(shape.points_mm, shape.normals, shape.openness, np.ascontiguousarray(kept))


def crossing_mm(
    shape: Shape, entry_mm: Point, target_mm: Point, *, low_mm: float
) -> tuple[float, float] | None:
    """Return where the axis first enters and leaves a surface, in mm from the entry; None if it misses."""
    start, direction = axis_of(entry_mm, target_mm)
    first, last = np.full(1, np.inf), np.full(1, np.inf)
    origin = (start + direction * low_mm)[None]
    _enter_and_leave(shape.points_mm, shape.triangles, origin, direction, first, last)
    if not np.isfinite(first[0]):
        return None
    leaves = float(last[0]) if np.isfinite(last[0]) else float(first[0]) + 8.0
    return float(first[0]) + low_mm, min(leaves, float(first[0]) + 30.0) + low_mm
