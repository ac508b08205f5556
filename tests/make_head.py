"""A head made of ellipsoids at known places: a Volume and a Segmentation with known answers.

Everything is in LPS millimetres (x left, y posterior, z superior). `make_head()` has a scalp, skull,
air in the frontal bone, fluid, cerebrum, two lateral ventricles, deep grey nuclei on both sides, cerebellum
and brainstem, and outside them a nose, two ears and a neck, so that a mirrored or turned head is noticed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medviz.core.anatomy import STRUCTURES, structure
from medviz.core.segmentation import ModelRecord, Segmentation, SegmentedStructure
from medviz.core.space import Grid
from medviz.core.volume import GeometryReport, Outcome, Volume

FRAME = "1.2.826.0.1.3680043.8.498.1"
CENTRE_MM = (6.0, -12.0, 40.0)


@dataclass(frozen=True, slots=True)
class Part:
    """One ellipsoid: centre relative to the head's centre, semi-axes (mm), level (HU).

    `name` is a structure of the anatomy table, or ``air``. A later part is painted over an earlier one.
    """

    name: str
    centre_mm: tuple[float, float, float]
    semi_axes_mm: tuple[float, float, float]
    level_hu: int


SKIN = Part("soft_tissue", (0, 0, 0), (77, 97, 92), 40)
SKULL_OUTER = Part("skull", (0, 0, 0), (71, 91, 86), 1000)
SKULL_INNER = Part("csf", (0, 0, 0), (64, 84, 79), 10)

HEAD: tuple[Part, ...] = (
    Part("soft_tissue", (0, 10, -85), (45, 50, 60), 45),  # neck
    Part("soft_tissue", (0, -92, -38), (9, 16, 16), 35),  # nose
    Part("soft_tissue", (77, 5, -25), (6, 12, 18), 30),  # ears
    Part("soft_tissue", (-77, 5, -25), (6, 12, 18), 30),
    SKIN,
    SKULL_OUTER,
    SKULL_INNER,
    Part("air", (0, -80, -32), (14, 6, 12), -1000),  # frontal sinus
    Part("cerebrum", (0, 0, 2), (62, 82, 75), 35),
    Part("cerebellum", (0, 44, -42), (40, 26, 20), 38),
    Part("brainstem", (0, 14, -45), (12, 12, 30), 33),
    Part("deep_grey", (20, 2, -2), (8, 16, 9), 39),
    Part("deep_grey", (-20, 2, -2), (8, 16, 9), 39),
    Part("ventricles", (13, -4, 14), (6, 32, 8), 6),
    Part("ventricles", (-13, -4, 14), (6, 32, 8), 6),
)


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A synthetic head: what was painted, the volume and the true segmentation.

    `to_patient` turns head axes into LPS: a tilted head has another matrix than identity.
    """

    volume: Volume
    segmentation: Segmentation
    parts: tuple[Part, ...]
    centre_mm: tuple[float, float, float] = CENTRE_MM
    to_patient: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))

    def place(self, offset_mm: Sequence[float]) -> tuple[float, float, float]:
        """Return the LPS point (mm) at an offset from the head's centre along the head's own axes."""
        x, y, z = np.asarray(self.centre_mm) + self.to_patient @ np.asarray(offset_mm, dtype=np.float64)
        return float(x), float(y), float(z)


def make_grid(spacing_mm: tuple[float, float, float] = (2.0, 1.5, 1.5)) -> Grid:
    """Return a usual axial grid (slices go up, rows back, columns left) around the head's centre."""
    size_mm = np.array([230.0, 220.0, 190.0])
    shape = tuple(int(n) for n in np.ceil(size_mm / np.asarray(spacing_mm)))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]) * np.asarray(spacing_mm)
    middle = affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    affine[:3, 3] = np.add(CENTRE_MM, (0.0, 0.0, -12.0)) - middle
    return Grid((shape[0], shape[1], shape[2]), affine, FRAME)


def rotation(axis: int, angle_deg: float) -> NDArray[np.float64]:
    """Return the 3 x 3 rotation about x (0), y (1) or z (2)."""
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    result = np.eye(3)
    result[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
    return result


def make_head(
    parts: Sequence[Part] = HEAD,
    *,
    spacing_mm: tuple[float, float, float] = (2.0, 1.5, 1.5),
    contrast: str = "no",
    unreliable: Sequence[str] = (),
    to_patient: NDArray[np.float64] | None = None,
    noise_hu: float = 4.0,
    seed: int = 1,
) -> Head:
    """Return the head painted from `parts` on a grid of `spacing_mm` (slice, row, column)."""
    grid = make_grid(spacing_mm)
    turn = np.eye(3) if to_patient is None else to_patient
    levels, labels = _painted(parts, grid, turn)
    noise = np.random.default_rng(seed).standard_normal(grid.shape, dtype=np.float32) * np.float32(noise_hu)
    voxels = np.round(levels + noise).astype(np.int16)
    report = GeometryReport(Outcome.CORRECT, "OK", "Synthetic head.")
    volume = Volume(voxels, grid, "CT", "HU", contrast, report)
    return Head(volume, make_segmentation(labels, grid, unreliable), tuple(parts), CENTRE_MM, turn)


def make_segmentation(labels: NDArray[np.uint8], grid: Grid, unreliable: Sequence[str] = ()) -> Segmentation:
    """Return the segmentation of a label map, with the composites that have a member present."""
    count = np.bincount(labels.ravel(), minlength=256)
    found = []
    for name, wanted in STRUCTURES.items():
        values = [structure(member).label for member in wanted.members] or [wanted.label]
        voxels = int(count[values].sum())
        if voxels:
            unsure = name in unreliable
            confidence = None if name in ("soft_tissue", "skull", "skin") else (0.41 if unsure else 0.93)
            found.append(SegmentedStructure(name, "network", voxels * grid.voxel_ml, confidence, not unsure))
    models = (ModelRecord("ellipsoids", "1"),)
    return Segmentation(labels, grid, tuple(found), (), models)


def _painted(
    parts: Sequence[Part], grid: Grid, turn: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    levels = np.full(grid.shape, -1000, dtype=np.float32)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    axes = [grid.affine[2, 0], grid.affine[1, 1], grid.affine[0, 2]]
    for part in parts:
        centre = np.asarray(CENTRE_MM) + turn @ np.asarray(part.centre_mm, dtype=np.float64)
        middle = grid.indices(centre[None])[0]
        reach = max(part.semi_axes_mm) / np.asarray(grid.spacing_mm)
        box = tuple(
            slice(max(0, int(low)), max(0, int(high) + 2))
            for low, high in zip(np.floor(middle - reach), np.ceil(middle + reach), strict=True)
        )
        z, y, x = np.ogrid[box]
        z, y, x = ((index - at) * step for index, at, step in zip((z, y, x), middle, axes, strict=True))
        share = np.zeros(np.broadcast_shapes(z.shape, y.shape, x.shape), dtype=np.float64)
        for axis, size in enumerate(part.semi_axes_mm):
            share += ((turn[0, axis] * x + turn[1, axis] * y + turn[2, axis] * z) / size) ** 2
        inside = share[tuple(slice(0, n) for n in levels[box].shape)] <= 1
        levels[box][inside] = part.level_hu
        labels[box][inside] = 0 if part.name == "air" else structure(part.name).label
    return levels, labels
