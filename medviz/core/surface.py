"""A closed surface in the patient, with its distance from the voxels stated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SurfaceError:
    """How far a surface lies from the voxel boundary it stands for (mm), and its volume error (%)."""

    mean_mm: float
    p95_mm: float
    max_mm: float
    volume_percent: float


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """A triangle surface in LPS millimetres.

    Parameters
    ----------
    name : str
        Structure in the anatomy table.
    vertices_mm : ndarray of float32, shape (n, 3)
        LPS millimetres; read-only.
    triangles : ndarray of int32, shape (m, 3)
        Indices into `vertices_mm`, outward by the right-hand rule; read-only.
    colour : tuple of float
        sRGB, 0 to 1.
    frame_of_reference : str
        DICOM Frame of Reference UID.
    volume_ml : float
        Enclosed volume of the triangles.
    is_watertight : bool
        Whether every edge has exactly two triangles.
    error : SurfaceError
        Against the voxels.
    is_reliable : bool
        False when the structure is one the network is unsure of.
    shows_face : bool
        As of the volume it comes from.
    """

    name: str
    vertices_mm: NDArray[np.float32]
    triangles: NDArray[np.int32]
    colour: tuple[float, float, float]
    frame_of_reference: str
    volume_ml: float
    is_watertight: bool
    error: SurfaceError
    is_reliable: bool = True
    shows_face: bool = False

    def __post_init__(self) -> None:
        if self.vertices_mm.ndim != 2 or self.vertices_mm.shape[1] != 3 or not len(self.vertices_mm):
            raise ValueError("a surface needs vertices of shape (n, 3)")
        if self.triangles.ndim != 2 or self.triangles.shape[1] != 3 or not len(self.triangles):
            raise ValueError("a surface needs triangles of shape (m, 3)")
        self.vertices_mm.setflags(write=False)
        self.triangles.setflags(write=False)
