"""Where the slices of a stack lie, and the regular grid that they fill.

Standard DICOM arithmetic (PS3.3 C.7.6.2.1.1): the normal is row direction times column direction, a slice's
place is its position along that normal, and what is left of the position is drift within the plane. Steady
drift is gantry tilt. Positions are believed before (0018,1120), SliceThickness and SpacingBetweenSlices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medviz.core.errors import GeometryRefused
from medviz.core.space import Grid
from medviz.core.volume import Outcome
from pipelines.geometry.frames import Frame
from pipelines.geometry.reasons import refused
from pipelines.geometry.stacks import FEWEST_SLICES, depths_mm, normal_of

FloatArray = NDArray[np.float64]
LARGEST_VOXELS = 2**31
_WIDE = 1.5
"""A step this many times another is no rounding: a slice is missing or the spacing changes."""


@dataclass(frozen=True, slots=True)
class GeometryLimits:
    """How far a stack may stray before it is resampled, and before it is refused.

    Parameters
    ----------
    jitter_mm : float
        Distance from an even place along the normal that counts as rounding; a quarter of a step at most.
    drift_mm : float
        Distance from a straight stack, within the plane, that counts as rounding.
    uneven_mm : float
        Largest difference between two steps that is resampled, when none is 1.5 times another.
    shift_mm : float
        Largest unsteady drift within the plane that is resampled.
    gap_mm : float
        Largest step that is interpolated across when slices are missing; 0 refuses every gap.
    tilt_deg : float
        Largest gantry tilt that is resampled.
    """

    jitter_mm: float = 0.1
    drift_mm: float = 0.2
    uneven_mm: float = 1.0
    shift_mm: float = 2.0
    gap_mm: float = 0.0
    tilt_deg: float = 35.0


@dataclass(frozen=True, slots=True)
class Blend:
    """An output slice: the input slices around it, and the weight of the upper one."""

    lower: int
    upper: int
    weight: float


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """The grid of a stack and how its slices fill it.

    Parameters
    ----------
    grid : Grid
        Right-handed: slices along the normal, LPS mm.
    shifts_px : ndarray, shape (n, 2)
        Grid row and column of each input slice's first pixel; whole zeros unless sheared.
    blends : tuple of Blend
        One per output slice.
    outcome, reason, detail, max_displacement_mm
        As in `GeometryReport`.
    notes : tuple of str
        Remarks that did not change the outcome.
    """

    grid: Grid
    shifts_px: FloatArray
    blends: tuple[Blend, ...]
    outcome: Outcome
    reason: str
    detail: str
    max_displacement_mm: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Steps:
    """Even places along the normal, and what was found on the way."""

    first_mm: float
    step_mm: float
    blends: tuple[Blend, ...]
    reason: str = "OK"
    detail: str = ""
    moved_mm: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Drift:
    """Drift of each slice within the plane, along columns and rows, in mm."""

    offsets_mm: FloatArray
    reason: str = "OK"
    detail: str = ""
    moved_mm: float = 0.0
    notes: tuple[str, ...] = ()


def place(frames: Sequence[Frame], limits: GeometryLimits) -> Lattice:
    """Return the grid of a stack, sorted along its normal.

    Raises
    ------
    GeometryRefused
        If the slices cannot be placed within the limits.
    """
    if len(frames) < FEWEST_SLICES:
        raise refused("TOO_FEW_SLICES", f"{len(frames)} found.")
    steps = _steps(depths_mm(frames), limits)
    drift = _drift(frames, limits)
    return _lattice(frames, steps, drift)


def axes_of(frame: Frame) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the directions in which columns, rows and slices grow, at exact right angles."""
    normal = normal_of(frame)
    along_row = np.array(frame.orientation[:3]) / np.linalg.norm(frame.orientation[:3])
    return along_row, np.cross(normal, along_row), normal


def _steps(depths: FloatArray, limits: GeometryLimits) -> _Steps:
    count = len(depths)
    steps = np.diff(depths)
    usual = float(np.median(steps))
    slope, first = (float(v) for v in np.polyfit(np.arange(count), depths, 1))
    off = float(np.abs(depths - (first + slope * np.arange(count))).max())
    if off <= min(limits.jitter_mm, 0.25 * slope):
        notes = (f"Places differ from even steps by up to {off:.2f} mm.",) if off > 0.02 else ()
        return _Steps(first, slope, tuple(Blend(k, k, 0.0) for k in range(count)), notes=notes)
    if steps.max() <= _WIDE * steps.min() and np.ptp(steps) <= limits.uneven_mm:
        return _even_out(depths, usual, "UNEVEN_SPACING", _step_detail(steps))
    if steps.max() <= limits.gap_mm:
        return _even_out(depths, usual, "MISSING_SLICES", _step_detail(steps))
    raise _gap(steps, usual)


def _gap(steps: FloatArray, usual: float) -> GeometryRefused:
    """Return the refusal of a stack with gaps: scattered ones are lost slices, others a change of spacing."""
    wide = steps > _WIDE * usual
    is_scattered = 0 < wide.mean() <= 0.25 and np.abs(steps[~wide] - usual).max() <= 0.25 * usual
    if not is_scattered:
        return refused("UNEVEN_SPACING", _step_detail(steps))
    lost = int(np.rint(steps[wide] / usual - 1).sum())
    return refused("MISSING_SLICES", f"About {lost} missing at {int(wide.sum())} of {len(steps)} steps.")


