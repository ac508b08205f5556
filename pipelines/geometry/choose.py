"""Which series is best for the plan, and why each other one was not taken."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from medviz.core.errors import GeometryRefused
from medviz.core.space import orientation_letters
from medviz.core.volume import SeriesSummary
from pipelines.geometry.frames import Frame
from pipelines.geometry.intake import SeriesFiles
from pipelines.geometry.lattice import GeometryLimits, Lattice, place
from pipelines.geometry.reasons import refused
from pipelines.geometry.stacks import SamePixels, Stack, normal_of, split_series

_THIN_MM = 1.5


@dataclass(frozen=True, slots=True)
class SeriesPreference:
    """What the plan needs of a series.

    Parameters
    ----------
    modality : str
        DICOM modality.
    region : str
        Body part in words, such as ``head``; compared with Body Part Examined. Empty: any.
    """

    modality: str = "CT"
    region: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A stack that may become the volume, the refusal it ended with, or why it was not even tried (aside)."""

    series_uid: str
    modality: str
    instances: int
    stack: Stack | None
    lattice: Lattice | None
    refusal: GeometryRefused | None = None
    aside: str = ""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One reason to prefer a stack: a value (more is better) and how a person says that it is less."""

    value: Callable[[Candidate], float]
    lacking: str
    unit: str = ""


def candidates_of(series: SeriesFiles, limits: GeometryLimits, same_pixels: SamePixels) -> list[Candidate]:
    """Return the stacks of a series, each placed or refused."""
    try:
        if series.broken:
            raise refused(series.broken)
        if not series.frames:
            raise refused("NOT_SLICES")
        stacks = split_series(series.frames, same_pixels)
    except GeometryRefused as refusal:
        return [Candidate(series.series_uid, series.modality, series.files, None, None, refusal)]
    return [_candidate(series, stack, limits) for stack in stacks]


def rank(candidates: Sequence[Candidate], preference: SeriesPreference) -> list[Candidate]:
    """Return the candidates, best first; refused ones last, the largest of them first."""
    criteria = _criteria(candidates, preference)

    def key(candidate: Candidate) -> tuple[object, ...]:
        if candidate.lattice is None:
            return (1, -candidate.instances, candidate.series_uid)
        number = candidate.stack.frames[0].series_number if candidate.stack else 0
        label = candidate.stack.label if candidate.stack else ""
        return (0, *(-c.value(candidate) for c in criteria), number, candidate.series_uid, label)

    return sorted(candidates, key=key)


def why_not(
    other: Candidate, chosen: Candidate | None, all_: Sequence[Candidate], preference: SeriesPreference
) -> str:
    """Return why a candidate was not taken."""
    if other.aside:
        return other.aside
    if other.refusal is not None:
        return f"{_own_name(other)}refused ({other.refusal.reason}): {other.refusal.message}"
    if chosen is None:
        return f"{_own_name(other)}not tried"
    for criterion in _criteria(all_, preference):
        own, best = criterion.value(other), criterion.value(chosen)
        if own < best:
            return _own_name(other) + _compared(criterion, own, best)
    return f"{_own_name(other)}as good as the one taken; it comes later in the study"


def why_chosen(chosen: Candidate, usable: Sequence[Candidate], preference: SeriesPreference) -> str:
    """Return why a candidate was taken."""
    others = [each for each in usable if each is not chosen and each.lattice is not None]
    name = f"{chosen.stack.label}: " if chosen.stack and chosen.stack.label else ""
    if not others:
        return f"{name}the only stack of slices that can be used"
    lost = {why_not(other, chosen, usable, preference).split(": ", 1)[-1] for other in others}
    return f"{name}best of {len(others) + 1}; the others: {'; '.join(sorted(lost))}"


def summary(candidate: Candidate, *, is_chosen: bool, why: str) -> SeriesSummary:
    """Return what the report says of a candidate."""
    grid = candidate.lattice.grid if candidate.lattice else None
    return SeriesSummary(
        series_uid=candidate.series_uid,
        modality=candidate.modality,
        instances=len(candidate.stack.frames) if candidate.stack else candidate.instances,
        orientation=orientation_letters(grid) if grid else "",
        spacing_mm=grid.spacing_mm if grid else None,
        is_chosen=is_chosen,
        why=why,
    )


def is_soft_kernel(kernel: str) -> bool | None:
    """Return whether a convolution kernel is made for soft tissue; None when its name is not known.

    Names by vendor: Siemens B30f, Br40, H31s, I30f (60 and more are sharp); GE STANDARD, SOFT, BONE, LUNG;
    Canon FC01 to FC28 (30 and more are sharp); Philips A, B, C against D, E, L, Y.
    """
    name = kernel.upper().strip()
    siemens = re.match(
        r"^[A-Z]{1,2}?(\d{2})[A-Z]?$", name.removeprefix("FC") if name.startswith("FC") else name
    )
    if name.startswith("FC") and name[2:4].isdigit():
        return int(name[2:4]) < 30
    if siemens:
        return int(siemens.group(1)) < 55
    if re.search(r"BONE|LUNG|EDGE|SHARP|DETAIL|ULTRA|^(D|E|L|Y[A-D]?)$", name):
        return False
    return True if re.search(r"SOFT|STAND|BRAIN|ABDOM|^(A|B|C|UA|UB|SA|SB)$", name) else None


def _candidate(series: SeriesFiles, stack: Stack, limits: GeometryLimits) -> Candidate:
    count = len(stack.frames)
    try:
        lattice = place(stack.frames, limits)
    except GeometryRefused as refusal:
        return Candidate(series.series_uid, series.modality, count, stack, None, refusal)
    return Candidate(series.series_uid, series.modality, count, stack, lattice)


def _criteria(candidates: Sequence[Candidate], preference: SeriesPreference) -> tuple[Criterion, ...]:
    widest = max((_coverage_mm(c) for c in candidates), default=1.0)
    return (
        Criterion(
            lambda c: _is(c, lambda f: f.modality == preference.modality), f"not {preference.modality}"
        ),
        Criterion(lambda c: float(_is_region(c, preference.region)), "another body part"),
        Criterion(lambda c: float(_coverage_mm(c) >= 0.6 * widest), "covers much less of the body"),
        Criterion(lambda c: _is(c, lambda f: "DERIVED" not in f.image_type), "derived, not original"),
        Criterion(lambda c: _is(c, _is_axial), "not axial"),
        Criterion(lambda c: -max(_step_mm(c), _THIN_MM), "thicker slices", "mm"),
        Criterion(lambda c: _softness(c), "a sharper kernel"),
        Criterion(lambda c: -round(_step_mm(c), 2), "thicker slices", "mm"),
        Criterion(lambda c: round(_coverage_mm(c)), "covers less", "mm"),
        Criterion(lambda c: -round(_pixel_mm(c), 3), "larger pixels", "mm"),
    )


def _compared(criterion: Criterion, own: float, best: float) -> str:
    if not criterion.unit:
        return criterion.lacking
    return f"{criterion.lacking} ({abs(own):g} {criterion.unit} against {abs(best):g} {criterion.unit})"


def _own_name(candidate: Candidate) -> str:
    return f"{candidate.stack.label}: " if candidate.stack and candidate.stack.label else ""


def _is(candidate: Candidate, test: Callable[[Frame], bool]) -> float:
    return float(candidate.stack is not None and test(candidate.stack.frames[0]))


def _is_axial(frame: Frame) -> bool:
    return bool(abs(normal_of(frame)[2]) > 0.8)


def _is_region(candidate: Candidate, region: str) -> bool:
    if not region or candidate.stack is None:
        return True
    return region.lower() in candidate.stack.frames[0].body_part.lower()


def _softness(candidate: Candidate) -> float:
    soft = is_soft_kernel(candidate.stack.frames[0].kernel) if candidate.stack else None
    return 0.5 if soft is None else float(soft)


def _step_mm(candidate: Candidate) -> float:
    return candidate.lattice.grid.spacing_mm[0] if candidate.lattice else np.inf


def _coverage_mm(candidate: Candidate) -> float:
    if candidate.lattice is None:
        return 0.0
    return candidate.lattice.grid.spacing_mm[0] * candidate.lattice.grid.shape[0]


def _pixel_mm(candidate: Candidate) -> float:
    return max(candidate.lattice.grid.spacing_mm[1:]) if candidate.lattice else np.inf
