"""From a de-identified study to one volume in the patient, correct or said to be not.

Three ends, no fourth: correct, resampled with its millimetres, refused with a reason code and a mend.
docs/geometry.md is the contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviz.core.errors import GeometryRefused
from medviz.core.progress import Progress, silent
from medviz.core.study import DeidentifiedStudy
from medviz.core.volume import GeometryReport, Outcome, Volume
from pipelines.geometry.choose import (
    Candidate,
    SeriesPreference,
    candidates_of,
    rank,
    summary,
    why_chosen,
    why_not,
)
from pipelines.geometry.frames import Frame
from pipelines.geometry.hounsfield import Remarks, check_rescale, physical
from pipelines.geometry.intake import Intake, SeriesFiles, read_headers
from pipelines.geometry.lattice import GeometryLimits, Lattice
from pipelines.geometry.pixels import PixelReader
from pipelines.geometry.reasons import REASONS, refused
from pipelines.geometry.resample import fill
from pipelines.geometry.stacks import FEWEST_SLICES, Stack

__all__ = ["GeometryLimits", "SeriesPreference", "assess", "make_volume"]

_HEADERS = 0.3


def make_volume(
    study: DeidentifiedStudy,
    *,
    series_uid: str | None = None,
    preference: SeriesPreference | None = None,
    limits: GeometryLimits | None = None,
    progress: Progress = silent,
) -> Volume:
    """Return the best series of a study (or the one named) as a volume in HU, LPS, mm.

    Parameters
    ----------
    study : DeidentifiedStudy
        Files in any order; may hold several series and objects that are no images.
    series_uid : str, optional
        De-identified Series Instance UID to take, whatever its modality.
    preference : SeriesPreference, optional
        What the plan needs; CT when not given.
    limits : GeometryLimits, optional
        Tolerances; those of docs/geometry.md when not given.

    Raises
    ------
    GeometryRefused
        If no series can be placed without guessing; ``.report`` lists each with its reason.
    """
    preference = preference or SeriesPreference()
    intake = read_headers(study, lambda done, figure: progress(done * _HEADERS, figure))
    candidates = _candidates(intake, series_uid, preference, limits or GeometryLimits())
    refusals: list[Candidate] = []
    for candidate in rank([each for each in candidates if not each.aside], preference):
        try:
            return _build(candidate, [*candidates, *refusals], intake, preference, progress)
        except GeometryRefused as refusal:
            refusals.append(replace(candidate, lattice=None, refusal=refusal))
            candidates.remove(candidate)
    raise _with_report(_telling(refusals), [*refusals, *candidates], intake, preference)


def assess(
    study: DeidentifiedStudy,
    *,
    series_uid: str | None = None,
    preference: SeriesPreference | None = None,
    limits: GeometryLimits | None = None,
    progress: Progress = silent,
) -> GeometryReport:
    """Return how `make_volume` would end, refusals included; it never raises one."""
    try:
        volume = make_volume(
            study, series_uid=series_uid, preference=preference, limits=limits, progress=progress
        )
    except GeometryRefused as refusal:
        if refusal.report is None:
            raise
        return refusal.report
    return volume.report


def _candidates(
    intake: Intake, series_uid: str | None, preference: SeriesPreference, limits: GeometryLimits
) -> list[Candidate]:
    if series_uid is not None and series_uid not in {series.series_uid for series in intake.series}:
        there = [_untouched(series, "another series was asked for") for series in intake.series]
        raise _with_report(refused("NO_SUCH_SERIES"), there, intake, preference)
    if not any(series.frames for series in intake.series) and not any(s.broken for s in intake.series):
        raise _with_report(refused(_empty_reason(intake)), [], intake, preference)
    found = []
    for series in intake.series:
        if series_uid not in (None, series.series_uid):
            found.append(_untouched(series, "another series was asked for"))
        elif series_uid is None and series.frames and series.modality != preference.modality:
            found.append(_untouched(series, f"is {series.modality}, not {preference.modality}"))
        else:
            found += candidates_of(series, limits, _hold_same)
    return found


def _empty_reason(intake: Intake) -> str:
    return "UNREADABLE" if any("damaged" in note for note in intake.notes) else "NO_IMAGES"


def _untouched(series: SeriesFiles, why: str) -> Candidate:
    return Candidate(series.series_uid, series.modality, series.files, None, None, aside=why)


def _hold_same(one: Frame, other: Frame) -> bool:
    """Return whether two frames hold the same densities."""
    reader, is_ct = PixelReader(), one.modality == "CT"
    first, second = (physical(reader.read(frame.layout), frame, is_ct=is_ct)[0] for frame in (one, other))
    return np.array_equal(first, second)


def _build(
    candidate: Candidate,
    candidates: Sequence[Candidate],
    intake: Intake,
    preference: SeriesPreference,
    progress: Progress,
) -> Volume:
    if candidate.refusal is not None or candidate.stack is None or candidate.lattice is None:
        raise candidate.refusal or refused("NO_IMAGES")
    frames, lattice = candidate.stack.frames, candidate.lattice
    is_ct = candidate.modality == "CT"
    check_rescale(frames, is_ct=is_ct)
    voxels, remarks = fill(
        frames,
        lattice,
        is_ct=is_ct,
        progress=lambda done, figure: progress(_HEADERS + (1 - _HEADERS) * done, figure),
    )
    report = _report(candidate, candidates, remarks, intake, preference)
    return _volume(voxels, lattice, candidate, report)


def _volume(voxels: NDArray[Any], lattice: Lattice, candidate: Candidate, report: GeometryReport) -> Volume:
    contrasts = {frame.contrast for frame in candidate.stack.frames} if candidate.stack else {"unknown"}
    contrast = contrasts.pop() if len(contrasts) == 1 else "unknown"
    shows_face = candidate.stack is not None and any(frame.shows_face for frame in candidate.stack.frames)
    unit = "HU" if candidate.modality == "CT" else ""
    return Volume(voxels, lattice.grid, candidate.modality, unit, contrast, report, shows_face)


def _report(
    chosen: Candidate,
    candidates: Sequence[Candidate],
    remarks: Remarks,
    intake: Intake,
    preference: SeriesPreference,
) -> GeometryReport:
    lattice, stack = chosen.lattice, chosen.stack
    assert lattice is not None
    assert stack is not None
    others = [each for each in candidates if each is not chosen]
    warnings = (
        *stack.notes, *lattice.notes, *remarks.sentences(), *_header_notes(stack), *intake.notes,
        *_series_notes(chosen, others, intake),
    )  # fmt: skip
    return GeometryReport(
        outcome=lattice.outcome,
        reason=lattice.reason,
        explanation=_explanation(lattice),
        max_displacement_mm=round(lattice.max_displacement_mm, 3),
        series=summary(chosen, is_chosen=True, why=why_chosen(chosen, candidates, preference)),
        others=tuple(
            summary(each, is_chosen=False, why=why_not(each, chosen, candidates, preference))
            for each in others
        ),
        warnings=warnings,
    )


def _explanation(lattice: Lattice) -> str:
    meaning = REASONS[lattice.reason].meaning
    if lattice.outcome is Outcome.CORRECT:
        return meaning
    return (
        f"{meaning} {lattice.detail} Resampled with linear interpolation to a regular grid; "
        f"the largest displacement undone is {lattice.max_displacement_mm:.1f} mm."
    )


def _header_notes(stack: Stack) -> tuple[str, ...]:
    frames = stack.frames
    told = (
        (any(f.is_lossy for f in frames), "The pixels were compressed with loss."),
        (any("DERIVED" in f.image_type for f in frames), "The slices are derived, not original."),
        (
            any(f.layout.photometric == "MONOCHROME1" for f in frames),
            "MONOCHROME1: densities are not inverted.",
        ),
    )
    return tuple(sentence for is_true, sentence in told if is_true)


def _series_notes(chosen: Candidate, others: Sequence[Candidate], intake: Intake) -> tuple[str, ...]:
    notes = []
    held = next((s.held for s in intake.series if s.series_uid == chosen.series_uid), 0)
    if held:
        notes.append(f"{held} files of the series were held back by de-identification.")
    for each in others:
        if each.refusal is not None and each.stack is not None and len(each.stack.frames) > FEWEST_SLICES:
            notes.append(f"Another stack of {each.instances} slices was refused: {each.refusal.reason}.")
    return tuple(notes)


def _telling(refusals: Sequence[Candidate]) -> GeometryRefused:
    """Return the refusal that tells most: that of the best slices, before that of pictures and localizers."""
    told = [each.refusal for each in refusals if each.refusal is not None]
    slices = [refusal for refusal in told if refusal.reason not in ("NOT_SLICES", "LOCALIZER_ONLY")]
    return next(iter([*slices, *told]), refused("WRONG_MODALITY"))


def _with_report(
    refusal: GeometryRefused, candidates: Sequence[Candidate], intake: Intake, preference: SeriesPreference
) -> GeometryRefused:
    others = tuple(
        summary(each, is_chosen=False, why=why_not(each, None, candidates, preference)) for each in candidates
    )
    report = GeometryReport(
        outcome=Outcome.REFUSED,
        reason=refusal.reason,
        explanation=refusal.message,
        mend=refusal.mend,
        others=others,
        warnings=intake.notes,
    )
    return GeometryRefused(refusal.message, reason=refusal.reason, mend=refusal.mend, report=report)
