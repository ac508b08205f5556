"""Label map in, closed surfaces out: LPS millimetres, with their error against the voxels stated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medviz.core.anatomy import structure
from medviz.core.errors import BadInput
from medviz.core.progress import Progress, silent
from medviz.core.segmentation import Segmentation, SegmentedStructure
from medviz.core.surface import Surface
from pipelines.surfaces.decimate import decimate
from pipelines.surfaces.error import surface_error
from pipelines.surfaces.extract import extract
from pipelines.surfaces.folder import read_surfaces, write_surfaces
from pipelines.surfaces.shape import is_watertight, volume_mm3

WITHOUT_SURFACE = ("soft_tissue",)

__all__ = ["decimate", "describe_mesh", "make_surfaces", "read_surfaces", "write_surfaces"]


def make_surfaces(
    segmentation: Segmentation, *, names: Sequence[str] | None = None, progress: Progress = silent
) -> tuple[Surface, ...]:
    """Return one closed surface for each structure, composites included.

    Parameters
    ----------
    names : sequence of str, optional
        Structures wanted; when left out, all of the segmentation but soft tissue, which is what is left
        between the others and has no boundary of its own.

    Returns
    -------
    tuple of Surface
        Watertight, outward, LPS mm, in the order asked for.

    Raises
    ------
    BadInput
        If a structure is not in the segmentation (``STRUCTURE_ABSENT``).
    """
    present = {item.name: item for item in segmentation.structures}
    wanted = [name for name in present if name not in WITHOUT_SURFACE] if names is None else list(names)
    missing = [name for name in wanted if name not in present]
    if missing:
        raise BadInput(
            f"The segmentation has no {', '.join(missing)}.",
            reason="STRUCTURE_ABSENT",
            mend=f"Choose from: {', '.join(present)}.",
        )
    surfaces = []
    for number, name in enumerate(wanted):
        progress(number / len(wanted), f"surface of the {structure(name).title}")
        surfaces.append(_surface(segmentation, present[name]))
    progress(1.0, f"{len(wanted)} surfaces")
    return tuple(surfaces)


def _surface(segmentation: Segmentation, item: SegmentedStructure) -> Surface:
    mask, grid = segmentation.mask(item.name), segmentation.grid
    if not mask.any():
        raise BadInput(f"The {structure(item.name).title} has no voxels.", reason="STRUCTURE_EMPTY")
    vertices, triangles = extract(mask, grid)
    return Surface(
        name=item.name,
        vertices_mm=np.ascontiguousarray(vertices, dtype=np.float32),
        triangles=triangles,
        colour=structure(item.name).colour,
        frame_of_reference=grid.frame_of_reference,
        volume_ml=volume_mm3(vertices, triangles) / 1000.0,
        is_watertight=is_watertight(triangles),
        error=surface_error(vertices, triangles, mask, grid),
        is_reliable=item.is_reliable,
        shows_face=segmentation.shows_face,
    )


def describe_mesh(surfaces: Sequence[Surface]) -> str:
    """Return the methods sentence of this stage."""
    worst = max(abs(surface.error.volume_percent) for surface in surfaces)
    p95 = max(surface.error.p95_mm for surface in surfaces)
    return (
        f"{len(surfaces)} closed surfaces were made by FlyingEdges with windowed-sinc smoothing and volume "
        f"correction; against the voxels, volumes differ by at most {worst:.2f} % and 95 % of every surface "
        f"lies within {p95:.2f} mm."
    )
