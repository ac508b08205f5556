"""Where the tip shall come to lie: a point given, or a place in a structure found on one side."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medviz.core.anatomy import BY_LABEL, structure
from medviz.core.errors import PlanInvalid, Uncertain
from medviz.core.plan import PlanDocument
from medviz.core.segmentation import Segmentation
from medviz.core.space import FloatArray, Grid
from pipelines.planning.headframe import HeadFrame
from pipelines.planning.request import Request

_HORN_DEPTH_MM = 25.0
_LEAST_TARGET_ML = 0.3
_TIE_MM = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A target: its structure, side, the chosen point, and other points as good (for a search of targets).

    `margins_mm` is how far each point of `points_mm` lies from the structure's wall.
    """

    structure: str
    side: str
    point_mm: FloatArray
    points_mm: FloatArray
    margins_mm: FloatArray


def find_target(
    request: Request, document: PlanDocument, segmentation: Segmentation, frame: HeadFrame
) -> Target:
    """Return the target that a plan asks for.

    Raises
    ------
    PlanInvalid
        If a given point lies outside the image or the brain, or in another structure or side than written.
    Uncertain
        If the structure is missing, unsure, or too small on that side.
    """
    if request.target_mm is not None:
        return _given_target(request, document, segmentation, frame)
    _refuse_unreliable(request, segmentation)
    side = request.target_side or request.entry_side or _side_of_entry(request, frame) or "right"
    points, margins = _side_points(request.structure, side, segmentation, frame)
    if len(points) * segmentation.grid.voxel_ml < _LEAST_TARGET_ML:
        title = structure(request.structure).title
        mend = "Choose the other side, or give target.point_mm in the plan."
        raise Uncertain(
            f"The {side} part of the {title} is too small to aim at.", reason="TARGET_TOO_SMALL", mend=mend
        )
    chosen = _in_part(request.part, frame.own(points))
    points, margins = points[chosen], margins[chosen]
    return Target(request.structure, side, _best_point(request.part, points, margins), points, margins)


def in_turn(target: Target, *, most: int = 4, apart_mm: float = 4.0) -> list[Target]:
    """Return the target and up to `most` - 1 others in its part, apart from each other, best margin first."""
    found = [target]
    for index in np.argsort(-target.margins_mm, kind="stable"):
        if len(found) == most or target.margins_mm[index] < 0.6 * target.margins_mm.max():
            break
        point = target.points_mm[index]
        if min(float(np.linalg.norm(point - other.point_mm)) for other in found) >= apart_mm:
            found.append(replace(target, point_mm=point))
    return found


def is_inside(grid: Grid, point_mm: FloatArray) -> bool:
    """Return whether a point lies within the image."""
    index = grid.indices(np.asarray(point_mm)[None])[0]
    return bool((index >= -0.5).all() and (index <= np.array(grid.shape) - 0.5).all())


def structure_at(segmentation: Segmentation, point_mm: FloatArray) -> str:
    """Return the structure that holds a point of the image; empty for background."""
    index = np.rint(segmentation.grid.indices(np.asarray(point_mm)[None])[0]).astype(int)
    k, r, c = np.clip(index, 0, np.array(segmentation.grid.shape) - 1)
    found = BY_LABEL.get(int(segmentation.labels[k, r, c]))
    return found.name if found else ""


def line_of_key(document: PlanDocument, key: str) -> int:
    """Return the line of a key of the plan document; 0 when the document leaves it out."""
    return document.lines.get(key, 0)


