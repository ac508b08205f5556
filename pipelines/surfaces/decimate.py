"""Fewer triangles for the film, still closed and of the same volume."""

from __future__ import annotations

from dataclasses import replace

import manifold3d
import numpy as np

from medviz.core.surface import Surface
from pipelines.surfaces.extract import with_volume
from pipelines.surfaces.shape import is_watertight, volume_mm3

FIRST_TOLERANCE_MM = 0.05
GROWTH = 1.4
MOST_TOLERANCE_MM = 2.5
MOST_OFFSET_MM = 0.25


def decimate(surface: Surface, triangles: int) -> Surface:
    """Return the surface with at most `triangles` triangles: for pictures, never for measuring.

    Edges are collapsed within a tolerance that grows from 0.05 mm until few enough triangles are left, or
    to 2.5 mm, where it stops with more: a film must not lose anatomy. The mesh stays a closed
    manifold (the guarantee of manifold3d); its volume is given back by a shift along the normals of at most
    0.25 mm. The stated error stays that of the surface it was made from.
    """
    if len(surface.triangles) <= triangles:
        return surface
    mesh = manifold3d.Mesh(
        vert_properties=np.array(surface.vertices_mm), tri_verts=surface.triangles.astype(np.uint32)
    )
    body, tolerance_mm = manifold3d.Manifold(mesh), FIRST_TOLERANCE_MM
    while body.num_tri() > triangles and tolerance_mm < MOST_TOLERANCE_MM:
        body = body.simplify(tolerance_mm)
        tolerance_mm *= GROWTH
    light = body.to_mesh()
    points = np.asarray(light.vert_properties, dtype=np.float64)[:, :3]
    faces = np.asarray(light.tri_verts, dtype=np.int32)
    points = with_volume(points, faces, surface.volume_ml * 1000.0, most_mm=MOST_OFFSET_MM)
    return replace(
        surface,
        vertices_mm=points.astype(np.float32),
        triangles=faces,
        volume_ml=volume_mm3(points, faces) / 1000.0,
        is_watertight=is_watertight(faces),
    )
