"""Which slices of a series belong together: strays set aside, phases and acquisitions kept apart.

Nothing is interleaved and nothing is dropped without a word: every function here either returns clean stacks
with notes of what was set aside, or refuses by name.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipelines.geometry.frames import TRAITS, Frame
from pipelines.geometry.reasons import refused

FloatArray = NDArray[np.float64]
SamePixels = Callable[[Frame, Frame], bool]

FEWEST_SLICES = 3
SAME_PLACE_MM = 0.01
SAME_DIRECTION = 1e-3
"""Largest difference of two cosines of one orientation: 0.3 mm at 250 mm from the corner."""
PARALLEL = 0.99
_SCREEN_CLASSES = ("1.2.840.10008.5.1.4.1.1.7",)
_PICTURES = ("SCREEN SAVE", "SCREEN CAPTURE", "SCREENSAVE", "DOSE", "DOSE_INFO", "PROTOCOL", "REPORT")
_PROJECTIONS = ("MIP", "MINIP", "MIN_IP", "PROJECTION IMAGE", "VOLUME_RENDERED", "VRT", "SSD")


@dataclass(frozen=True, slots=True)
class Stack:
    """Slices of one orientation at different places.

    Parameters
    ----------
    frames : tuple of Frame
        Sorted by position along the normal.
    label : str
        What tells this stack from others of its series, such as ``acquisition 2``; else empty.
    notes : tuple of str
        What was set aside or dropped.
    """

    frames: tuple[Frame, ...]
    label: str = ""
    notes: tuple[str, ...] = ()


def split_series(frames: Sequence[Frame], same_pixels: SamePixels) -> list[Stack]:
    """Return the clean stacks of a series.

    Parameters
    ----------
    frames : sequence of Frame
        All slices of one series, in any order.
    same_pixels : callable
        Says whether two frames hold the same densities; called only for slices at one place.

    Raises
    ------
    GeometryRefused
        If the slices do not fall into clean stacks.
    """
    usable, notes = set_aside(frames)
    _check_headers(usable)
    stacks: list[Stack] = []
    for group in _by_direction(usable):
        stacks += _separate(group, same_pixels, label="")
    if len(stacks) == 1:
        return [replace(stacks[0], notes=(*notes, *stacks[0].notes))]
    return [replace(stack, notes=(*notes, *stack.notes, _split_note(stack, stacks))) for stack in stacks]


def set_aside(frames: Sequence[Frame]) -> tuple[list[Frame], tuple[str, ...]]:
    """Return the frames that may be slices, and notes on those that are not.

    Raises
    ------
    GeometryRefused
        If none is left.
    """
    kept: list[Frame] = []
    aside: Counter[str] = Counter()
    for frame in frames:
        kind = stray_kind(frame)
        if kind:
            aside[kind] += 1
        else:
            kept.append(frame)
    if not kept:
        raise refused("LOCALIZER_ONLY" if set(aside) == {"localizer"} else "NOT_SLICES")
    return kept, tuple(f"{_count(n, f'{kind} image')} set aside." for kind, n in sorted(aside.items()))


def stray_kind(frame: Frame) -> str:
    """Return ``localizer``, ``picture``, ``projection`` or ``colour`` for what is no slice; else nothing."""
    words = {part for value in frame.image_type for part in (value, value.replace("_", " "))}
    if "LOCALIZER" in words or "SCOUT" in words:
        return "localizer"
    if frame.layout.samples != 1:
        return "colour"
    if frame.sop_class in _SCREEN_CLASSES and not frame.position:
        return "picture"
    if words & set(_PICTURES):
        return "picture"
    return "projection" if words & set(_PROJECTIONS) else ""


def normal_of(frame: Frame) -> FloatArray:
    """Return the unit normal of a frame: row direction times column direction (PS3.3 C.7.6.2.1.1)."""
    normal = np.cross(frame.orientation[:3], frame.orientation[3:])
    result: FloatArray = normal / np.linalg.norm(normal)
    return result


def depths_mm(frames: Sequence[Frame]) -> FloatArray:
    """Return each frame's place along the normal of the first, in mm."""
    normal = normal_of(frames[0])
    result: FloatArray = np.array([frame.position for frame in frames], dtype=np.float64) @ normal
    return result


