"""Three planes that hold the needle or its tip, cut out of the scan and its labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medviz.core.plan import PlannedOperation
from medviz.core.segmentation import Segmentation
from medviz.core.space import FloatArray
from medviz.core.volume import Volume

_PIXEL_MM = 0.6
_HALF_MM = 115.0
_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """One plane: HU (or intensity) and labels by pixel, the needle's ends in pixels (x, y), edge letters.

    `letters` are what lies at the left, right, top and bottom edge: R L A P I S.
    """

    title: str
    level: NDArray[np.float32]
    labels: NDArray[np.uint8]
    entry_px: tuple[float, float]
    target_px: tuple[float, float]
    letters: tuple[str, str, str, str]
    is_hu: bool


def sections(
    operation: PlannedOperation, volume: Volume, segmentation: Segmentation
) -> tuple[Section, Section, Section]:
    """Return two oblique planes that hold the whole needle, and the axial plane through its tip.

    Seen as radiologists look: the patient's left on the right of the picture, front up in the axial plane;
    the oblique planes are the sagittal-like one (front on the left) and the coronal-like one.
    """
    entry = np.asarray(operation.trajectory.entry_mm)
    target = np.asarray(operation.trajectory.target_mm)
    up = (entry - target) / np.linalg.norm(entry - target)
    back = _across(np.array([0.0, 1.0, 0.0]), up)
    left = _across(np.array([1.0, 0.0, 0.0]), up)
    rows = (
        ("Along the needle, seen from the side", back, -_upright(up)),
        ("Along the needle, seen from the front", left, -_upright(up)),
        ("Axial plane through the tip", np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])),
    )
    one, two, three = (
        _section(title, right, down, entry, target, volume, segmentation) for title, right, down in rows
    )
    return one, two, three


def _across(axis: FloatArray, up: FloatArray) -> FloatArray:
    result: FloatArray = axis - (axis @ up) * up
    return result / np.linalg.norm(result)


def _upright(up: FloatArray) -> FloatArray:
    return up if up[2] > 0 else -up


def _section(
    title: str,
    right: FloatArray,
    down: FloatArray,
    entry: FloatArray,
    target: FloatArray,
    volume: Volume,
    segmentation: Segmentation,
) -> Section:
    centre = np.asarray(volume.grid.centre_mm)
    normal = np.cross(right, down)
    centre = centre - normal * ((centre - target) @ normal)
    steps = np.arange(-_HALF_MM, _HALF_MM, _PIXEL_MM)
    points = centre + steps[None, :, None] * right + steps[:, None, None] * down
    index = volume.grid.indices(points.reshape(-1, 3)).T
    level = ndimage.map_coordinates(volume.voxels, index, order=1, output=np.float32, cval=-1000.0)
    labels = ndimage.map_coordinates(segmentation.labels, index, order=0, cval=0)
    shape = (len(steps), len(steps))

    def pixel(point: FloatArray) -> tuple[float, float]:
        x, y = (point - centre) @ right, (point - centre) @ down
        return float((x + _HALF_MM) / _PIXEL_MM), float((y + _HALF_MM) / _PIXEL_MM)

    letters = (_letter(-right), _letter(right), _letter(-down), _letter(down))
    return Section(
        title,
        level.reshape(shape),
        labels.reshape(shape),
        pixel(entry),
        pixel(target),
        letters,
        volume.unit == "HU",
    )


def _letter(direction: FloatArray) -> str:
    axis = int(np.argmax(np.abs(direction)))
    return _LETTERS[axis][int(direction[axis] > 0)]
