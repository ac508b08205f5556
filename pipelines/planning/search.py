"""The search: candidates, the constraints that refuse them, the score that orders the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medviz.core.anatomy import structure
from medviz.core.errors import Uncertain
from medviz.core.plan import Search, Trajectory
from medviz.core.progress import Progress
from medviz.core.segmentation import Segmentation
from medviz.core.space import FloatArray
from medviz.core.volume import Volume
from pipelines.planning import rays as way
from pipelines.planning.headframe import REGION_DEG, VAULT_MARGIN_MM, HeadFrame
from pipelines.planning.path import Ruler
from pipelines.planning.rays import Mask, Rays
from pipelines.planning.request import Request
from pipelines.planning.target import Target

_SCOUTS = 4000
_CONE_MARGIN_RAD = np.radians(4.0)
_MEASURED_AT_MOST = 200
_ALIKE_MM = 1.5
_CLEAR_ENOUGH_MM = 10.0
_IDEAL_FRONTAL = (48.0, 27.5)  # sagittal degrees, mm from the midline: Kocher's point
_MIDLINE_SLACK_MM = 3.0

_PLACES = frozenset(
    {"image border", "no skull on the way", "other side", "entry region", "distance from midline"}
)
_MENDS = {
    "image border": "Choose a series that shows the whole head.",
    "no skull on the way": "Check the segmentation of the skull.",
    "other side": "Change entry.side.",
    "face, ears or neck": "Choose another entry region.",
    "entry region": "Change entry.region.",
    "distance from midline": "Widen entry.midline_mm.",
    "crosses the midline": "Choose a target on the side of the entry.",
    "length": "Raise limits.most_length_mm, or choose a nearer entry region.",
    "angle to skull": "Lower limits.least_angle_to_skull_deg.",
    "air cells": "Choose another entry region: these ways pass air in the bone.",
}


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """What the search looks at: image, labels, axes, ruler."""

    volume: Volume
    segmentation: Segmentation
    frame: HeadFrame
    ruler: Ruler


@dataclass(frozen=True, slots=True)
class Choice:
    """The trajectory chosen, the next best, and how the search went."""

    best: Trajectory
    alternatives: tuple[Trajectory, ...]
    search: Search


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """Candidates with, for each constraint in order, which it refuses, and a score (-inf when refused)."""

    rays: Rays
    refusals: dict[str, Mask]
    score: FloatArray

    @property
    def is_refused(self) -> Mask:
        refused: Mask = np.any(list(self.refusals.values()), axis=0)
        return refused


def search(field: Field, request: Request, target: Target, *, seed: int, progress: Progress) -> Choice:
    """Return the best trajectory and alternatives that lie well apart.

    Candidates are looked at on the voxels; the best of them are measured below the voxel and must pass the
    limits again.

    Raises
    ------
    Uncertain
        With reason ``NO_SAFE_TRAJECTORY`` when every candidate is refused.
    """
    progress(0.1, "candidates")
    rays = _candidates(field, request, target, seed)
    progress(0.4, f"{len(rays.targets_mm)} candidates")
    judged = _judged(field, request, target, rays, must_fit_region=request.entry_mm is None)
    progress(0.8, f"{int((~judged.is_refused).sum())} within the limits")
    chosen, failed = _measured(field, request, judged)
    if not chosen:
        raise _nothing_safe(judged, failed)
    return Choice(chosen[0], tuple(chosen[1:]), _counted(judged, failed))


def refusal_of(trajectory: Trajectory, request: Request) -> str:
    """Return the first limit that a measured trajectory breaks; empty when it keeps all."""
    limits = request.limits
    if trajectory.length_mm > limits.most_length_mm:
        return "length"
    if trajectory.angle_to_skull_deg < limits.least_angle_to_skull_deg:
        return "angle to skull"
    for clearance in trajectory.clearances:
        if clearance.distance_mm < limits.least_clearance_mm.get(clearance.structure, 0.0):
            return _clearance_name(clearance.structure)
    return ""


def mend_for(constraint: str) -> str:
    """Return what to change in the plan when a constraint refuses everything."""
    return _MENDS.get(
        constraint, "Lower limits.least_clearance_mm for it, or choose another entry or target."
    )


def _clearance_name(name: str) -> str:
    return f"clearance to the {structure(name).title}"


def _candidates(field: Field, request: Request, target: Target, seed: int) -> Rays:
    if request.entry_mm is not None:
        return _to_entry(field, request, target)
    axis, half_angle = _cone(field, request, target)
    outward = way.cap_directions(axis, half_angle, request.candidates, seed=seed)
    return way.cast(field.segmentation, np.broadcast_to(target.point_mm, outward.shape), outward)


def _to_entry(field: Field, request: Request, target: Target) -> Rays:
    depth = target.margins_mm >= target.margins_mm.max() / 2
    targets = target.points_mm[depth]
    targets = targets[:: max(1, len(targets) // request.candidates)]
    outward = np.asarray(request.entry_mm) - targets
    outward = outward / np.linalg.norm(outward, axis=1, keepdims=True)
    return way.cast(field.segmentation, targets, outward)


def _cone(field: Field, request: Request, target: Target) -> tuple[FloatArray, float]:
    """Return the axis and half angle of the cone that holds the asked region, seen from the target."""
    scouts = way.sphere_directions(_SCOUTS * 2)
    rays = way.cast(field.segmentation, np.broadcast_to(target.point_mm, scouts.shape), scouts)
    refused = np.any(list(_places(field, request, target, rays, must_fit_region=True).values()), axis=0)
    if refused.all():
        counts = {
            name: int(mask.sum())
            for name, mask in _places(field, request, target, rays, must_fit_region=True).items()
        }
        worst = max(counts, key=lambda name: counts[name])
        text = f"No way from the target reaches the asked entry region; most fail for: {worst}."
        raise Uncertain(text, reason="NO_SAFE_TRAJECTORY", mend=mend_for(worst))
    fitting = scouts[~refused]
    axis = fitting.mean(axis=0)
    axis /= np.linalg.norm(axis)
    widest = float(np.arccos(np.clip((fitting @ axis).min(), -1, 1)))
    return axis, min(np.pi, widest + _CONE_MARGIN_RAD)


def _places(
    field: Field, request: Request, target: Target, rays: Rays, *, must_fit_region: bool
) -> dict[str, Mask]:
    """Return, for each constraint on the place of the entry, which ways it refuses."""
    frame, points = field.frame, rays.skull_points_mm
    own = frame.own(points)
    sign = 1.0 if _entry_side(request, target) == "left" else -1.0
    lateral = own[:, 0] * sign
    low, high = REGION_DEG[request.region]
    angle = frame.sagittal_deg(points)
    target_lateral = frame.own(rays.targets_mm)[:, 0] * sign
    least, most = request.limits.midline_mm
    nothing = np.zeros(len(points), dtype=np.bool_)
    return {
        "image border": ~rays.ends_in_image,
        "no skull on the way": ~rays.meets_skull,
        "other side": lateral < 0,
        "face, ears or neck": frame.height_mm(points) < VAULT_MARGIN_MM,
        "entry region": (angle < low) | (angle > high) if must_fit_region else nothing,
        "distance from midline": (lateral < least) | (lateral > most) if must_fit_region else nothing,
        "crosses the midline": target_lateral < -_MIDLINE_SLACK_MM,
    }


def _entry_side(request: Request, target: Target) -> str:
    return request.entry_side or target.side


def _judged(field: Field, request: Request, target: Target, rays: Rays, *, must_fit_region: bool) -> _Judged:
    refusals = _places(field, request, target, rays, must_fit_region=must_fit_region)
    angle = way.angles_to_skull_deg(field.segmentation, rays)
    refusals["length"] = rays.length_mm > request.limits.most_length_mm
    refusals["angle to skull"] = angle < request.limits.least_angle_to_skull_deg
    refusals["air cells"] = way.meets_air(field.volume, rays)
    slack = _least_slack(field, request, rays, refusals)
    score = _score(field, request, rays, angle, slack)
    score[np.any(list(refusals.values()), axis=0)] = -np.inf
    return _Judged(rays, refusals, score)


def _least_slack(field: Field, request: Request, rays: Rays, refusals: dict[str, Mask]) -> FloatArray:
    """Add a refusal per structure at risk, and return each way's least distance beyond its limit (mm)."""
    open_ways = np.flatnonzero(~np.any(list(refusals.values()), axis=0))
    slack = np.full(len(rays.targets_mm), _CLEAR_ENOUGH_MM)
    if not len(open_ways):
        return slack
    kept = _subset(rays, open_ways)
    for name in field.ruler.boundaries:
        distance = (
            way.least_distance_mm(way.distance_field(field.segmentation, name), kept) - request.radius_mm
        )
        beyond = distance - request.limits.least_clearance_mm[name]
        refused = np.zeros(len(slack), dtype=np.bool_)
        refused[open_ways] = beyond < 0
        refusals[_clearance_name(name)] = refused
        slack[open_ways] = np.minimum(slack[open_ways], beyond)
    return slack


