"""A needle operation is planned: target, search, measurement, and what the study cannot show."""

from __future__ import annotations

import numpy as np

from medviz.core.anatomy import structure
from medviz.core.errors import FrameMismatch, PlanInvalid, Uncertain
from medviz.core.plan import PlanDocument, PlannedOperation, Trajectory, Unknown
from medviz.core.progress import Progress, silent
from medviz.core.segmentation import Segmentation
from medviz.core.volume import Volume
from pipelines.planning.headframe import head_frame
from pipelines.planning.path import make_ruler
from pipelines.planning.request import Request, joined, request_of
from pipelines.planning.search import Choice, Field, search
from pipelines.planning.target import Target, find_target, in_turn, is_inside, line_of_key

_MOST_FROM_SKIN_MM = 15.0


def plan_needle(
    document: PlanDocument,
    volume: Volume,
    segmentation: Segmentation,
    *,
    seed: int,
    progress: Progress = silent,
) -> PlannedOperation:
    """Return the needle operation that a plan asks for; target and entry are proposed when not given.

    Raises
    ------
    PlanInvalid
        If a point of the plan lies where it cannot (names the line).
    Uncertain
        If the target is missing or unsure, the midline cannot be found, or no trajectory keeps every limit.
    FrameMismatch
        If volume and segmentation do not share their grid.
    """
    if not volume.grid.is_same_as(segmentation.grid):
        raise FrameMismatch(
            "Volume and segmentation do not share one grid.", mend="Segment this volume again."
        )
    request = request_of(document)
    progress(0.02, "midline")
    frame = head_frame(segmentation)
    _check_entry(request, document, segmentation)
    target = find_target(request, document, segmentation, frame)
    at_risk = [name for name in request.limits.least_clearance_mm if name != target.structure]
    field = Field(volume, segmentation, frame, make_ruler(segmentation, at_risk))
    chosen_seed = request.seed if request.seed is not None else seed
    target, choice = _searched(field, request, target, chosen_seed, progress)
    _check_given_entry(choice.best, request, document)
    progress(1.0, "planned")
    return _operation(document, request, target, field, choice)


def _searched(
    field: Field, request: Request, target: Target, seed: int, progress: Progress
) -> tuple[Target, Choice]:
    """Return the first target of its part that can be reached safely, and the way to it."""
    is_fixed = request.target_mm is not None or request.entry_mm is not None
    refusals: list[Uncertain] = []
    for candidate in [target] if is_fixed else in_turn(target):
        try:
            return candidate, search(field, request, candidate, seed=seed, progress=progress)
        except Uncertain as refusal:
            refusals.append(refusal)
    raise refusals[0]


def _operation(
    document: PlanDocument, request: Request, target: Target, field: Field, choice: Choice
) -> PlannedOperation:
    own = field.frame.own(np.asarray(choice.best.entry_mm)[None])[0]
    was_given = request.target_mm is not None and request.entry_mm is not None
    return PlannedOperation(
        document=document,
        target_structure=target.structure,
        side="left" if own[0] > 0 else "right",
        needle_radius_mm=request.radius_mm,
        trajectory=choice.best,
        alternatives=() if request.entry_mm is not None else choice.alternatives,
        search=None if was_given else choice.search,
        unknowns=unknowns_of(field.volume, field.segmentation, request, target.structure),
    )


def unknowns_of(
    volume: Volume, segmentation: Segmentation, request: Request, target_structure: str
) -> tuple[Unknown, ...]:
    """Return what this study cannot show: vessels, structures not found or unsure, the shift of the brain."""
    present = {item.name: item for item in segmentation.structures}
    at_risk = [name for name in request.limits.least_clearance_mm if name != target_structure]
    missing = [structure(name).title for name in at_risk if name not in present]
    unsure = [
        structure(name).title
        for name in (target_structure, *at_risk)
        if name in present and not present[name].is_reliable
    ]
    found = [Unknown("blood vessels", _vessels(volume))]
    if missing:
        found.append(Unknown("structures not found", _missing(missing)))
    if unsure:
        found.append(Unknown("unsure outlines", _unsure(unsure)))
    found.append(Unknown("brain shift", "How far the brain shifts once the skull is open is unknown."))
    return tuple(found)


def _missing(titles: list[str]) -> str:
    named = joined([f"no {title}" for title in titles])
    distances = "that distance is" if len(titles) == 1 else "those distances are"
    return f"The network found {named}, so {distances} unknown."


def _unsure(titles: list[str]) -> str:
    if len(titles) == 1:
        return f"The outline of the {titles[0]} is unsure, so its true edge is unknown."
    return f"The outlines of the {joined(titles)} are unsure, so their true edges are unknown."


def _vessels(volume: Volume) -> str:
    reason = {
        "yes": "This release does not trace vessels, so the distance to blood vessels is unknown.",
        "no": "No contrast medium was given, so the distance to blood vessels is unknown.",
        "unknown": "No contrast medium is recorded, so the distance to blood vessels is unknown.",
    }
    return reason[volume.contrast]


def _check_entry(request: Request, document: PlanDocument, segmentation: Segmentation) -> None:
    if request.entry_mm is not None and not is_inside(segmentation.grid, np.asarray(request.entry_mm)):
        line = line_of_key(document, "entry.point_mm")
        mend = "Points are LPS millimetres in the frame of this series."
        raise PlanInvalid("the entry lies outside the image.", line=line, reason="ENTRY_OUTSIDE", mend=mend)


def _check_given_entry(best: Trajectory, request: Request, document: PlanDocument) -> None:
    if request.entry_mm is None:
        return
    gap_mm = float(np.linalg.norm(np.subtract(best.entry_mm, request.entry_mm)))
    if gap_mm > _MOST_FROM_SKIN_MM:
        line = line_of_key(document, "entry.point_mm")
        text = f"the entry lies {gap_mm:.0f} mm from the skin."
        raise PlanInvalid(text, line=line, reason="ENTRY_OFF_SKIN", mend="Give a point on the skin.")
