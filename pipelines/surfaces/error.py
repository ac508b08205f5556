"""How far a mesh lies from the boundary of the voxels it stands for."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from medviz.core.space import Grid
from medviz.core.surface import SurfaceError
from pipelines.surfaces.shape import Triangles, volume_mm3

MOST_SAMPLES = 40_000
_REACHES = (1, 2, 4)


def surface_error(
    vertices_mm: NDArray[np.floating], triangles: Triangles, mask: NDArray[np.bool_], grid: Grid
) -> SurfaceError:
    """Return mean, 95th percentile and largest distance to the voxel boundary (mm), and volume error (%).

    Measured at the vertices, or at every n-th of a mesh of more than 40,000. The volume error is
    that of the mesh against voxel count times voxel volume; above 0 when the mesh is larger.
    """
    every = -(-len(vertices_mm) // MOST_SAMPLES)
    distance = boundary_distance_mm(np.asarray(vertices_mm[::every], dtype=np.float64), mask, grid)
    voxels_mm3 = float(np.count_nonzero(mask)) * grid.voxel_ml * 1000.0
    volume_percent = 100.0 * (volume_mm3(vertices_mm, triangles) - voxels_mm3) / voxels_mm3
    return SurfaceError(
        float(distance.mean()), float(np.percentile(distance, 95)), float(distance.max()), volume_percent
    )


def boundary_distance_mm(
    points_mm: NDArray[np.float64], mask: NDArray[np.bool_], grid: Grid
) -> NDArray[np.float64]:
    """Return the distance in mm, shape (n,), of points to the nearest face between mask and background.

    Exact up to four voxels: a point's distance is that to the nearest box of a voxel of the other
    kind. What lies farther is given as four voxels.
    """
    indices = grid.indices(points_mm)
    spacing = np.array(grid.spacing_mm)
    result = np.full(len(indices), np.inf)
    for reach in _REACHES:
        open_ones = np.flatnonzero(~np.isfinite(result))
        if len(open_ones):
            result[open_ones] = _within_reach(indices[open_ones], mask, spacing, reach)
    result[~np.isfinite(result)] = _REACHES[-1] * spacing.min()
    return result


def _within_reach(
    indices: NDArray[np.float64], mask: NDArray[np.bool_], spacing: NDArray[np.float64], reach: int
) -> NDArray[np.float64]:
    """Return the distance to voxels of the other kind up to `reach` voxels away; infinite if none."""
    home = np.rint(indices).astype(np.int64)
    is_inside = _at(mask, home)
    nearest = np.full(len(indices), np.inf)
    for step in product(range(-reach, reach + 1), repeat=3):
        voxel = home + step
        gap = np.maximum(np.abs(indices - voxel) - 0.5, 0.0) * spacing
        distance = np.sqrt((gap**2).sum(axis=1))
        np.minimum(nearest, np.where(_at(mask, voxel) != is_inside, distance, np.inf), out=nearest)
    return nearest


def _at(mask: NDArray[np.bool_], voxel: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the mask at voxels; outside the grid is background."""
    is_held = ((voxel >= 0) & (voxel < mask.shape)).all(axis=1)
    safe = np.clip(voxel, 0, np.array(mask.shape) - 1)
    result: NDArray[np.bool_] = mask[safe[:, 0], safe[:, 1], safe[:, 2]] & is_held
    return result
