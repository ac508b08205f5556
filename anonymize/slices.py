"""Where a file's picture frames lie in the patient, and the coarse volume that many of them make.

Everything is read from the elements themselves, in LPS millimetres. Slices may come in any order, twice,
tilted, with gaps, at any spacing and any orientation; no more than one of them is held at full size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anonymize import headers
from anonymize.elements import Element, Encoding, ParsedFile, read_items
from medviz.core.errors import StudyUnreadable

COARSE_MM = 2.0
_COARSEST_MM = 5.0
_MOST_VOXELS = 12_000_000
_UNSEEN_HU = -1100.0
"""Below any Hounsfield unit of air: what scanners write outside the circle that they reconstruct."""
_MODALITY, _SERIES, _STUDY, _FRAME_OF_REFERENCE = 0x00080060, 0x0020000E, 0x0020000D, 0x00200052
_POSITION, _ORIENTATION, _SPACING = 0x00200032, 0x00200037, 0x00280030
_SHARED, _PER_FRAME = 0x52009229, 0x52009230
_PLANE_POSITION, _PLANE_ORIENTATION, _MEASURES = 0x00209113, 0x00209116, 0x00289110
_VALUES, _INTERCEPT, _SLOPE, _OFFSETS = 0x00289145, 0x00281052, 0x00281053, 0x3004000C
_PADDING = 0x00280120

Floats = NDArray[np.float64]
Levels = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Plane(NamedTuple):
    """One frame in the patient, LPS mm.

    Parameters
    ----------
    origin, down, across : ndarray, shape (3,)
        Centre of the first pixel; the steps to the next row and to the next column.
    shape : tuple of int
        Rows and columns.
    slope, intercept : float
        What turns stored values into those of the modality.
    frame : int
        Which frame of its file it is, from 0.
    """

    origin: Floats
    down: Floats
    across: Floats
    shape: tuple[int, int]
    slope: float
    intercept: float
    frame: int

    @property
    def corners(self) -> Floats:
        """Centres of the four corner pixels, shape (4, 3)."""
        rows, columns = (size - 1 for size in self.shape)
        steps = ((0, 0), (rows, 0), (0, columns), (rows, columns))
        return np.array([self.origin + r * self.down + c * self.across for r, c in steps])

    @property
    def normal(self) -> Floats:
        """Unit vector at right angles to the plane, upwards, else backwards, else to the left."""
        normal: Floats = np.cross(self.across, self.down)
        normal /= max(float(np.linalg.norm(normal)), 1e-9)
        main = int(np.argmax(np.abs(normal)))
        return -normal if normal[main] < 0 else normal


class Placed(NamedTuple):
    """A file's frames in the patient, and what they belong to; `planes` is empty when it has no place."""

    modality: str
    raw_study: str
    raw_series: str
    raw_frame_of_reference: str
    is_projection: bool
    planes: tuple[Plane, ...]


def placed(parsed: ParsedFile, kind: str) -> Placed:
    """Return where the frames of a file lie; without planes when it does not say so of every frame."""
    values = _by_tag(parsed.elements)
    words = headers.text_of(parsed, 0x00080008).upper().split("\\")
    frames = max(headers.number_of(parsed, 0x00280008, 1), 1)
    try:
        planes = tuple(_planes(parsed, values, kind))
    except (ValueError, StudyUnreadable, IndexError):
        planes = ()
    return Placed(
        headers.text_of(parsed, _MODALITY),
        headers.text_of(parsed, _STUDY),
        headers.text_of(parsed, _SERIES),
        headers.text_of(parsed, _FRAME_OF_REFERENCE),
        "LOCALIZER" in words and headers.text_of(parsed, _MODALITY) == "CT",
        planes if all(_is_sound(plane) for plane in planes) and len(planes) == frames else (),
    )


def _is_sound(plane: Plane) -> bool:
    steps = np.linalg.norm(plane.down), np.linalg.norm(plane.across)
    if not all(np.isfinite([*plane.origin, *steps])) or min(steps) < 1e-3 or min(plane.shape) < 1:
        return False
    return plane.slope != 0 and float(np.abs(plane.origin).max()) < 1e5 and float(max(steps)) < 100


def _by_tag(elements: Sequence[Element]) -> dict[int, Element]:
    return {element.tag: element for element in elements}


def numbers(element: Element | None) -> list[float]:
    """Return the values of a decimal string; empty when there are none.

    Raises
    ------
    ValueError
        If it is not a number.
    """
    if element is None:
        return []
    text = element.value.decode("latin-1").strip(" \0")
    return [float(part) for part in text.split("\\")] if text else []


def items(element: Element | None, encoding: Encoding) -> tuple[tuple[Element, ...], ...]:
    """Return the items of a sequence that may be missing or sent as UN."""
    if element is None or not element.value:
        return ()
    inside = element.implicit_inside or (element.vr == "UN" and encoding.is_explicit)
    return read_items(element._replace(implicit_inside=inside), encoding)


