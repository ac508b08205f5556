"""Masks of known shape on odd grids, for surface tests with known answers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medviz.core.anatomy import structure
from medviz.core.segmentation import ModelRecord, Segmentation, SegmentedStructure
from medviz.core.space import Grid

FRAME = "1.2.826.0.1.3680043.8.498.7"
CENTRE_MM = (12.0, -31.0, 55.0)

AXIAL = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], dtype=float)
SAGITTAL = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=float)
FEET_FIRST = np.array([[0, 0, -1], [0, 1, 0], [-1, 0, 0]], dtype=float)
MIRRORED = np.array([[0, 0, -1], [0, 1, 0], [1, 0, 0]], dtype=float)


def oblique(angle_deg: float = 25.0) -> NDArray[np.float64]:
    """Return the axes of an axial stack turned about x and then z."""
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return about_z @ about_x @ AXIAL


def grid_around(
    size_mm: float,
    spacing_mm: tuple[float, float, float],
    *,
    axes: NDArray[np.float64] = AXIAL,
    centre_mm: tuple[float, float, float] = CENTRE_MM,
) -> Grid:
    """Return a cube-shaped grid around a centre; the columns of `axes` are where slice, row, column grow."""
    shape = tuple(int(np.ceil(size_mm / step)) for step in spacing_mm)
    affine = np.eye(4)
    affine[:3, :3] = axes * np.array(spacing_mm)
    affine[:3, 3] = np.array(centre_mm) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid((shape[0], shape[1], shape[2]), affine, FRAME)


def ellipsoid(
    grid: Grid, semi_axes_mm: tuple[float, float, float], *, centre_mm: tuple[float, float, float] = CENTRE_MM
) -> NDArray[np.bool_]:
    """Return the voxels whose centre lies in an ellipsoid with axes along x, y, z."""
    points = grid.points(np.indices(grid.shape).reshape(3, -1).T)
    inside = (((points - centre_mm) / np.array(semi_axes_mm)) ** 2).sum(axis=1) <= 1
    return np.asarray(inside.reshape(grid.shape))


def segmentation_of_masks(grid: Grid, masks: dict[str, NDArray[np.bool_]]) -> Segmentation:
    """Return a segmentation that holds the masks under their names; a later one is painted over."""
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for name, mask in masks.items():
        labels[mask] = structure(name).label
    found = tuple(
        SegmentedStructure(
            name, "imported", float((labels == structure(name).label).sum()) * grid.voxel_ml, None
        )
        for name in masks
    )
    return Segmentation(labels, grid, found, (), (ModelRecord("shapes", "1"),))
