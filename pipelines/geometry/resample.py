"""Fills the grid of a stack, slice by slice, so that memory stays flat.

A straight, even stack is copied. Drift within the plane and uneven steps are undone with linear
interpolation, each along its own axis only: a tilted stack keeps its slices and is shifted within them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviz.core.progress import Progress
from pipelines.geometry.frames import Frame
from pipelines.geometry.hounsfield import LOWEST_HU, Remarks, is_whole, physical
from pipelines.geometry.lattice import Blend, Lattice
from pipelines.geometry.pixels import PixelReader

Voxels = NDArray[Any]


def fill(
    frames: Sequence[Frame], lattice: Lattice, *, is_ct: bool, progress: Progress
) -> tuple[Voxels, Remarks]:
    """Return the voxels of a stack on its grid, and what had to be done to its numbers.

    Returns
    -------
    voxels : ndarray of int16 or float32, shape of ``lattice.grid``
        HU for CT, raw intensity else; int16 when that loses nothing.
    remarks : Remarks

    Raises
    ------
    GeometryRefused
        If a frame's pixels cannot be read.
    """
    source = _Source(frames, lattice, is_ct=is_ct)
    total = len(lattice.blends)
    voxels: Voxels = np.empty(lattice.grid.shape, np.int16 if is_whole(frames) else np.float32)
    for n, blend in enumerate(lattice.blends):
        values = _blended(source.slice, blend)
        if voxels.dtype == np.int16 and values.dtype != np.int16:
            voxels = _wide_enough(voxels, values)
            values = np.rint(values)
        voxels[n] = values
        progress((n + 1) / total, f"slice {n + 1} of {total}")
    return voxels, source.remarks


def _wide_enough(voxels: Voxels, values: Voxels) -> Voxels:
    """Return the voxels as float32 when 16 bits cannot hold what comes next."""
    fits = values.min() >= -32768 and values.max() <= 32767
    return voxels if fits else voxels.astype(np.float32)


class _Source:
    """Gives each input slice in physical units, shifted into the grid; keeps the last two."""

    def __init__(self, frames: Sequence[Frame], lattice: Lattice, *, is_ct: bool) -> None:
        self._frames = frames
        self._lattice = lattice
        self._is_ct = is_ct
        self._reader = PixelReader()
        self._kept: dict[int, Voxels] = {}
        self.remarks = Remarks()

    def slice(self, index: int) -> Voxels:
        if index not in self._kept:
            self._kept = {k: v for k, v in self._kept.items() if k == index - 1}
            self._kept[index] = self._shifted(index)
        return self._kept[index]

    def _shifted(self, index: int) -> Voxels:
        frame = self._frames[index]
        values, remarks = physical(self._reader.read(frame.layout), frame, is_ct=self._is_ct)
        self.remarks |= remarks
        shape = self._lattice.grid.shape[1:]
        shift = self._lattice.shifts_px[index]
        outside = LOWEST_HU if self._is_ct else 0
        return values if values.shape == shape else shifted(values, shift, shape, outside=outside)


def _blended(take: Callable[[int], Voxels], blend: Blend) -> Voxels:
    if blend.weight <= 1e-6:
        return take(blend.lower)
    lower = take(blend.lower)
    upper = take(blend.upper)
    if blend.weight >= 1 - 1e-6:
        return upper
    weight = np.float32(blend.weight)
    return lower * (1 - weight) + upper * weight


def shifted(values: Voxels, shift: NDArray[np.float64], shape: tuple[int, int], *, outside: float) -> Voxels:
    """Return a slice moved by a fraction of pixels into a larger frame, by linear interpolation.

    Parameters
    ----------
    values : ndarray, shape (rows, columns)
    shift : ndarray, shape (2,)
        Row and column of the larger frame at which the first pixel lies; not negative.
    shape : tuple of int
        Rows and columns of the larger frame; it must hold the moved slice.
    outside : float
        Value where the slice has none.
    """
    whole = np.floor(shift + 1e-9).astype(int)
    frame = np.full(shape, outside, np.float32)
    rows, columns = values.shape
    frame[whole[0] : whole[0] + rows, whole[1] : whole[1] + columns] = values
    for axis, part in enumerate(shift - whole):
        if part > 1e-6:
            frame = _moved(frame, float(part), axis, outside)
    return frame


def _moved(frame: Voxels, part: float, axis: int, outside: float) -> Voxels:
    """Return a frame moved by a part of a pixel towards higher indices."""
    before = np.full_like(frame, outside)
    into = [slice(None), slice(None)]
    from_ = [slice(None), slice(None)]
    into[axis], from_[axis] = slice(1, None), slice(None, -1)
    before[tuple(into)] = frame[tuple(from_)]
    moved: Voxels = frame * np.float32(1 - part) + before * np.float32(part)
    return moved
