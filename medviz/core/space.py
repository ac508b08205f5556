"""Where things are: patient coordinates (LPS, millimetres) and the order other libraries want.

Everything in MedViz is in DICOM's patient system: x grows to the patient's Left, y to the Posterior,
z to the Superior (PS3.3 C.7.6.2.1.1). Arrays are indexed (slice, row, column). This module alone
knows RAS (NIfTI) and the x-first order of ITK and VTK.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_REVERSE_INDEX = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A regular voxel grid placed in the patient.

    Parameters
    ----------
    shape : tuple of int
        Number of slices, rows, columns; each at least 1.
    affine : ndarray, shape (4, 4)
        Maps the index (slice, row, column, 1) of a voxel centre to LPS millimetres.
    frame_of_reference : str
        DICOM Frame of Reference UID; two grids are comparable only when it is equal.

    Raises
    ------
    ValueError
        If a spacing is zero, or an axis is not at a right angle to the others.
    """

    shape: tuple[int, int, int]
    affine: FloatArray
    frame_of_reference: str = ""
    inverse: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise ValueError("a grid needs a finite 4 x 4 affine")
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError("a grid needs three axes of at least one voxel")
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        if spacing.min() <= 0:
            raise ValueError("a grid needs a spacing above zero on every axis")
        cosines = affine[:3, :3] / spacing
        if not np.allclose(cosines.T @ cosines, np.eye(3), atol=1e-3):
            raise ValueError("the axes of a grid must be at right angles")
        affine.setflags(write=False)
        inverse = np.linalg.inv(affine)
        inverse.setflags(write=False)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "inverse", inverse)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring slices, rows and columns, in mm."""
        ks, rs, cs = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(ks), float(rs), float(cs)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @property
    def centre_mm(self) -> FloatArray:
        """Centre of the grid, LPS mm, shape (3,)."""
        middle = (np.array([self.shape], dtype=np.float64) - 1) / 2
        centre: FloatArray = self.points(middle)[0]
        return centre

    def points(self, indices: NDArray[np.generic]) -> FloatArray:
        """Return LPS points in mm, shape (n, 3), of (slice, row, column) indices, shape (n, 3)."""
        result: FloatArray = (
            np.asarray(indices, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]
        )
        return result

    def indices(self, points_mm: NDArray[np.generic]) -> FloatArray:
        """Return fractional (slice, row, column) indices, shape (n, 3), of LPS points in mm."""
        result: FloatArray = (
            np.asarray(points_mm, dtype=np.float64) @ self.inverse[:3, :3].T + self.inverse[:3, 3]
        )
        return result

    def is_same_as(self, other: Grid, *, tolerance_mm: float = 1e-3) -> bool:
        """Return whether both grids have the same voxels at the same places."""
        return (
            self.shape == other.shape
            and self.frame_of_reference == other.frame_of_reference
            and bool(np.allclose(self.affine, other.affine, atol=tolerance_mm))
        )


def orientation_letters(grid: Grid) -> str:
    """Return where slice, row and column indices grow to, such as ``SPL`` for a usual axial stack."""
    cosines = grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)
    letters = []
    for axis in range(3):
        world = int(np.argmax(np.abs(cosines[:, axis])))
        letters.append(_LETTERS[world][int(cosines[world, axis] > 0)])
    return "".join(letters)


def nifti_affine(grid: Grid) -> FloatArray:
    """Return the RAS affine for the array transposed to (column, row, slice), as NIfTI wants it."""
    result: FloatArray = _LPS_TO_RAS @ grid.affine @ _REVERSE_INDEX
    return result


def grid_from_nifti(
    shape_xyz: tuple[int, int, int], affine_ras: FloatArray, frame_of_reference: str = ""
) -> Grid:
    """Return the grid of a NIfTI image whose array will be transposed to (slice, row, column)."""
    affine = _LPS_TO_RAS @ np.asarray(affine_ras, dtype=np.float64) @ _REVERSE_INDEX
    x, y, z = shape_xyz
    return Grid((z, y, x), affine, frame_of_reference)


@dataclass(frozen=True, slots=True)
class ItkGeometry:
    """Origin, spacing and direction in ITK's x-first order (LPS mm, like ours)."""

    origin: tuple[float, float, float]
    spacing: tuple[float, float, float]
    direction: tuple[float, ...]


def itk_geometry(grid: Grid) -> ItkGeometry:
    """Return what `SimpleITK.Image.SetOrigin/SetSpacing/SetDirection` want for an array of this grid."""
    spacing = grid.spacing_mm[::-1]
    columns = grid.affine[:3, [2, 1, 0]]
    direction = columns / np.asarray(spacing)
    x, y, z = (float(v) for v in grid.affine[:3, 3])
    return ItkGeometry((x, y, z), spacing, tuple(float(v) for v in direction.ravel()))


def grid_from_itk(
    size_xyz: tuple[int, int, int], geometry: ItkGeometry, frame_of_reference: str = ""
) -> Grid:
    """Return the grid of an ITK image of `size_xyz` voxels."""
    affine = np.eye(4)
    direction = np.asarray(geometry.direction, dtype=np.float64).reshape(3, 3)
    affine[:3, :3] = (direction * np.asarray(geometry.spacing))[:, [2, 1, 0]]
    affine[:3, 3] = geometry.origin
    x, y, z = size_xyz
    return Grid((z, y, x), affine, frame_of_reference)
