"""NumPy arrays to VTK's images and meshes and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkImageData, vtkPolyData

from pipelines.surfaces.shape import Points, Triangles


def image_of(field: NDArray[np.float32]) -> vtkImageData:
    """Return a (slice, row, column) array as an image of unit spacing; VTK's x is our column.

    The image looks at the array's memory: keep the array as long as the image.
    """
    image = vtkImageData()
    image.SetDimensions(*field.shape[::-1])
    scalars = numpy_to_vtk(field.ravel())  # type: ignore[no-untyped-call]  # vtk ships no types here
    image.GetPointData().SetScalars(scalars)
    return image


def polydata_of(points: NDArray[np.floating], triangles: Triangles) -> vtkPolyData:
    """Return vertices and triangles as VTK's mesh; the arrays are copied."""
    locations = vtkPoints()
    locations.SetDataTypeToDouble()
    doubles = np.ascontiguousarray(points, dtype=np.float64)
    locations.SetData(numpy_to_vtk(doubles, deep=True))  # type: ignore[no-untyped-call]
    cells = vtkCellArray()
    cells.SetData(_ids(np.arange(0, 3 * len(triangles) + 1, 3)), _ids(triangles.ravel()))
    mesh = vtkPolyData()
    mesh.SetPoints(locations)
    mesh.SetPolys(cells)
    return mesh


def arrays_of(mesh: vtkPolyData) -> tuple[Points, Triangles]:
    """Return copies of a VTK triangle mesh's vertices and triangles."""
    points = vtk_to_numpy(mesh.GetPoints().GetData())  # type: ignore[no-untyped-call]
    corners = vtk_to_numpy(mesh.GetPolys().GetConnectivityArray())  # type: ignore[no-untyped-call]
    return np.array(points, dtype=np.float64), np.array(corners, dtype=np.int32).reshape(-1, 3)


def _ids(values: NDArray[np.integer]) -> object:
    numbers = np.ascontiguousarray(values, dtype=np.int64)
    return numpy_to_vtkIdTypeArray(numbers, deep=True)  # type: ignore[no-untyped-call]