def encoding_inside(element: Element, encoding: Encoding) -> Encoding:
    """Return how the items of a sequence are written."""
    is_implicit = element.implicit_inside or (element.vr == "UN" and encoding.is_explicit)
    return Encoding(False, True) if is_implicit else encoding


def _planes(parsed: ParsedFile, values: dict[int, Element], kind: str) -> Iterator[Plane]:
    shape = (headers.number_of(parsed, 0x00280010), headers.number_of(parsed, 0x00280011))
    if _PER_FRAME in values:
        yield from _planes_of_groups(parsed, values, shape)
        return
    if _POSITION not in values:
        return
    first = _plane(values, shape, 0)
    if kind != "rt-dose":
        yield first
        return
    normal = np.cross(first.across, first.down)
    normal /= np.linalg.norm(normal)
    offsets = numbers(values.get(_OFFSETS)) or [0.0]
    start = offsets[0] if abs(offsets[0]) > 0 else 0.0  # PS3.3 C.8.8.3.2: relative, or patient z
    for frame, offset in enumerate(offsets):
        yield first._replace(origin=first.origin + (offset - start) * normal, frame=frame)


def _planes_of_groups(
    parsed: ParsedFile, values: dict[int, Element], shape: tuple[int, int]
) -> Iterator[Plane]:
    """Give the planes of an enhanced object (PS3.3 C.7.6.16)."""
    element = values.get(_SHARED)
    shared = _flat(items(element, parsed.encoding), element, parsed.encoding)
    per_frame = values[_PER_FRAME]
    for frame, group in enumerate(items(per_frame, parsed.encoding)):
        own = _flat((group,), per_frame, parsed.encoding)
        yield _plane(shared | own, shape, frame)


def _flat(
    groups: Sequence[tuple[Element, ...]], holder: Element | None, encoding: Encoding
) -> dict[int, Element]:
    """Return the elements of the functional groups that place a frame."""
    found: dict[int, Element] = {}
    inside = encoding_inside(holder, encoding) if holder else encoding
    for group in groups:
        for element in group:
            if element.tag in (_PLANE_POSITION, _PLANE_ORIENTATION, _MEASURES, _VALUES):
                for item in items(element, inside)[:1]:
                    found |= _by_tag(item)
    return found