def _check_headers(frames: Sequence[Frame]) -> None:
    total = len(frames)
    _refuse_where(frames, "NO_ORIENTATION", lambda f: len(f.orientation) != 6, total)
    _refuse_where(frames, "NO_POSITION", lambda f: len(f.position) != 3 or not _finite(f.position), total)
    _refuse_where(frames, "ORIENTATION_INVALID", lambda f: not _is_direction(f.orientation), total)
    _refuse_where(frames, "PIXEL_SPACING_INVALID", lambda f: not _is_spacing(f.spacing_mm), total)
    if len({frame.frame_of_reference for frame in frames}) > 1:
        raise refused("FRAME_OF_REFERENCE_VARIES")


def _refuse_where(frames: Sequence[Frame], code: str, is_bad: Callable[[Frame], bool], total: int) -> None:
    bad = sum(1 for frame in frames if is_bad(frame))
    if bad:
        raise refused(code, f"{bad} of {total} slices.")


def _finite(values: Iterable[float]) -> bool:
    return all(math.isfinite(value) for value in values)


def _is_direction(values: tuple[float, ...]) -> bool:
    if not _finite(values):
        return False
    row, column = np.array(values[:3]), np.array(values[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    return bool(max(abs(length - 1) for length in lengths) < 1e-2 and abs(row @ column) < 1e-2)


def _is_spacing(values: tuple[float, ...]) -> bool:
    return len(values) == 2 and _finite(values) and min(values) > 1e-3 and max(values) < 50


def _by_direction(frames: Sequence[Frame]) -> list[list[Frame]]:
    groups: list[list[Frame]] = []
    for frame in frames:
        home = next((g for g in groups if _agree(g[0].orientation, frame.orientation)), None)
        if home is None:
            groups.append([frame])
        else:
            home.append(frame)
    normals = [normal_of(group[0]) for group in groups]
    for n, normal in enumerate(normals):
        if any(abs(normal @ other) > PARALLEL for other in normals[:n]):
            raise refused("MIXED_ORIENTATION", f"{len(groups)} orientations were found.")
    return groups


def _agree(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= SAME_DIRECTION


def _separate(frames: list[Frame], same_pixels: SamePixels, *, label: str) -> list[Stack]:
    """Return the stacks of frames of one orientation; splits by one trait, then looks again."""
    frames = _sorted(frames)
    for trait in TRAITS:
        groups = _trait_groups(frames, trait)
        if groups:
            stacks = []
            for value, group in groups.items():
                own = f"{TRAITS[trait]} {value or 'not stated'}"
                stacks += _separate(group, same_pixels, label=f"{label}, {own}".lstrip(", "))
            return stacks
    _check_uniform(frames)
    kept, dropped = _without_copies(frames, same_pixels)
    notes = (f"{_count(dropped, 'copy', 'copies')} of slices at one place with the same pixels dropped.",)
    if not _clashes(kept):
        return [Stack(tuple(kept), label, (*(notes if dropped else ()), *_joined_note(kept)))]
    return [
        Stack(tuple(run), f"{label}, pass {n + 1} by time".lstrip(", "), notes if dropped else ())
        for n, run in enumerate(_passes(kept))
    ]


def _sorted(frames: Sequence[Frame]) -> list[Frame]:
    depths = depths_mm(frames)
    keys = [(depth, frame.sop_uid, frame.layout.index) for depth, frame in zip(depths, frames, strict=True)]
    return [frames[n] for n in sorted(range(len(frames)), key=keys.__getitem__)]


def _trait_groups(frames: Sequence[Frame], trait: str) -> dict[str, list[Frame]]:
    """Return the frames by a trait's value when that tells overlapping stacks apart; else nothing."""
    groups: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[frame.traits[trait]].append(frame)
    if len(groups) < 2 or min(len(group) for group in groups.values()) < FEWEST_SLICES:
        return {}
    spans = sorted((float(depths.min()), float(depths.max())) for depths in map(depths_mm, groups.values()))
    is_overlapping = any(after[0] <= before[1] for before, after in pairwise(spans))
    return dict(sorted(groups.items())) if is_overlapping else {}


def _check_uniform(frames: Sequence[Frame]) -> None:
    sizes = {(frame.layout.rows, frame.layout.columns) for frame in frames}
    if len(sizes) > 1:
        raise refused("MATRIX_VARIES", f"{len(sizes)} sizes were found.")
    spacings = np.array([frame.spacing_mm for frame in frames])
    if np.ptp(spacings, axis=0).max() > 1e-3 * spacings.max():
        raise refused("PIXEL_SPACING_VARIES")


def _same_place_mm(depths: FloatArray) -> float:
    steps = np.diff(depths)
    steps = steps[steps > SAME_PLACE_MM]
    return max(SAME_PLACE_MM, 0.1 * float(np.median(steps))) if steps.size else SAME_PLACE_MM


def _places(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Return the sorted frames grouped by place along the normal."""
    depths = depths_mm(frames)
    limit = _same_place_mm(depths)
    places: list[list[Frame]] = []
    for n, frame in enumerate(frames):
        if n and depths[n] - depths[n - 1] < limit:
            places[-1].append(frame)
        else:
            places.append([frame])
    return places


def _clashes(frames: Sequence[Frame]) -> bool:
    return any(len(place) > 1 for place in _places(frames))


def _without_copies(frames: Sequence[Frame], same_pixels: SamePixels) -> tuple[list[Frame], int]:
    kept: list[Frame] = []
    for place in _places(frames):
        own: list[Frame] = []
        for frame in place:
            if not any(_is_copy(frame, other, same_pixels) for other in own):
                own.append(frame)
        kept += own
    return kept, len(frames) - len(kept)


def _is_copy(frame: Frame, other: Frame, same_pixels: SamePixels) -> bool:
    away = math.dist(frame.position, other.position)
    return away < SAME_PLACE_MM and same_pixels(frame, other)


def _passes(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Return the passes over one region, told apart by acquisition time.

    Raises
    ------
    GeometryRefused
        If a place lacks a pass, or two passes overlap in time.
    """
    places = [sorted(place, key=lambda frame: frame.time) for place in _places(frames)]
    count = len(places[0])
    if any(len(place) != count for place in places) or not all(frame.time for frame in frames):
        raise refused("SAME_PLACE_DIFFERENT_PIXELS", _clash_detail(places))
    runs = [[place[n] for place in places] for n in range(count)]
    for before, after in pairwise(runs):
        if max(frame.time for frame in before) >= min(frame.time for frame in after):
            raise refused("SAME_PLACE_DIFFERENT_PIXELS", _clash_detail(places))
    return runs


def _joined_note(frames: Sequence[Frame]) -> tuple[str, ...]:
    count = len({frame.traits["acquisition"] for frame in frames})
    if count < 2 or count > len(frames) / FEWEST_SLICES:
        return ()
    return (f"The stack joins {count} acquisitions that follow each other.",)


def _clash_detail(places: Sequence[Sequence[Frame]]) -> str:
    shared = sum(1 for place in places if len(place) > 1)
    return f"{shared} of {len(places)} places are shared."


def _split_note(stack: Stack, stacks: Sequence[Stack]) -> str:
    own = stack.label or "the largest orientation"
    return f"The series holds {len(stacks)} stacks; this is {own}, {len(stack.frames)} slices."


def _count(number: int, one: str, many: str = "") -> str:
    name = one if number == 1 else (many or f"{one}s")
    return f"{number} {name} {'was' if number == 1 else 'were'}"
