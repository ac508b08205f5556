"""Exchange files, read again by programs that are not ours: the same millimetres and names."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import trimesh
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkIOGeometry import vtkGLTFReader, vtkOBJReader, vtkSTLReader
from vtkmodules.vtkIOPLY import vtkPLYReader

from medviz.core.anatomy import structure
from pipelines.stages.mesh import make_surfaces
from pipelines.surfaces.export import export_glb, export_obj, export_ply, export_stl, export_surfaces
from tests.make_surfaces import ellipsoid, grid_around, oblique, segmentation_of_masks

LEFT_MM, RIGHT_MM = (30.0, -20.0, 50.0), (0.0, -28.0, 62.0)


@pytest.fixture(scope="module")
def surfaces():
    grid = grid_around(70.0, (1.5, 1.2, 1.2), axes=oblique(), centre_mm=(15.0, -24.0, 56.0))
    masks = {
        "ventricles": ellipsoid(grid, (8.0, 10.0, 7.0), centre_mm=LEFT_MM),
        "skull": ellipsoid(grid, (9.0, 6.0, 5.0), centre_mm=RIGHT_MM),
    }
    return make_surfaces(segmentation_of_masks(grid, masks))


def vtk_points(reader, path):
    reader.SetFileName(str(path))
    reader.Update()
    return vtk_to_numpy(reader.GetOutput().GetPoints().GetData())


def same_box(points, surface, tolerance_mm=1e-3):
    wanted = surface.vertices_mm
    assert np.allclose(points.min(axis=0), wanted.min(axis=0), atol=tolerance_mm)
    assert np.allclose(points.max(axis=0), wanted.max(axis=0), atol=tolerance_mm)


def test_an_stl_states_unit_and_frame_and_keeps_its_millimetres(surfaces, tmp_path):
    path = tmp_path / "ventricles.stl"
    export_stl(surfaces[0], path)
    header = path.read_bytes()[:80].decode("ascii")
    assert "units=mm" in header
    assert "frame=LPS" in header
    assert "structure=ventricles" in header
    assert not header.lower().startswith("solid")
    mesh = trimesh.load_mesh(path)
    assert mesh.is_watertight
    assert mesh.volume / 1000 == pytest.approx(surfaces[0].volume_ml, rel=1e-4)
    assert np.allclose(mesh.center_mass, LEFT_MM, atol=0.1)
    same_box(vtk_points(vtkSTLReader(), path), surfaces[0])


def test_a_ply_states_unit_and_frame_and_keeps_millimetres_and_colour(surfaces, tmp_path):
    path = tmp_path / "skull.ply"
    export_ply(surfaces[1], path)
    header = path.read_bytes().split(b"end_header")[0].decode("ascii")
    assert "comment units=mm frame=LPS structure=skull" in header
    assert "Not for diagnosis" in header
    mesh = trimesh.load_mesh(path)
    assert mesh.is_watertight
    assert np.allclose(mesh.center_mass, RIGHT_MM, atol=0.1)
    wanted = np.round(np.array(structure("skull").colour) * 255)
    assert np.array_equal(mesh.visual.vertex_colors[0][:3], wanted)
    same_box(vtk_points(vtkPLYReader(), path), surfaces[1])


def test_an_obj_keeps_names_and_millimetres(surfaces, tmp_path):
    path = tmp_path / "surfaces.obj"
    export_obj(surfaces, path)
    text = path.read_text()
    assert text.startswith("# units=mm frame=LPS")
    scene = trimesh.load_scene(path, group_material=False, split_objects=True)
    meshes = dict(scene.geometry.items())
    assert set(meshes) == {"ventricles", "skull"}
    for surface in surfaces:
        assert meshes[surface.name].volume / 1000 == pytest.approx(surface.volume_ml, rel=1e-3)
        same_box(meshes[surface.name].vertices, surface)
    everything = vtk_points(vtkOBJReader(), path)
    farthest = np.max([surface.vertices_mm.max(axis=0) for surface in surfaces], axis=0)
    assert np.allclose(everything.max(axis=0), farthest, atol=1e-3)
    materials = (tmp_path / "surfaces.mtl").read_text()
    assert "newmtl skull" in materials


def glb_document(path):
    content = path.read_bytes()
    magic, version, length, json_length = struct.unpack("<4sIII", content[:16])
    assert (magic, version, length) == (b"glTF", 2, len(content))
    return json.loads(content[20 : 20 + json_length])


def test_a_glb_is_in_metres_with_y_up_and_holds_millimetres_in_its_buffers(surfaces, tmp_path):
    path = tmp_path / "surfaces.glb"
    export_glb(surfaces, path)
    document = glb_document(path)
    about = document["asset"]["extras"]
    assert "metres" in about["units"]
    assert "LPS" in about["frame"]
    assert "Not for diagnosis" in about["note"]
    scene = trimesh.load_scene(path)
    assert {"ventricles", "skull"} <= set(scene.graph.nodes_geometry)
    for surface in surfaces:
        matrix, geometry = scene.graph[surface.name]
        mesh = scene.geometry[geometry]
        same_box(mesh.vertices, surface)
        world = trimesh.transform_points(mesh.vertices, matrix)
        left, posterior, superior = surface.vertices_mm.mean(axis=0)
        assert np.allclose(world.mean(axis=0) * 1000, (left, superior, -posterior), atol=0.01)


def test_a_glb_has_names_colours_and_opacity(surfaces, tmp_path):
    path = tmp_path / "surfaces.glb"
    export_glb(surfaces, path, opacities={"skull": 0.3})
    document = glb_document(path)
    materials = {material["name"]: material for material in document["materials"]}
    assert materials["skull"]["alphaMode"] == "BLEND"
    assert materials["skull"]["pbrMetallicRoughness"]["baseColorFactor"][3] == 0.3
    assert "alphaMode" not in materials["ventricles"]
    linear = np.array(materials["ventricles"]["pbrMetallicRoughness"]["baseColorFactor"][:3])
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.allclose(srgb, structure("ventricles").colour, atol=1e-3)


def test_vtk_reads_the_glb_and_its_normals_point_outward(surfaces, tmp_path):
    path = tmp_path / "surfaces.glb"
    export_glb(surfaces[:1], path)
    reader = vtkGLTFReader()
    reader.SetFileName(str(path))
    reader.ApplyDeformationsToGeometryOn()
    reader.Update()
    leaf = reader.GetOutput()
    while leaf.IsA("vtkMultiBlockDataSet"):
        leaf = leaf.GetBlock(0)
    points = vtk_to_numpy(leaf.GetPoints().GetData())
    normals = vtk_to_numpy(leaf.GetPointData().GetNormals())
    outward = ((points - points.mean(axis=0)) * normals).sum(axis=1)
    assert (outward > 0).mean() > 0.99


def test_every_file_is_written_and_the_same_surfaces_give_the_same_bytes(surfaces, tmp_path):
    files = export_surfaces(surfaces, tmp_path / "a")
    assert {path.name for path in files} == {path.name for path in (tmp_path / "a").iterdir()}
    export_surfaces(surfaces, tmp_path / "b")
    for path in files:
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