def _plane(values: dict[int, Element], shape: tuple[int, int], frame: int) -> Plane:
    position, cosines = numbers(values.get(_POSITION)), numbers(values.get(_ORIENTATION))
    spacing = numbers(values.get(_SPACING))
    if len(position) != 3 or len(cosines) != 6 or len(spacing) != 2:
        raise ValueError("no place in the patient")
    slope, intercept = numbers(values.get(_SLOPE)), numbers(values.get(_INTERCEPT))
    across, down = np.array(cosines[:3]), np.array(cosines[3:])
    lengths = float(np.linalg.norm(across)), float(np.linalg.norm(down))
    if not 0.5 < min(lengths) <= max(lengths) < 2 or abs(float(across @ down)) > 0.02:
        raise ValueError("no orientation")
    across, down = across / lengths[0], down / lengths[1]
    return Plane(
        np.array(position),
        down * spacing[0],
        across * spacing[1],
        shape,
        slope[0] if slope else 1.0,
        intercept[0] if intercept else 0.0,
        frame,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Coarse:
    """A volume of a few millimetres whose axes run up, back and to the left.

    Parameters
    ----------
    values : ndarray of float32, shape (up, back, left)
        What the modality measures; the background's level where nothing was seen.
    seen : ndarray of bool
        Where the slices lie.
    axes : ndarray, shape (3, 3)
        LPS unit vectors of up, back, left.
    origin_mm : ndarray, shape (3,)
        LPS place of the first voxel.
    step_mm : float
        Edge of a voxel.
    """

    values: Levels
    seen: Mask
    axes: Floats
    origin_mm: Floats
    step_mm: float

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Spacing along up, back, left."""
        return self.step_mm, self.step_mm, self.step_mm

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return self.step_mm**3 / 1000


UPRIGHT: Floats = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])


class Stack:
    """Parallel slices that together make a volume; each is made small as it is added.

    Parameters
    ----------
    planes : sequence of Plane
        All slices of the stack, in any order; parallel.
    is_hu : bool
        Whether the values are Hounsfield units.
    """

    def __init__(self, planes: Sequence[Plane], *, is_hu: bool) -> None:
        self.is_hu = is_hu
        self.axes = _axes_of(planes[0])
        corners = np.concatenate([plane.corners for plane in planes]) @ self.axes.T
        self.low, self.high = corners.min(axis=0), corners.max(axis=0)
        extent = self.high - self.low + COARSE_MM
        self.step_mm = min(_COARSEST_MM, max(COARSE_MM, (float(np.prod(extent)) / _MOST_VOXELS) ** (1 / 3)))
        heights = np.array([plane.origin @ self.axes[0] for plane in planes])
        self.wanted = _thinned(heights, least_mm=self.step_mm * 0.7)
        self.heights = heights[self.wanted]
        rows, columns = (int(extent[axis] / self.step_mm) + 1 for axis in (1, 2))
        self.small = np.full((len(self.wanted), rows, columns), np.nan, dtype=np.float32)
        self.place = {int(index): row for row, index in enumerate(self.wanted)}

    def add(self, index: int, plane: Plane, values: NDArray[np.generic]) -> None:
        """Take in slice `index` of the stack, its stored values of shape (rows, columns)."""
        level = values.astype(np.float32) * np.float32(plane.slope) + np.float32(plane.intercept)
        steps = [np.linalg.norm(plane.down), np.linalg.norm(plane.across)]
        if self.is_hu:
            level[level < _UNSEEN_HU] = np.nan
            np.clip(level, -1024, 3071, out=level)
        factors = [max(1, round(self.step_mm / float(step))) for step in steps]
        small = _block_mean(level, factors[0], factors[1])
        indices = []
        for axis, (step, factor, size) in enumerate(zip(steps, factors, small.shape, strict=True), start=1):
            wide = float(step) * factor
            start = float(plane.origin @ self.axes[axis]) + (factor - 1) / 2 * float(step)
            at = self.low[axis] + np.arange(self.small.shape[axis]) * self.step_mm
            indices.append(np.rint((at - start) / wide).astype(int))
            indices[-1][(indices[-1] < 0) | (indices[-1] >= size)] = -1
        picked = small[np.ix_(indices[0], indices[1])]
        picked[indices[0] < 0] = np.nan
        picked[:, indices[1] < 0] = np.nan
        self.small[self.place[index]] = picked

    def coarse(self, axes: Floats = UPRIGHT) -> Coarse:
        """Return the volume with axes up, back, left."""
        regular, seen = self._regular()
        background = -1000.0 if self.is_hu else 0.0
        regular[~seen] = background
        ends = np.array([[self.low[a], self.high[a]] for a in range(3)])
        grid = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3) @ self.axes @ axes.T
        low, size = grid.min(axis=0), np.ceil(np.ptp(grid, axis=0) / self.step_mm).astype(int) + 1
        matrix = self.axes @ axes.T
        offset = (self.axes @ (axes.T @ low) - self.low) / self.step_mm
        shape = tuple(int(n) for n in size)
        values = ndimage.affine_transform(
            regular, matrix, offset, output_shape=shape, order=1, cval=background
        )
        inside = ndimage.affine_transform(
            seen.astype(np.float32), matrix, offset, output_shape=shape, order=1, cval=0.0
        )
        return Coarse(values, inside > 0.5, axes, axes.T @ low, self.step_mm)

    def _regular(self) -> tuple[Levels, Mask]:
        """Return the stack at even steps along its normal; wide gaps stay unseen."""
        at = self.low[0] + np.arange(int((self.high[0] - self.low[0]) / self.step_mm) + 1) * self.step_mm
        upper = np.clip(np.searchsorted(self.heights, at), 1, max(len(self.heights) - 1, 1))
        upper = np.minimum(upper, len(self.heights) - 1)
        lower = np.maximum(upper - 1, 0)
        gap = self.heights[upper] - self.heights[lower]
        share = np.clip((at - self.heights[lower]) / np.maximum(gap, 1e-6), 0, 1).astype(np.float32)
        usual = float(np.median(np.diff(self.heights))) if len(self.heights) > 1 else 0.0
        share = share[:, None, None]
        result = self.small[lower] * (1 - share) + self.small[upper] * share
        result[gap > max(3 * usual, 12.0)] = np.nan
        return result, np.isfinite(result)


def _axes_of(plane: Plane) -> Floats:
    """Return unit vectors along the normal, the rows and the columns of a plane."""
    down, across = (vector / np.linalg.norm(vector) for vector in (plane.down, plane.across))
    return np.stack([plane.normal, down, across])


def _thinned(heights: Floats, *, least_mm: float) -> NDArray[np.int64]:
    """Return which slices to take, in rising order: one of several that lie closer than `least_mm`."""
    order = np.argsort(heights, kind="stable")
    kept: list[int] = []
    for index in order:
        if not kept or heights[index] - heights[kept[-1]] >= least_mm:
            kept.append(int(index))
    return np.array(kept, dtype=np.int64)


def _block_mean(level: Levels, rows: int, columns: int) -> Levels:
    """Return the means of blocks of pixels; what is left over at the end is dropped."""
    if rows == columns == 1:
        return level
    height, width = max(level.shape[0] // rows, 1), max(level.shape[1] // columns, 1)
    cut = level[: height * rows, : width * columns]
    if cut.shape != (height * rows, width * columns):
        return level[:1, :1]
    mean: Levels = cut.reshape(height, rows, width, columns).mean(axis=(1, 3))
    return mean
