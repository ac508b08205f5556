"""Surfaces against shapes whose volume, area and place are known by formula."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkFiltersModeling import vtkSelectEnclosedPoints

from medviz.core.errors import BadInput, Cancelled
from medviz.core.segmentation import Segmentation
from pipelines.stages.mesh import decimate, make_surfaces, read_surfaces, write_surfaces
from pipelines.surfaces.error import boundary_distance_mm
from pipelines.surfaces.shape import area_mm2, is_watertight, vertex_normals, volume_mm3
from pipelines.surfaces.vtk_arrays import polydata_of
from tests.make_surfaces import (
    AXIAL,
    CENTRE_MM,
    FEET_FIRST,
    FRAME,
    MIRRORED,
    SAGITTAL,
    ellipsoid,
    grid_around,
    oblique,
    segmentation_of_masks,
)

LESION_MM = (12.0, 9.0, 14.0)
ORIENTATIONS = {
    "axial": AXIAL,
    "sagittal": SAGITTAL,
    "feet first": FEET_FIRST,
    "mirrored": MIRRORED,
    "oblique": oblique(),
}


def lesion(spacing_mm=(1.0, 0.75, 0.75), *, axes=AXIAL, semi_axes_mm=LESION_MM):
    grid = grid_around(50.0, spacing_mm, axes=axes)
    return segmentation_of_masks(grid, {"tumour": ellipsoid(grid, semi_axes_mm)})


def as_trimesh(surface):
    return trimesh.Trimesh(surface.vertices_mm, surface.triangles, process=False)


def ellipsoid_distance_mm(points_mm, semi_axes_mm=LESION_MM):
    """First-order distance to an ellipsoid: |f| / |grad f| (Taubin 1991)."""
    scaled = (points_mm - np.array(CENTRE_MM)) / np.array(semi_axes_mm)
    value = (scaled**2).sum(axis=1) - 1
    slope = np.linalg.norm(2 * scaled / np.array(semi_axes_mm), axis=1)
    return np.abs(value) / slope


def test_a_sphere_has_the_volume_and_area_of_the_formula():
    segmentation = lesion((0.8, 0.8, 0.8), semi_axes_mm=(10.0, 10.0, 10.0))
    (surface,) = make_surfaces(segmentation)
    assert surface.volume_ml * 1000 == pytest.approx(4 / 3 * np.pi * 10**3, rel=0.01)
    assert area_mm2(surface.vertices_mm, surface.triangles) == pytest.approx(4 * np.pi * 10**2, rel=0.02)


def test_a_small_lesion_keeps_its_volume_within_one_percent():
    (surface,) = make_surfaces(lesion())
    true_mm3 = 4 / 3 * np.pi * np.prod(LESION_MM)
    assert true_mm3 == pytest.approx(6333, abs=1)
    assert surface.volume_ml * 1000 == pytest.approx(true_mm3, rel=0.01)
    assert abs(surface.error.volume_percent) < 0.1
    distance = ellipsoid_distance_mm(surface.vertices_mm)
    assert distance.mean() < 0.061  # references: FlyingEdges + WindowedSinc
    assert distance.max() < 0.45  # reference 0.48


@pytest.mark.parametrize("axes", ORIENTATIONS.values(), ids=ORIENTATIONS.keys())
def test_the_surface_lies_in_the_patient_whatever_the_stack(axes):
    (surface,) = make_surfaces(lesion(axes=axes))
    mesh = as_trimesh(surface)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0  # outward
    assert np.allclose(mesh.center_mass, CENTRE_MM, atol=0.1)
    assert ellipsoid_distance_mm(surface.vertices_mm).max() < 0.45
    assert surface.frame_of_reference == FRAME


def test_mesh_and_mask_are_the_same_place_when_the_mesh_is_made_voxels_again():
    segmentation = lesion((1.2, 0.9, 0.9), axes=oblique())
    (surface,) = make_surfaces(segmentation)
    grid, mask = segmentation.grid, segmentation.mask("tumour")
    centres = grid.points(np.indices(grid.shape).reshape(3, -1).T)
    near = np.linalg.norm(centres - CENTRE_MM, axis=1) < 20
    inside = np.zeros(len(centres), dtype=bool)
    inside[near] = is_enclosed(surface, centres[near])
    again = inside.reshape(grid.shape)
    overlap = (again & mask).sum() / (again | mask).sum()
    assert overlap > 0.97


def is_enclosed(surface, points_mm):
    """VTK's own test for points in a closed surface."""
    asked = vtkPoints()
    asked.SetData(numpy_to_vtk(np.ascontiguousarray(points_mm), deep=True))
    cloud = vtkPolyData()
    cloud.SetPoints(asked)
    selection = vtkSelectEnclosedPoints()
    selection.SetInputData(cloud)
    selection.SetSurfaceData(polydata_of(surface.vertices_mm, surface.triangles))
    selection.Update()
    return vtk_to_numpy(selection.GetOutput().GetPointData().GetArray("SelectedPoints")).astype(bool)