def _step_detail(steps: FloatArray) -> str:
    return f"Steps run from {steps.min():.2f} to {steps.max():.2f} mm."


def _even_out(depths: FloatArray, step: float, reason: str, detail: str) -> _Steps:
    count = int(np.floor((depths[-1] - depths[0]) / step + 1e-6)) + 1
    wanted = depths[0] + step * np.arange(count)
    upper = np.clip(np.searchsorted(depths, wanted), 1, len(depths) - 1)
    lower = upper - 1
    weights = np.clip((wanted - depths[lower]) / (depths[upper] - depths[lower]), 0, 1)
    moved = float(np.minimum(np.abs(wanted - depths[lower]), np.abs(depths[upper] - wanted)).max())
    blends = tuple(Blend(int(a), int(b), float(w)) for a, b, w in zip(lower, upper, weights, strict=True))
    return _Steps(float(depths[0]), step, blends, reason, detail, moved)


def _drift(frames: Sequence[Frame], limits: GeometryLimits) -> _Drift:
    along_row, along_column, _ = axes_of(frames[0])
    positions = np.array([frame.position for frame in frames])
    # Column 0: how far along the column direction (rows grow), column 1: along the row direction.
    offsets = positions @ np.stack([along_column, along_row], axis=1)
    middle = (offsets.max(axis=0) + offsets.min(axis=0)) / 2
    spread = float(np.linalg.norm(offsets - middle, axis=1).max())
    header_deg = abs(frames[0].tilt_deg)
    if spread <= limits.drift_mm:
        notes = (
            ("The header names a gantry tilt that the positions do not show.",) if header_deg > 0.5 else ()
        )
        return _Drift(np.tile(middle, (len(frames), 1)), notes=notes)
    return _sheared(offsets, depths_mm(frames), header_deg, limits)


def _sheared(offsets: FloatArray, depths: FloatArray, header_deg: float, limits: GeometryLimits) -> _Drift:
    design = np.stack([depths - depths.mean(), np.ones_like(depths)], axis=1)
    fit = np.linalg.lstsq(design, offsets, rcond=None)[0]
    unsteady = float(np.linalg.norm(offsets - design @ fit, axis=1).max())
    angle = float(np.rad2deg(np.arctan(np.linalg.norm(fit[0]))))
    moved = float(np.linalg.norm(offsets - offsets[0], axis=1).max())
    if unsteady > limits.drift_mm:
        if unsteady > limits.shift_mm or angle > limits.tilt_deg:
            raise refused("SHIFTED_SLICES", f"Up to {unsteady:.1f} mm.")
        return _Drift(offsets, "SHIFTED_SLICES", f"Up to {unsteady:.1f} mm.", moved)
    if angle > limits.tilt_deg:
        raise refused("GANTRY_TILT", f"{angle:.1f} degrees, more than the limit of {limits.tilt_deg:.0f}.")
    notes = ("The header names no gantry tilt; the positions show one.",) if header_deg < 0.1 else ()
    return _Drift(offsets, "GANTRY_TILT", f"{angle:.1f} degrees.", moved, notes)


def _lattice(frames: Sequence[Frame], steps: _Steps, drift: _Drift) -> Lattice:
    first = frames[0]
    along_row, along_column, normal = axes_of(first)
    between_rows, between_columns = (float(v) for v in np.median([f.spacing_mm for f in frames], axis=0))
    corner = drift.offsets_mm.min(axis=0)
    shifts = (drift.offsets_mm - corner) / (between_rows, between_columns)
    grown = np.ceil(shifts.max(axis=0) - 1e-6).astype(int)
    shape = (len(steps.blends), first.layout.rows + int(grown[0]), first.layout.columns + int(grown[1]))
    if np.prod(shape, dtype=np.int64) > LARGEST_VOXELS:
        raise refused("TOO_LARGE", f"{shape[0]} x {shape[1]} x {shape[2]} voxels.")
    affine = np.eye(4)
    affine[:3, :3] = np.stack(
        [normal * steps.step_mm, along_column * between_rows, along_row * between_columns], axis=1
    )
    affine[:3, 3] = normal * steps.first_mm + along_column * corner[0] + along_row * corner[1]
    return Lattice(
        Grid(shape, affine, first.frame_of_reference or first.series_uid),
        shifts,
        steps.blends,
        *_verdict(steps, drift),
        notes=(*steps.notes, *drift.notes, *_frame_note(first)),
    )


def _verdict(steps: _Steps, drift: _Drift) -> tuple[Outcome, str, str, float]:
    reasons = [part for part in (drift.reason, steps.reason) if part != "OK"]
    if not reasons:
        return Outcome.CORRECT, "OK", "", 0.0
    detail = " ".join(part for part in (drift.detail, steps.detail) if part)
    return Outcome.RESAMPLED, reasons[0], detail, float(np.hypot(drift.moved_mm, steps.moved_mm))


def _frame_note(frame: Frame) -> tuple[str, ...]:
    if frame.frame_of_reference:
        return ()
    return ("The series names no frame of reference; it can be compared with no other series.",)
