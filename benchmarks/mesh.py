"""Surfaces of 20 labels and of a small lesion: ours, scikit-image's marching cubes and VTK's SurfaceNets.

    python -m benchmarks.mesh [--size 512 512 300] [--repeats 3]

Prints, side by side, seconds (best of the repeats, one thread), triangles, closedness and volume error.
scikit-image is not needed by the product: without it, its line says so.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkFiltersCore import vtkSurfaceNets3D

from medviz.core.space import Grid
from pipelines.surfaces.extract import bounding_box, extract
from pipelines.surfaces.shape import Points, Triangles, is_watertight, volume_mm3
from pipelines.surfaces.vtk_arrays import arrays_of

LABELS = 20
LESION_MM = (14.0, 9.0, 12.0)
LESION_SPACING_MM = (1.0, 0.75, 0.75)
Mesh = tuple[Points, Triangles]
Method = Callable[[NDArray[np.bool_], Grid], Mesh]


def axial(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Grid:
    """Return a plain axial grid."""
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]) * np.array(spacing_mm)
    return Grid(shape, affine)


def labels_of(shape: tuple[int, int, int], seed: int = 1) -> NDArray[np.uint8]:
    """Return 20 ellipsoids with wavy edges in a volume: about 8 million voxels at 512 x 512 x 300."""
    generator = np.random.default_rng(seed)
    labels = np.zeros(shape, dtype=np.uint8)
    for label in range(1, LABELS + 1):
        semi = generator.uniform(0.05, 0.14, 3) * np.array(shape)
        centre = generator.uniform(0.2, 0.8, 3) * np.array(shape)
        low, high = np.maximum(0, centre - semi), np.minimum(shape, centre + semi + 2)
        box = tuple(slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
        axes = np.ogrid[box]
        far = sum(((axis - c) / s) ** 2 for axis, c, s in zip(axes, centre, semi, strict=True))
        labels[box][far + 0.05 * np.sin(axes[0] / 3) * np.cos(axes[2] / 4) < 1] = label
    return labels


def ours(mask: NDArray[np.bool_], grid: Grid) -> Mesh:
    """FlyingEdges, windowed sinc, volume given back."""
    return extract(mask, grid)


def marching_cubes(mask: NDArray[np.bool_], grid: Grid) -> Mesh:
    """scikit-image's Lewiner marching cubes on the cropped mask."""
    from skimage.measure import marching_cubes as run

    box = bounding_box(mask)
    points, faces, _, _ = run(np.pad(mask[box], 2).astype(np.float32), 0.5)
    corner = np.array([axis.start - 2 for axis in box])
    return grid.points(points + corner), faces[:, ::-1].astype(np.int32)


def surface_nets(mask: NDArray[np.bool_], grid: Grid) -> Mesh:
    """VTK's SurfaceNets3D with its default smoothing, on the cropped mask."""
    box = bounding_box(mask)
    field = np.pad(mask[box], 2).astype(np.uint8)
    image = vtkImageData()
    image.SetDimensions(*field.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(field.ravel()))  # type: ignore[no-untyped-call]
    nets = vtkSurfaceNets3D()
    nets.SetInputData(image)
    nets.SetValue(0, 1)
    nets.SetOutputMeshTypeToTriangles()
    nets.Update()
    points, faces = arrays_of(nets.GetOutput())
    corner = np.array([axis.start - 2 for axis in box])
    return grid.points(points[:, ::-1] + corner), faces


def lesion() -> tuple[NDArray[np.bool_], Grid]:
    """Return an ellipsoid with semi-axes of 12, 9 and 14 mm (6333 mm3), off the voxels' raster."""
    shape = tuple(int(40 / step) for step in LESION_SPACING_MM)
    grid = axial((shape[0], shape[1], shape[2]), LESION_SPACING_MM)
    index = np.indices(grid.shape).reshape(3, -1).T * np.array(LESION_SPACING_MM)
    inside = (((index - (20.2, 19.9, 20.1)) / np.array(LESION_MM)) ** 2).sum(axis=1) <= 1
    return np.asarray(inside.reshape(grid.shape)), grid


def best_s(work: Callable[[], object], repeats: int) -> float:
    """Return the shortest of `repeats` runs, in seconds of this process's CPU time."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def row(name: str, method: Method, labels: NDArray[np.uint8], grid: Grid, repeats: int) -> str:
    """Return one line of the table."""
    meshes: list[Mesh] = []

    def all_labels() -> None:
        meshes[:] = [method(labels == label, grid) for label in range(1, LABELS + 1)]

    seconds = best_s(all_labels, repeats)
    small, small_grid = lesion()
    points, faces = method(small, small_grid)
    true_mm3 = 4 / 3 * np.pi * float(np.prod(LESION_MM))
    error = 100 * (abs(volume_mm3(points, faces)) / true_mm3 - 1)
    closed = sum(is_watertight(mesh[1]) for mesh in meshes)
    triangles = sum(len(mesh[1]) for mesh in meshes)
    return f"{name:34s} {seconds:9.2f} {triangles:12,d} {closed:6d}/{LABELS} {error:+10.2f} %"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs=3, default=(512, 512, 300), metavar=("X", "Y", "Z"))
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    columns, rows, slices = chosen.size
    grid = axial((slices, rows, columns), (1.0, 0.75, 0.75))
    labels = labels_of(grid.shape)
    print(f"{columns} x {rows} x {slices}, {np.count_nonzero(labels):,} voxels in {LABELS} labels")
    print(f"{'method':34s} {'cpu s':>9s} {'triangles':>12s} {'closed':>9s} {'9 mm lesion':>12s}")
    print(row("MedViz", ours, labels, grid, chosen.repeats))
    print(row("vtkSurfaceNets3D, its smoothing", surface_nets, labels, grid, chosen.repeats))
    if importlib.util.find_spec("skimage"):
        print(row("scikit-image marching cubes", marching_cubes, labels, grid, chosen.repeats))
    else:
        print("scikit-image is not installed: `pip install scikit-image` to compare with it")


if __name__ == "__main__":
    main()
