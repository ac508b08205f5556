"""Fewer triangles for the film, still closed and of the same volume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from vtkmodules.vtkFiltersCore import vtkDecimatePro, vtkQuadricDecimation

from medviz.core.surface import Surface
from pipelines.surfaces.extract import with_volume
from pipelines.surfaces.shape import Points, Triangles, is_watertight, volume_mm3
from pipelines.surfaces.vtk_arrays import arrays_of, polydata_of

MOST_OFFSET_MM = 0.25


def decimate(surface: Surface, triangles: int) -> Surface:
    """Return the surface with about `triangles` triangles: for pictures, never for measuring.

    Quadric decimation (Garland and Heckbert 1997); should it tear the mesh, the slower kind that
    keeps the topology. The volume is given back by a shift along the normals of at most 0.25 mm.
    The stated error stays that of the surface it was made from.
    """
    if len(surface.triangles) <= triangles:
        return surface
    share = 1.0 - triangles / len(surface.triangles)
    points, faces = _quadric(surface, share)
    if not is_watertight(faces):
        points, faces = _keeping_topology(surface, share)
    points = with_volume(points, faces, surface.volume_ml * 1000.0, most_mm=MOST_OFFSET_MM)
    return replace(
        surface,
        vertices_mm=points.astype(np.float32),
        triangles=faces,
        volume_ml=volume_mm3(points, faces) / 1000.0,
        is_watertight=is_watertight(faces),
    )


def _quadric(surface: Surface, share: float) -> tuple[Points, Triangles]:
    decimation = vtkQuadricDecimation()
    decimation.SetInputData(polydata_of(surface.vertices_mm, surface.triangles))
    decimation.SetTargetReduction(share)
    decimation.VolumePreservationOn()
    decimation.Update()
    return _used(*arrays_of(decimation.GetOutput()))


def _keeping_topology(surface: Surface, share: float) -> tuple[Points, Triangles]:
    decimation = vtkDecimatePro()
    decimation.SetInputData(polydata_of(surface.vertices_mm, surface.triangles))
    decimation.SetTargetReduction(share)
    decimation.PreserveTopologyOn()
    decimation.SplittingOff()
    decimation.BoundaryVertexDeletionOff()
    decimation.Update()
    return _used(*arrays_of(decimation.GetOutput()))


def _used(points: Points, triangles: Triangles) -> tuple[Points, Triangles]:
    """Return the mesh without vertices that no triangle uses."""
    kept, faces = np.unique(triangles, return_inverse=True)
    return points[kept], faces.reshape(-1, 3).astype(np.int32)
