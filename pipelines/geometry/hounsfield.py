"""Stored numbers to Hounsfield units: unused bits, per-slice rescale, padding, clamping.

Integer arithmetic is done where the result fits: numpy 2 refuses `uint16 - 1024` and older ones wrap it,
which has placed air at 64,512 HU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipelines.geometry.frames import Frame, PixelLayout
from pipelines.geometry.reasons import refused

LOWEST_HU = -1024
_AIR_LIKE_HU = -900.0
_INT16 = np.iinfo(np.int16)


@dataclass(frozen=True, slots=True)
class Remarks:
    """What had to be done to the numbers of a slice."""

    has_unused_bits: bool = False
    is_clamped: bool = False
    is_padded: bool = False

    def __or__(self, other: Remarks) -> Remarks:
        return Remarks(
            self.has_unused_bits or other.has_unused_bits,
            self.is_clamped or other.is_clamped,
            self.is_padded or other.is_padded,
        )

    def sentences(self) -> tuple[str, ...]:
        """Return one sentence for each thing done."""
        told = (
            (self.has_unused_bits, "Bits above BitsStored held something and were ignored."),
            (self.is_clamped, "Values below -1024 HU, outside the scanned circle, were set to -1024."),
            (self.is_padded, "Padding around the image was set to -1024 HU."),
        )
        return tuple(sentence for is_true, sentence in told if is_true)


def check_rescale(frames: Sequence[Frame], *, is_ct: bool) -> None:
    """Refuse a stack whose numbers cannot be turned into its unit.

    Raises
    ------
    GeometryRefused
        ``NOT_HOUNSFIELD`` or ``RESCALE_INVALID``.
    """
    for frame in frames:
        rescale = frame.rescale
        if rescale.has_table:
            raise refused("NOT_HOUNSFIELD", "It uses a lookup table.")
        if is_ct and (rescale.slope is None or rescale.intercept is None):
            raise refused("NOT_HOUNSFIELD", "Slope or intercept is missing.")
        # PS3.3 C.8.2.1: a CT may leave Rescale Type out when it is HU; an emptied one may have been any.
        if is_ct and rescale.kind not in (None, "HU"):
            raise refused("NOT_HOUNSFIELD", "Its rescale type is another.")
        slope, intercept = slope_of(frame), intercept_of(frame)
        if not (math.isfinite(slope) and math.isfinite(intercept)) or slope == 0:
            raise refused("RESCALE_INVALID")


def slope_of(frame: Frame) -> float:
    """Return the rescale slope; 1 when the header (of an MR) has none."""
    return 1.0 if frame.rescale.slope is None else frame.rescale.slope


def intercept_of(frame: Frame) -> float:
    """Return the rescale intercept; 0 when the header (of an MR) has none."""
    return 0.0 if frame.rescale.intercept is None else frame.rescale.intercept


def is_whole(frames: Sequence[Frame]) -> bool:
    """Return whether every slice's densities are whole numbers."""
    return all(slope_of(f).is_integer() and intercept_of(f).is_integer() for f in frames)


def used_bits(stored: NDArray[Any], layout: PixelLayout) -> tuple[NDArray[Any], bool]:
    """Return the numbers without the bits outside BitsStored, and whether those held anything.

    Signed numbers are extended from their highest stored bit (PS3.5 8.1.1).
    """
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    unused = stored.dtype.type(layout.bits_allocated - layout.bits_stored)
    if unused == 0:
        return stored, False
    clean = (stored << unused) >> unused
    return clean, not np.array_equal(clean, stored)


def physical(stored: NDArray[Any], frame: Frame, *, is_ct: bool) -> tuple[NDArray[Any], Remarks]:
    """Return a slice in HU (CT) or raw intensity: int16 when that loses nothing, else float32.

    Parameters
    ----------
    stored : ndarray, shape (rows, columns)
        As it lies in the file.
    """
    numbers, has_garbage = used_bits(stored, frame.layout)
    values = _rescaled(numbers, slope_of(frame), intercept_of(frame))
    if not is_ct:
        return values, Remarks(has_garbage)
    padding = _padding(stored, values, frame)
    is_padded = padding is not None and bool(padding.any())
    if padding is not None and is_padded:
        values = np.where(padding, values.dtype.type(LOWEST_HU), values)
    is_clamped = bool(values.min() < LOWEST_HU)
    if is_clamped:
        values = np.maximum(values, values.dtype.type(LOWEST_HU))
    if is_padded or is_clamped:
        values = _narrowed(values, frame)
    return values, Remarks(has_garbage and not is_padded, is_clamped, is_padded)


def _rescaled(numbers: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    if not (slope.is_integer() and intercept.is_integer()):
        return (numbers.astype(np.float64) * slope + intercept).astype(np.float32)
    ends = sorted(int(end) * int(slope) + int(intercept) for end in (numbers.min(), numbers.max()))
    if ends[0] < _INT16.min or ends[1] > _INT16.max:
        return (numbers.astype(np.float64) * slope + intercept).astype(np.float32)
    # The result fits 16 bits, so arithmetic modulo 2^16 gives it exactly, whatever the stored type.
    values = numbers.astype(np.int16)
    if slope != 1:
        values *= _wrapped(int(slope))
    if intercept != 0:
        values += _wrapped(int(intercept))
    return values


def _narrowed(values: NDArray[Any], frame: Frame) -> NDArray[Any]:
    """Return whole densities as int16 once padding no longer stands in the way."""
    fits = is_whole([frame]) and float(values.max()) <= _INT16.max
    return values.astype(np.int16) if fits else values


def _wrapped(number: int) -> np.int16:
    return np.int16((number + 32768) % 65536 - 32768)


def _padding(stored: NDArray[Any], values: NDArray[Any], frame: Frame) -> NDArray[np.bool_] | None:
    """Return where the header's padding lies, when it would be taken for tissue; else None.

    Padding that lands at air or below needs nothing: clamping sees to it. Padding at the density of tissue or
    metal counts only where it reaches a corner of the image: some headers name a value that tissue has too.
    """
    if frame.padding is None:
        return None
    low, high = frame.padding
    mask: NDArray[np.bool_] = (stored >= low) & (stored <= high)
    if not mask.any() or float(values[mask].max()) <= _AIR_LIKE_HU:
        return None
    labels, _ = ndimage.label(mask)
    corners = np.unique(labels[[0, 0, -1, -1], [0, -1, 0, -1]])
    return np.isin(labels, corners[corners > 0])
