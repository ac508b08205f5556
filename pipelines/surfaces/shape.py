"""Volume, area, normals and closedness of a triangle mesh, in mm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Triangles = NDArray[np.int32]


def volume_mm3(vertices_mm: NDArray[np.floating], triangles: Triangles) -> float:
    """Return the signed volume in mm3: above zero when triangles face outward by the right-hand rule.

    The sum of signed tetrahedra to one point (divergence theorem); exact for any closed mesh.
    """
    points = np.asarray(vertices_mm, dtype=np.float64)
    a, b, c = _corners(points - points.mean(axis=0), triangles)
    return float(np.einsum("ij,ij->", a, np.cross(b, c))) / 6.0


def area_mm2(vertices_mm: NDArray[np.floating], triangles: Triangles) -> float:
    """Return the area of all triangles in mm2."""
    a, b, c = _corners(np.asarray(vertices_mm, dtype=np.float64), triangles)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()) / 2.0


def vertex_normals(vertices_mm: NDArray[np.floating], triangles: Triangles) -> Points:
    """Return outward unit normals, shape (n, 3): the area-weighted mean over a vertex's triangles.

    A vertex without area (a collapsed speck) gets a zero normal.
    """
    points = np.asarray(vertices_mm, dtype=np.float64)
    a, b, c = _corners(points, triangles)
    faces = np.cross(b - a, c - a)
    corner = triangles.ravel()
    normals = np.empty_like(points)
    for axis in range(3):
        normals[:, axis] = np.bincount(corner, np.repeat(faces[:, axis], 3), minlength=len(points))
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    result: Points = np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)
    return result


def is_watertight(triangles: Triangles) -> bool:
    """Return whether every edge has exactly two triangles that run along it in opposite directions."""
    size = int(triangles.max()) + 1
    one_way = triangles.astype(np.int64)
    start, end = one_way.ravel(), np.roll(one_way, -1, axis=1).ravel()
    there, back = np.sort(start * size + end), np.sort(end * size + start)
    return bool((np.diff(there) > 0).all() and np.array_equal(there, back))


def _corners(points: Points, triangles: Triangles) -> tuple[Points, Points, Points]:
    return points[triangles[:, 0]], points[triangles[:, 1]], points[triangles[:, 2]]