def _subset(rays: Rays, index: NDArray[np.int_]) -> Rays:
    return Rays(
        rays.targets_mm[index],
        rays.outward[index],
        rays.length_mm[index],
        rays.skull_mm[index],
        rays.meets_skull[index],
        rays.ends_in_image[index],
    )


def _score(
    field: Field, request: Request, rays: Rays, angle_deg: FloatArray, slack_mm: FloatArray
) -> FloatArray:
    """Return a score from 0 to 100: clearance 40, angle 25, shortness 20, nearness to the usual entry 15."""
    limits = request.limits
    clear = np.clip(slack_mm / _CLEAR_ENOUGH_MM, 0, 1)
    steep = (angle_deg - limits.least_angle_to_skull_deg) / max(90 - limits.least_angle_to_skull_deg, 1e-6)
    short = 1 - rays.length_mm / limits.most_length_mm
    usual = np.full(len(short), 0.5)
    if request.region == "frontal":
        points = rays.skull_points_mm
        away = np.abs(field.frame.sagittal_deg(points) - _IDEAL_FRONTAL[0]) / 16.0
        aside = np.abs(np.abs(field.frame.own(points)[:, 0]) - _IDEAL_FRONTAL[1]) / 12.5
        usual = np.clip(1 - np.maximum(away, aside), 0, 1)
    result: FloatArray = 40 * clear + 25 * np.clip(steep, 0, 1) + 20 * np.clip(short, 0, 1) + 15 * usual
    return result