def test_thick_slices_leave_no_stairs():
    (surface,) = make_surfaces(lesion((5.0, 0.7, 0.7), semi_axes_mm=(20.0, 20.0, 20.0)))
    normals = vertex_normals(surface.vertices_mm, surface.triangles)
    radial = surface.vertices_mm - np.array(CENTRE_MM)
    side = np.abs(radial[:, 2]) < 12
    radial = radial[side] / np.linalg.norm(radial[side], axis=1, keepdims=True)
    angle_deg = np.degrees(np.arccos(np.clip((normals[side] * radial).sum(axis=1), -1, 1)))
    assert np.percentile(angle_deg, 95) < 15  # the treads of stairs would be at 45 degrees and more
    assert surface.volume_ml * 1000 == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.02)


def test_two_voxels_that_touch_at_an_edge_give_a_closed_mesh():
    grid = grid_around(12.0, (1.0, 1.0, 1.0))
    mask = np.zeros(grid.shape, dtype=bool)
    mask[4, 4, 4] = mask[5, 5, 4] = mask[6, 6, 5] = mask[0, 0, 0] = mask[-1, -1, -1] = True
    (surface,) = make_surfaces(segmentation_of_masks(grid, {"tumour": mask}))
    assert surface.is_watertight
    assert as_trimesh(surface).is_watertight


def test_random_masks_are_always_watertight_and_manifold():
    generator = np.random.default_rng(3)
    grid = grid_around(14.0, (1.0, 1.0, 1.0))
    for _ in range(5):
        mask = generator.random(grid.shape) < 0.4
        (surface,) = make_surfaces(segmentation_of_masks(grid, {"tumour": mask}))
        assert surface.is_watertight
        assert is_manifold_at_vertices(surface.triangles)


def is_manifold_at_vertices(triangles):
    """The triangles around every vertex form one ring: as many corners as one walk visits."""
    following = {}
    for a, b, c in triangles.tolist():
        for vertex, start, end in ((a, b, c), (b, c, a), (c, a, b)):
            following.setdefault(vertex, {})[start] = end
    for ring in following.values():
        first = here = next(iter(ring))
        steps = 0
        while True:
            here, steps = ring[here], steps + 1
            if here == first:
                break
        if steps != len(ring):
            return False
    return True


def test_an_open_mesh_is_not_called_watertight():
    box = trimesh.creation.box()
    assert is_watertight(box.faces.astype(np.int32))
    assert not is_watertight(box.faces[1:].astype(np.int32))
    flipped = box.faces.astype(np.int32).copy()
    flipped[0] = flipped[0, ::-1]
    assert not is_watertight(flipped)


