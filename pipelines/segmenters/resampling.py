"""Volumes between the scanner's grid and the upright grid a network was trained on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from medviz.core.space import Grid, itk_geometry

sitk: Any = SimpleITK  # it ships no types

SLAB_VOXELS = 4_000_000
_DIRECTIONS = {
    "L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1),
}  # fmt: skip


def upright_grid(grid: Grid, *, codes: str, spacing_mm: tuple[float, float, float]) -> Grid:
    """Return a grid along the patient's own axes that covers all of `grid`.

    Parameters
    ----------
    codes : str
        Where the three axes grow to, such as ``RAS``: the first array axis to the right, and so on.
    spacing_mm : tuple of float
        Spacing along those axes, in mm.

    Raises
    ------
    ValueError
        If the codes do not name three different axes.
    """
    axes = np.array([_DIRECTIONS[letter] for letter in codes.upper()], dtype=np.float64).T
    if axes.shape != (3, 3) or abs(np.linalg.det(axes)) != 1.0:
        raise ValueError("an orientation needs three letters of three different axes")
    ends = np.array(list(itertools.product(*((-0.5, n - 0.5) for n in grid.shape))))
    along = grid.points(ends) @ axes
    extent, middle = np.ptp(along, axis=0), (along.min(axis=0) + along.max(axis=0)) / 2
    shape = np.maximum(1, np.ceil(extent / np.array(spacing_mm) - 1e-6)).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = axes * np.array(spacing_mm)
    affine[:3, 3] = axes @ (middle - (shape - 1) / 2 * np.array(spacing_mm))
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine, grid.frame_of_reference)


def image_on(voxels: NDArray[np.generic], grid: Grid) -> Any:
    """Return an array as an ITK image in its place; the voxels are copied."""
    geometry = itk_geometry(grid)
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels))
    image.SetOrigin(geometry.origin)
    image.SetSpacing(geometry.spacing)
    image.SetDirection(geometry.direction)
    return image


def resampled(image: Any, grid: Grid, *, outside: float, threads: int) -> NDArray[np.float32]:
    """Return an image on another grid, by linear interpolation; `outside` where it has no voxels."""
    geometry = itk_geometry(grid)
    resampler = sitk.ResampleImageFilter()
    resampler.SetNumberOfThreads(threads)
    resampler.SetSize(grid.shape[::-1])
    resampler.SetOutputOrigin(geometry.origin)
    resampler.SetOutputSpacing(geometry.spacing)
    resampler.SetOutputDirection(geometry.direction)
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.SetDefaultPixelValue(float(outside))
    resampler.SetOutputPixelType(sitk.sitkFloat32)
    result: NDArray[np.float32] = sitk.GetArrayFromImage(resampler.Execute(image))
    return result


def slabs(grid: Grid) -> Iterator[tuple[slice, Grid]]:
    """Yield the grid in pieces of whole slices, of about four million voxels, so that memory stays small."""
    slices, rows, columns = grid.shape
    thick = max(1, SLAB_VOXELS // (rows * columns))
    for start in range(0, slices, thick):
        stop = min(slices, start + thick)
        affine = np.array(grid.affine)
        affine[:3, 3] = grid.points(np.array([[start, 0, 0]]))[0]
        yield slice(start, stop), Grid((stop - start, rows, columns), affine, grid.frame_of_reference)