def _given_target(
    request: Request, document: PlanDocument, segmentation: Segmentation, frame: HeadFrame
) -> Target:
    line = line_of_key(document, "target.point_mm")
    point = np.asarray(request.target_mm, dtype=np.float64)
    if not is_inside(segmentation.grid, point):
        mend = "Points are LPS millimetres in the frame of this series."
        raise PlanInvalid("the target lies outside the image.", line=line, reason="TARGET_OUTSIDE", mend=mend)
    found = structure_at(segmentation, point)
    if found not in (*structure("brain").members, "csf", "tumour"):
        place = structure(found).title if found else "no structure"
        text = f"the target lies in {place}, not in the brain."
        raise PlanInvalid(
            text, line=line, reason="TARGET_OUTSIDE_BRAIN", mend="Check the point's signs: LPS."
        )
    if "target.structure" in document.lines and found != request.structure:
        wanted = structure(request.structure).title
        text = f"the target lies in the {structure(found).title}, not in the {wanted}."
        mend = "Correct the point, or the structure."
        raise PlanInvalid(text, line=line, reason="TARGET_IN_OTHER_STRUCTURE", mend=mend)
    side = "left" if frame.own(point[None])[0, 0] > 0 else "right"
    if request.target_side and request.target_side != side:
        text = f"the target lies on the patient's {side}, but the side is written as {request.target_side}."
        raise PlanInvalid(
            text, line=line, reason="TARGET_ON_OTHER_SIDE", mend="x grows to the patient's left."
        )
    margin = margin_at(segmentation, found, point)
    return Target(found, side, point, point[None], np.array([margin]))


def _refuse_unreliable(request: Request, segmentation: Segmentation) -> None:
    name = request.structure
    found = [item for item in segmentation.structures if item.name == name]
    title = structure(name).title
    mend = "Look at the segmentation; give target.point_mm in the plan, or write target.accept_unsure = true."
    if not found:
        raise Uncertain(f"The {title} were not found in this study.", reason="TARGET_MISSING", mend=mend)
    if not found[0].is_reliable and not request.accepts_unsure:
        text = f"The segmentation of the {title} is unsure, so no target is proposed in it."
        raise Uncertain(text, reason="TARGET_UNRELIABLE", mend=mend)


def _side_of_entry(request: Request, frame: HeadFrame) -> str:
    if request.entry_mm is None:
        return ""
    return "left" if frame.own(np.asarray(request.entry_mm)[None])[0, 0] > 0 else "right"


def _side_points(
    name: str, side: str, segmentation: Segmentation, frame: HeadFrame
) -> tuple[FloatArray, FloatArray]:
    """Return the voxel centres of a structure on one side (LPS mm), and their distance from its wall (mm)."""
    mask = segmentation.mask(name)
    box = ndimage.find_objects(mask.view(np.uint8))[0]
    low = np.array([part.start for part in box])
    local = np.pad(mask[box], 1)
    indices = np.argwhere(local)
    points = segmentation.grid.points(indices - 1 + low)
    own = frame.own(points)[:, 0] * (1 if side == "left" else -1)
    keep = own > 0
    local[tuple(indices[~keep].T)] = False
    spacing = np.asarray(segmentation.grid.spacing_mm)
    depth = ndimage.distance_transform_edt(local, sampling=spacing)
    return points[keep], depth[tuple(indices[keep].T)] - float(spacing.mean()) / 2


def _in_part(part: str, own: FloatArray) -> NDArray[np.int_]:
    if part != "frontal horn":
        return np.arange(len(own))
    front = float(np.quantile(own[:, 1], 0.005))
    return np.flatnonzero(own[:, 1] <= front + _HORN_DEPTH_MM)


def _best_point(part: str, points: FloatArray, margins: FloatArray) -> FloatArray:
    """Return the centre (inside), or the point farthest from the wall; ties go to the middle of the ties."""
    if part == "centre":
        ties = np.flatnonzero(margins >= min(2.0, float(margins.max()) / 2))
        middle = points.mean(axis=0)
    else:
        ties = np.flatnonzero(margins >= margins.max() - _TIE_MM)
        middle = points[ties].mean(axis=0)
    best: FloatArray = points[ties[int(np.argmin(np.linalg.norm(points[ties] - middle, axis=1)))]]
    return best


def margin_at(segmentation: Segmentation, name: str, point_mm: FloatArray) -> float:
    """Return how far a point inside a structure lies from its wall, in mm."""
    mask = segmentation.mask(name)
    box = ndimage.find_objects(mask.view(np.uint8))[0]
    low = np.array([part.start for part in box])
    spacing = np.asarray(segmentation.grid.spacing_mm)
    depth = ndimage.distance_transform_edt(np.pad(mask[box], 1), sampling=spacing)
    index = segmentation.grid.indices(point_mm[None])[0] - low + 1
    return float(ndimage.map_coordinates(depth, index[:, None], order=1)[0] - spacing.mean() / 2)