def test_a_composite_is_one_surface_of_its_members():
    grid = grid_around(60.0, (1.0, 1.0, 1.0))
    outer, inner = ellipsoid(grid, (20.0, 18.0, 22.0)), ellipsoid(grid, (8.0, 7.0, 9.0))
    parts = segmentation_of_masks(grid, {"cerebrum": outer, "ventricles": inner})
    from pipelines.segmenters.labelling import segmentation_of

    whole: Segmentation = segmentation_of(parts.labels, grid, {}, models=())
    surfaces = {surface.name: surface for surface in make_surfaces(whole)}
    assert set(surfaces) == {"cerebrum", "ventricles", "brain", "skin"}
    assert surfaces["brain"].volume_ml == pytest.approx(outer.sum() / 1000, rel=0.001)
    assert surfaces["cerebrum"].volume_ml == pytest.approx((outer & ~inner).sum() / 1000, rel=0.001)
    assert all(surface.is_watertight for surface in surfaces.values())


def test_the_stated_error_is_the_distance_to_the_voxels():
    segmentation = lesion((1.0, 1.0, 1.0))
    grid, mask = segmentation.grid, segmentation.mask("tumour")
    top = np.argwhere(mask)[-1]
    face = grid.points(np.add(top, (0.5, 0, 0))[None])
    for away_mm in (0.0, 0.3, 1.7):
        point = np.add(face, (0, 0, away_mm))
        assert boundary_distance_mm(point, mask, grid)[0] == pytest.approx(away_mm, abs=1e-6)
    (surface,) = make_surfaces(segmentation)
    assert 0 < surface.error.mean_mm < surface.error.p95_mm < surface.error.max_mm < 0.9


def test_a_surface_for_the_film_has_fewer_triangles_and_the_same_volume():
    (surface,) = make_surfaces(lesion((0.6, 0.6, 0.6), semi_axes_mm=(20.0, 18.0, 22.0)))
    light = decimate(surface, 2000)
    assert len(light.triangles) <= 2010 < len(surface.triangles)
    assert as_trimesh(light).is_watertight
    assert light.is_watertight
    assert light.volume_ml == pytest.approx(surface.volume_ml, rel=0.001)
    assert ellipsoid_distance_mm(light.vertices_mm, (20.0, 18.0, 22.0)).max() < 0.6
    assert decimate(light, 5000) is light


def test_surfaces_survive_the_disk_and_give_the_same_bytes(tmp_path):
    surfaces = make_surfaces(lesion())
    write_surfaces(surfaces, tmp_path / "a")
    write_surfaces(make_surfaces(lesion()), tmp_path / "b")
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["surfaces.json", "tumour.npz"]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    (again,) = read_surfaces(tmp_path / "a")
    assert np.array_equal(again.vertices_mm, surfaces[0].vertices_mm)
    assert np.array_equal(again.triangles, surfaces[0].triangles)
    assert again.error == surfaces[0].error
    assert again.colour == surfaces[0].colour


def test_a_structure_that_is_absent_is_named_and_the_choice_told():
    with pytest.raises(BadInput) as caught:
        make_surfaces(lesion(), names=["liver"])
    assert caught.value.reason == "STRUCTURE_ABSENT"
    assert "tumour" in caught.value.mend


def test_meshing_stops_when_the_user_stops_it():
    def stop(fraction, figure):
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        make_surfaces(lesion(), progress=stop)


def test_an_unsure_structure_gives_an_unsure_surface():
    from dataclasses import replace

    segmentation = lesion()
    unsure = tuple(replace(item, is_reliable=False) for item in segmentation.structures)
    (surface,) = make_surfaces(replace(segmentation, structures=unsure))
    assert not surface.is_reliable


def test_volume_of_a_box_is_exact():
    box = trimesh.creation.box((2.0, 3.0, 4.0))
    assert volume_mm3(box.vertices + 1000.0, box.faces.astype(np.int32)) == pytest.approx(24.0)
    assert area_mm2(box.vertices, box.faces.astype(np.int32)) == pytest.approx(52.0)
