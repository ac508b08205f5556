"""The same scenes drawn by VTK, as the reference that our own renderer is tested against.

Slower than the rasteriser and needs EGL; no film is made with it.
"""

from __future__ import annotations

import ctypes.util
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vtkmodules.util import numpy_support as _numpy_support
from vtkmodules.vtkCommonCore import vtkFloatArray, vtkPoints
from vtkmodules.vtkCommonDataModel import (
    vtkCellArray,
    vtkCylinder,
    vtkImplicitBoolean,
    vtkPlane,
    vtkPolyData,
)
from vtkmodules.vtkCommonTransforms import vtkTransform
from vtkmodules.vtkFiltersCore import vtkClipPolyData
from vtkmodules.vtkRenderingCore import (
    vtkActor,
    vtkPolyDataMapper,
    vtkRenderer,
    vtkRenderWindow,
    vtkWindowToImageFilter,
)

import vtkmodules.vtkRenderingOpenGL2  # noqa: F401 isort: skip - registers the OpenGL classes

from medviz.core.errors import RenderingMissing
from pipelines.film.scene import OPAQUE, Drawable, Hole, Picture, Scene, Shape
from pipelines.film.view import View, view_of

APT_LINE = "apt-get install -y libegl1 libegl-mesa0 libgl1-mesa-dri libgl1 libxrender1"
_PEELS = 12
arrays: Any = _numpy_support  # without type hints


class VtkRenderer:
    """Draws scenes with VTK off screen, with depth peeling for what is translucent.

    Parameters
    ----------
    width, height : int
        Size of the pictures in pixels.

    Raises
    ------
    RenderingMissing
        If EGL is not installed.
    """

    def __init__(self, width: int, height: int) -> None:
        if ctypes.util.find_library("EGL") is None:
            raise RenderingMissing(
                "VTK cannot draw off screen here: EGL is missing.", mend=f"Run: {APT_LINE}"
            )
        self.width, self.height = width, height

    def render(self, scene: Scene) -> Picture:
        """Return the picture of a scene; `nearest` and `depth_mm` as the rasteriser defines them."""
        view = view_of(scene.camera, self.width, self.height)
        shown = [(i, item) for i, item in enumerate(scene.drawables) if item.opacity > 0.004]
        meshes = [(i, item, _mesh(item.shape, scene.hole if item.is_cut else None)) for i, item in shown]
        lit = [_lit_actor(item, mesh) for _, item, mesh in meshes]
        flat = [_flat_actor(i, mesh) for i, _, mesh in meshes]
        rgb, _ = self._draw(lit, scene, view, is_flat=False)
        codes, depth = self._draw(flat, scene, view, is_flat=True)
        nearest = codes[:, :, 0].astype(np.int16) - 1
        return Picture(rgb, nearest, np.where(nearest >= 0, depth, np.inf).astype(np.float32))

    def _draw(
        self, actors: list[vtkActor], scene: Scene, view: View, *, is_flat: bool
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        renderer, window = vtkRenderer(), vtkRenderWindow()
        window.SetOffScreenRendering(1)
        window.SetMultiSamples(0)
        window.SetSize(self.width, self.height)
        window.SetAlphaBitPlanes(1)
        window.AddRenderer(renderer)
        renderer.SetBackground(0.0, 0.0, 0.0)
        if not is_flat:
            renderer.SetUseDepthPeeling(1)
            renderer.SetMaximumNumberOfPeels(_PEELS)
        for actor in actors:
            renderer.AddActor(actor)
        camera = renderer.GetActiveCamera()
        camera.SetPosition(*scene.camera.position_mm)
        camera.SetFocalPoint(*scene.camera.look_at_mm)
        camera.SetViewUp(*scene.camera.up)
        camera.SetViewAngle(scene.camera.view_angle_deg)
        near, far = _reach(scene, view)
        camera.SetClippingRange(near, far)
        window.Render()
        rgb = _pixels(window)
        return rgb, _depth_mm(window, near, far)


def _reach(scene: Scene, view: View) -> tuple[float, float]:
    ahead = np.concatenate([view.to_eye(item.shape.points_mm)[:, 2] for item in scene.drawables])
    return max(float(ahead.min()) - 5.0, 1.0), float(ahead.max()) + 5.0


def _pixels(window: vtkRenderWindow) -> NDArray[np.uint8]:
    grab = vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    image = grab.GetOutput()
    width, height, _ = image.GetDimensions()
    pixels = arrays.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)
    return np.ascontiguousarray(pixels[::-1, :, :3])