def _measured(field: Field, request: Request, judged: _Judged) -> tuple[list[Trajectory], list[str]]:
    """Return the best ways, measured and well apart, and the limits that others then broke."""
    score = judged.score.copy()
    skulls = judged.rays.skull_points_mm
    chosen: list[Trajectory] = []
    failed: list[str] = []
    for _ in range(_MEASURED_AT_MOST):
        index = int(np.argmax(score))
        if not np.isfinite(score[index]) or len(chosen) > request.alternatives:
            break
        score[index] = -np.inf
        trajectory, refusal = _trajectory(field, request, judged, index)
        if trajectory is None:
            failed.append(refusal)
            score[_like(judged.rays, index)] = -np.inf
            continue
        chosen.append(trajectory)
        score[np.linalg.norm(skulls - skulls[index], axis=1) < request.apart_mm] = -np.inf
    return chosen, failed


def _like(rays: Rays, index: int) -> Mask:
    """Return the ways so near to one that broke a limit, at both ends, that they hardly differ from it."""
    skulls = rays.skull_points_mm
    at_skull = np.linalg.norm(skulls - skulls[index], axis=1)
    at_target = np.linalg.norm(rays.targets_mm - rays.targets_mm[index], axis=1)
    near: Mask = np.maximum(at_skull, at_target) < _ALIKE_MM
    return near


def _trajectory(field: Field, request: Request, judged: _Judged, index: int) -> tuple[Trajectory | None, str]:
    profile = field.ruler.profile(judged.rays.targets_mm[index], judged.rays.outward[index])
    if profile is None:
        return None, "image border"
    measured = field.ruler.trajectory(profile, radius_mm=request.radius_mm)
    refusal = refusal_of(measured, request)
    if refusal:
        return None, refusal
    return replace(measured, score=float(judged.score[index])), ""


def _counted(judged: _Judged, failed: Sequence[str]) -> Search:
    """Return how many candidates each constraint refused; each counts once, under the first."""
    undecided = np.ones(len(judged.score), dtype=np.bool_)
    refused = {}
    for name, mask in judged.refusals.items():
        refused[name] = int((mask & undecided).sum())
        undecided &= ~mask
    for name in failed:
        refused[name] = refused.get(name, 0) + 1
    feasible = int(undecided.sum()) - len(failed)
    return Search(len(judged.score), {name: count for name, count in refused.items() if count}, feasible)


def _nothing_safe(judged: _Judged, failed: Sequence[str]) -> Uncertain:
    """Return the error that names the limit that refused the most of the ways that had a good entry."""
    refused = _counted(judged, failed).refused
    beyond_place = {name: count for name, count in refused.items() if name not in _PLACES}
    counts = beyond_place or refused
    worst = max(counts, key=lambda name: counts[name])
    text = (
        f"No safe trajectory: all {len(judged.score)} candidates were refused. "
        f"The limit '{worst}' refused {counts[worst]} of them."
    )
    return Uncertain(text, reason="NO_SAFE_TRAJECTORY", mend=mend_for(worst))
