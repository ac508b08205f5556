"""From a mask to a closed, smooth triangle mesh that keeps the mask's volume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from vtkmodules.vtkFiltersCore import vtkFlyingEdges3D, vtkWindowedSincPolyDataFilter

from medviz.core.space import Grid
from pipelines.surfaces.shape import Points, Triangles, area_mm2, vertex_normals, volume_mm3
from pipelines.surfaces.vtk_arrays import arrays_of, image_of, polydata_of

MOST_SPACING_RATIO = 1.5
FINEST_MM = 1.0
SMOOTHING_STEPS = 20
PASS_BAND = 0.01
MOST_OFFSET = 0.25
_PAD = 2


def extract(mask: NDArray[np.bool_], grid: Grid) -> tuple[Points, Triangles]:
    """Return vertices (LPS mm) and outward triangles of the boundary of a mask.

    FlyingEdges on the padded mask, windowed-sinc smoothing (Taubin et al. 1996, 20 steps, pass band
    0.01), then a shift along the normals of a few hundredths of a millimetre that gives back the
    volume that smoothing took. Slices thicker than 1.5 times the pixel are first interpolated by
    signed distance (Raya and Udupa 1990), so that they leave no stairs.

    Parameters
    ----------
    mask : ndarray of bool, shape of `grid`
        At least one voxel; it may touch the border.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    box = bounding_box(mask)
    field, indices_of_field = _field(np.pad(mask[box], _PAD), grid.spacing_mm)
    corner = np.array([axis.start - _PAD for axis in box], dtype=np.float64)
    raw, triangles = _flying_edges(field)
    vertices = grid.points(indices_of_field(_smooth(raw, triangles)) + corner)
    if volume_mm3(vertices, triangles) < 0:
        triangles = np.ascontiguousarray(triangles[:, ::-1])
    voxels_mm3 = float(np.count_nonzero(mask[box])) * grid.voxel_ml * 1000.0
    return with_volume(vertices, triangles, voxels_mm3, most_mm=MOST_OFFSET * min(grid.spacing_mm)), triangles


def bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """Return the smallest box of indices that holds the mask.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    sides = []
    for axis in range(3):
        held = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(held):
            raise ValueError("an empty mask has no surface")
        sides.append(slice(int(held[0]), int(held[-1]) + 1))
    return sides[0], sides[1], sides[2]


def with_volume(vertices_mm: Points, triangles: Triangles, wanted_mm3: float, *, most_mm: float) -> Points:
    """Return the vertices shifted along their normals until the mesh encloses `wanted_mm3`.

    The shift is one length for the whole mesh, at most `most_mm`.
    """
    points, shifted_mm = vertices_mm, 0.0
    for _ in range(4):
        missing = wanted_mm3 - volume_mm3(points, triangles)
        step = missing / max(area_mm2(points, triangles), 1e-9)
        step = float(np.clip(shifted_mm + step, -most_mm, most_mm)) - shifted_mm
        points = points + step * vertex_normals(points, triangles)
        shifted_mm += step
        if abs(missing) < 1e-4 * wanted_mm3:
            break
    return points


class _Identity:
    """Field indices that are mask indices."""

    def __call__(self, points: Points) -> Points:
        return points


class _Divided:
    """Field indices of a mask whose thick axis was divided into `parts`."""

    def __init__(self, axis: int, parts: int) -> None:
        self._axis, self._parts = axis, parts

    def __call__(self, points: Points) -> Points:
        result = points.copy()
        result[:, self._axis] /= self._parts
        return result


def _field(
    mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> tuple[NDArray[np.float32], _Identity | _Divided]:
    """Return what FlyingEdges cuts at zero, and the way back to indices of the mask."""
    axis = int(np.argmax(spacing_mm))
    fine_mm = max(value for other, value in enumerate(spacing_mm) if other != axis)
    parts = round(spacing_mm[axis] / max(fine_mm, min(FINEST_MM, spacing_mm[axis])))
    if spacing_mm[axis] / min(spacing_mm) <= MOST_SPACING_RATIO or parts < 2:
        return mask.astype(np.float32) - np.float32(0.5), _Identity()
    return _between_slices(mask, spacing_mm, axis=axis, parts=parts), _Divided(axis, parts)


def _between_slices(
    mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float], *, axis: int, parts: int
) -> NDArray[np.float32]:
    """Return in-plane signed distances (mm, inside above 0) with `parts - 1` planes between two slices."""
    slices = np.moveaxis(mask, axis, 0)
    in_plane = [value for other, value in enumerate(spacing_mm) if other != axis]
    distance = np.stack([_signed_distance(plane, in_plane) for plane in slices])
    _mirror_into_empty(distance, np.asarray(slices.any(axis=(1, 2))))
    result = np.empty(((len(slices) - 1) * parts + 1, *slices.shape[1:]), dtype=np.float32)
    for part in range(parts):
        weight = np.float32(part / parts)
        result[part:-1:parts] = distance[:-1] * (1 - weight) + distance[1:] * weight
    result[-1] = distance[-1]
    result[np.abs(result) < 1e-4] = -1e-4
    return np.ascontiguousarray(np.moveaxis(result, 0, axis))


def _signed_distance(plane: NDArray[np.bool_], sampling_mm: list[float]) -> NDArray[np.float32]:
    """Return distances in mm to the pixel boundary, inside above 0; a plane of one kind gives +-1e3."""
    if not plane.any() or plane.all():
        return np.full(plane.shape, 1e3 if plane.any() else -1e3, dtype=np.float32)
    half = min(sampling_mm) / 2
    inside = ndimage.distance_transform_edt(plane, sampling=sampling_mm)
    outside = ndimage.distance_transform_edt(~plane, sampling=sampling_mm)
    result: NDArray[np.float32] = np.where(plane, inside - half, half - outside).astype(np.float32)
    return result


def _mirror_into_empty(distance: NDArray[np.float32], is_held: NDArray[np.bool_]) -> None:
    """Give empty slices the negative of their neighbour: the structure then ends halfway between."""
    for index in np.flatnonzero(~is_held):
        near = [distance[k] for k in (index - 1, index + 1) if 0 <= k < len(distance) and is_held[k]]
        if near:
            distance[index] = -np.abs(np.max(near, axis=0))


def _flying_edges(field: NDArray[np.float32]) -> tuple[Points, Triangles]:
    """Return vertices as (slice, row, column) indices of the field, and triangles."""
    edges = vtkFlyingEdges3D()
    edges.SetInputData(image_of(field))
    edges.SetValue(0, 0.0)
    edges.ComputeNormalsOff()
    edges.ComputeScalarsOff()
    edges.Update()
    points, triangles = arrays_of(edges.GetOutput())
    return points[:, ::-1], triangles


def _smooth(points: Points, triangles: Triangles) -> Points:
    """Return smoothed vertices; the filter is linear in them, so indices serve as well as mm."""
    smoother = vtkWindowedSincPolyDataFilter()
    smoother.SetInputData(polydata_of(points, triangles))
    smoother.SetNumberOfIterations(SMOOTHING_STEPS)
    smoother.SetPassBand(PASS_BAND)
    smoother.NormalizeCoordinatesOn()
    smoother.NonManifoldSmoothingOn()
    smoother.BoundarySmoothingOff()
    smoother.FeatureEdgeSmoothingOff()
    smoother.Update()
    return arrays_of(smoother.GetOutput())[0]