def _depth_mm(window: vtkRenderWindow, near: float, far: float) -> NDArray[np.float32]:
    width, height = window.GetSize()
    values = vtkFloatArray()
    window.GetZbufferData(0, 0, width - 1, height - 1, values)
    z = arrays.vtk_to_numpy(values).reshape(height, width)[::-1].astype(np.float64) * 2 - 1
    depth: NDArray[np.float32] = (2 * near * far / (far + near - z * (far - near))).astype(np.float32)
    return depth


def _lit_actor(item: Drawable, mesh: vtkPolyData) -> vtkActor:
    actor = _actor(mesh)
    look = actor.GetProperty()
    look.SetColor(*item.colour)
    look.SetOpacity(1.0 if item.opacity >= OPAQUE else item.opacity)
    look.SetSpecular(item.material.highlight)
    look.SetSpecularPower(item.material.sharpness)
    return actor


def _flat_actor(index: int, mesh: vtkPolyData) -> vtkActor:
    """Return an actor whose red is its index + 1: what is nearest can be read from the picture."""
    actor = _actor(mesh)
    actor.GetProperty().LightingOff()
    actor.GetProperty().SetColor((index + 1) / 255.0, 0.0, 0.0)
    return actor


def _actor(mesh: vtkPolyData) -> vtkActor:
    mapper = vtkPolyDataMapper()
    mapper.SetInputData(mesh)
    mapper.ScalarVisibilityOff()
    actor = vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().BackfaceCullingOn()
    return actor


def _mesh(shape: Shape, hole: Hole | None) -> vtkPolyData:
    mesh, points, cells = vtkPolyData(), vtkPoints(), vtkCellArray()
    points.SetData(arrays.numpy_to_vtk(shape.points_mm, deep=True))
    offsets = np.arange(0, 3 * len(shape.triangles) + 1, 3, dtype=np.int64)
    cells.SetData(
        arrays.numpy_to_vtkIdTypeArray(offsets, deep=True),
        arrays.numpy_to_vtkIdTypeArray(shape.triangles.astype(np.int64).ravel(), deep=True),
    )
    mesh.SetPoints(points)
    mesh.SetPolys(cells)
    mesh.GetPointData().SetNormals(arrays.numpy_to_vtk(shape.normals, deep=True))
    if hole is None:
        return mesh
    clip = vtkClipPolyData()
    clip.SetInputData(mesh)
    clip.SetClipFunction(_inside(hole))
    clip.Update()
    cut: vtkPolyData = clip.GetOutput()
    return cut


def _inside(hole: Hole) -> vtkImplicitBoolean:
    """Return a function that is negative inside the hole: a cylinder between two planes."""
    direction, start = np.asarray(hole.direction), np.asarray(hole.start_mm)
    axis = np.cross(direction, (0.0, 1.0, 0.0))
    angle = float(np.degrees(np.arctan2(np.linalg.norm(axis), direction[1])))
    turn = vtkTransform()
    turn.RotateWXYZ(angle, *(axis if np.linalg.norm(axis) > 1e-9 else (1.0, 0.0, 0.0)))
    turn.Translate(*(-start))
    cylinder = vtkCylinder()
    cylinder.SetRadius(hole.radius_mm)
    cylinder.SetTransform(turn)
    both = vtkImplicitBoolean()
    both.SetOperationTypeToIntersection()
    both.AddFunction(cylinder)
    for at, normal in ((hole.to_mm, direction), (hole.from_mm, -direction)):
        plane = vtkPlane()
        plane.SetOrigin(*(start + direction * at))
        plane.SetNormal(*normal)
        both.AddFunction(plane)
    return both
