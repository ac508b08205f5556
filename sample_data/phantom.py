"""Phantoms with known answers: a head and an upper abdomen made of ellipsoids, in HU, with CT noise.

Coordinates are LPS mm about the phantom's centre. Every structure is an ellipsoid (or a shell between two),
so that its volume and centre have a closed form; `TRUTH` holds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from sample_data.dicomwriter import SeriesRecipe, fresh_folder, write_burned_in_capture, write_series

_AIR_HU = -1000.0
_PIXEL_MM, _SLICE_MM = 0.9, 1.5
_STEPS_MM = (_SLICE_MM, _PIXEL_MM, _PIXEL_MM)
_SHAPE = (128, 256, 256)


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """A solid: centre and semi-axes (LPS mm) and level (HU). Later ones are drawn over earlier ones."""

    name: str
    centre_mm: tuple[float, float, float]
    semi_axes_mm: tuple[float, float, float]
    level_hu: float

    @property
    def volume_ml(self) -> float:
        """Volume by 4/3 pi a b c, in ml, not counting what is drawn over it."""
        a, b, c = self.semi_axes_mm
        return 4 / 3 * pi * a * b * c / 1000


HEAD = (
    Ellipsoid("neck", (0, 25, -100), (52, 58, 70), 45),
    Ellipsoid("scalp", (0, 0, 0), (81, 101, 86), 40),
    Ellipsoid("skull", (0, 0, 0), (76, 96, 81), 1000),
    Ellipsoid("csf", (0, 0, 0), (69, 89, 74), 8),
    Ellipsoid("cerebrum", (0, -2, 6), (66, 84, 65), 34),
    Ellipsoid("white_matter_left", (31, -2, 14), (24, 62, 38), 28),
    Ellipsoid("white_matter_right", (-31, -2, 14), (24, 62, 38), 28),
    Ellipsoid("tentorium", (0, 38, -32), (48, 34, 26), 10),
    Ellipsoid("cerebellum", (0, 38, -34), (45, 31, 24), 36),
    Ellipsoid("brainstem", (0, 14, -38), (14, 13, 34), 33),
    Ellipsoid("thalamus_left", (14, 8, 4), (9, 14, 9), 38),
    Ellipsoid("thalamus_right", (-14, 8, 4), (9, 14, 9), 38),
    Ellipsoid("ventricle_left", (11, -8, 20), (7, 34, 9), 8),
    Ellipsoid("ventricle_right", (-11, -8, 20), (7, 34, 9), 8),
    Ellipsoid("third_ventricle", (0, 4, 4), (2.5, 13, 9), 8),
    Ellipsoid("fourth_ventricle", (0, 27, -32), (7, 5, 10), 8),
)

ABDOMEN = (
    Ellipsoid("fat", (0, 0, 0), (108, 92, 200), -95),
    Ellipsoid("wall", (0, 0, 0), (98, 82, 190), 55),
    Ellipsoid("cavity", (0, -8, 0), (90, 66, 180), -85),
    Ellipsoid("bone", (0, 60, 0), (19, 17, 200), 420),
    Ellipsoid("aorta", (9, 34, 0), (10, 10, 190), 160),
    Ellipsoid("liver", (-45, -10, 15), (44, 52, 62), 105),
    Ellipsoid("portal_vein", (-38, 0, 5), (26, 6, 6), 165),
    Ellipsoid("hepatic_veins", (-50, -8, 42), (5, 24, 5), 160),
    Ellipsoid("tumour", (-62, -28, 10), (12, 9, 14), 65),
    Ellipsoid("spleen", (60, 16, 28), (20, 34, 40), 115),
    Ellipsoid("kidney_left", (52, 42, -38), (18, 19, 46), 130),
    Ellipsoid("kidney_right", (-50, 44, -46), (18, 19, 46), 130),
)

TRUTH = {solid.name: solid for solid in (*HEAD, *ABDOMEN)}


def render(solids: tuple[Ellipsoid, ...], *, seed: int, noise_hu: float = 6.0) -> NDArray[np.int16]:
    """Return the phantom in HU, shape (slices, rows, columns), with partial volume and CT-like noise.

    Slices go up, rows go back, columns go left, centred on the origin. Noise is Gaussian, correlated over
    about a pixel as filtered back projection leaves it; `noise_hu` is its standard deviation.
    """
    zs, ys, xs = (_axis(n, step) for n, step in zip(_SHAPE, _STEPS_MM, strict=True))
    hu = np.full(_SHAPE, _AIR_HU, dtype=np.float32)
    for solid in solids:
        (x, y, z), (a, b, c) = solid.centre_mm, solid.semi_axes_mm
        inside = (
            ((zs - z) / c)[:, None, None] ** 2 + ((ys - y) / b)[:, None] ** 2 + ((xs - x) / a) ** 2
        ) <= 1.0
        hu[inside] = solid.level_hu
    hu = gaussian_filter(hu, sigma=(0.3, 0.5, 0.5))
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=_SHAPE).astype(np.float32), (0, 0.7, 0.7))
    hu += noise * (noise_hu / float(noise.std()))
    result: NDArray[np.int16] = np.rint(hu).clip(-1024, 3071).astype(np.int16)
    return result


def make_phantom_sample(folder: Path, *, seed: int = 1) -> Path:
    """Write the phantom study (a head series, an abdomen series, a dose report) and return its folder."""
    study = folder / "phantom"
    if study.is_dir():
        return study
    partial = fresh_folder(folder / "phantom.partial")
    z, y, x = (float(_axis(n, step)[0]) for n, step in zip(_SHAPE, _STEPS_MM, strict=True))
    for number, (solids, part) in enumerate(((HEAD, "HEAD"), (ABDOMEN, "ABDOMEN")), start=2):
        agent = "iodine" if part == "ABDOMEN" else ""
        recipe = SeriesRecipe(number, f"{part.title()} 1.5", part, _PIXEL_MM, _SLICE_MM, (x, y, z), agent)
        write_series(render(solids, seed=seed + number), recipe, partial, study="phantom")
    write_burned_in_capture(partial, study="phantom")
    return partial.rename(study)


def _axis(count: int, step_mm: float) -> NDArray[np.float64]:
    positions: NDArray[np.float64] = (np.arange(count, dtype=np.float64) - (count - 1) / 2) * step_mm
    return positions
