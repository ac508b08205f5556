"""Takes the face off a head: nose, lips, eyes' skin and cheeks below the brow become air.

What is left in front is one smooth surface (a quadratic in height and side) that follows no feature, behind
which nothing is changed, with bare bone where bone stands further forward. Skull and brain keep every voxel.
Head and trunk are told apart from the voxels; where that fails, the case stops (PS3.15 E.3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anonymize.facecut import FaceCut, carved
from anonymize.head import (
    AIR_HU,
    Head,
    ball,
    enclosed,
    fills_the_view,
    find_body,
    find_head,
    in_large_pieces,
    is_wide_throughout,
    largest,
    shows_trunk_only,
)
from anonymize.slices import Coarse, Plane, Stack
from medviz.core.errors import Uncertain
from medviz.core.space import Grid
from medviz.core.volume import Volume

LEAST_DEPTH_MM = 6.0
_BROW_ABOVE_FLOOR_MM = 8.0
_FRONT_OF_BRAIN_MM = 22.0
_CHEEK_BEHIND_POLE_MM = 50.0
_TAPER_MM = 8.0
_LEAST_FACE_MM = 12.0
_LEAST_HEIGHT_MM = 20.0
"""A slab that is lower than this shows no face that could be recognised."""
_LEAST_REMOVED_MM, _MOST_BLOCKED_SHARE = 4.0, 0.1
_SMOOTH_MM = 2.0
_LEAST_SMOOTH_SHARE = 0.85
"""Share of the skin on one smooth surface: 0.43 on a real face, 0.97 after the cut."""
_LEAST_AIRWAY_ML = 0.3
_MOST_ABOVE_BRAIN_MM, _MOST_TURNED_DEG, _BEHIND_MIDDLE_MM = 45.0, 42.0, 15.0
_MR_BRAIN_ML = (500.0, 2300.0)
_MR_RIM_MM, _MR_HOLLOW_MM = 10.0, 12.0
_LEAST_PIECE_ML = 10.0
"""Scalp and brain are apart where the skull, dark in MR, is shut: every piece of this size is body."""
_EARS_MM = (55.0, 135.0)
"""Ears lie this far behind the frontal pole of the brain."""

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class BrainFinder(Protocol):
    """Finds the brain in a volume whose unit says nothing about tissue (MR)."""

    def find(
        self, voxels: NDArray[np.float32], spacing_mm: tuple[float, float, float]
    ) -> NDArray[np.bool_] | None:
        """Return the brain, shape of `voxels` (up, back, left in LPS), or None when there is none."""


class Finding(NamedTuple):
    """What a volume shows.

    Parameters
    ----------
    cuts : tuple of FaceCut
        What takes the face away; empty when none is in view.
    told : str
        One sentence for an officer, without a value of the patient.
    moved_mm : float
        Median distance from the old skin to the new surface, mm.
    is_done : bool
        Whether the face had been taken off before; nothing is cut then.
    brain : ndarray of bool or None
        The brain on the coarse volume.
    """

    cuts: tuple[FaceCut, ...]
    told: str
    moved_mm: float = 0.0
    is_done: bool = False
    brain: Mask | None = None


@dataclass(frozen=True, slots=True)
class DefaceReport:
    """What was done to the face.

    Parameters
    ----------
    face_in_view : bool
        Whether the volume shows a face.
    removed_ml : float
        Soft tissue turned into air, in millilitres.
    plane : str
        Where the cut lies, in words, LPS mm.
    moved_mm : float
        Median distance from the old skin to the new surface in the face, mm; 0 when none was in view.
    voxels_changed : int
        How many voxels differ from those before.
    brain_voxels_changed : int
        How many voxels inside the skull differ; always 0.
    """

    face_in_view: bool
    removed_ml: float
    plane: str
    moved_mm: float
    voxels_changed: int = 0
    brain_voxels_changed: int = 0


def deface(
    volume: Volume, *, brain: BrainFinder | None = None, removes_ears: bool = False
) -> tuple[Volume, DefaceReport]:
    """Return the volume without its face, and what was done; a volume without one comes back unchanged.

    Parameters
    ----------
    volume : Volume
        CT in HU or MR, on a grid in LPS mm.
    brain : BrainFinder, optional
        Finds the brain in MR; without it an MR that may show a face stops.

    Raises
    ------
    Uncertain
        ``FACE_NOT_REMOVED`` when a face may be in view and could not surely be removed.
    """
    planes, is_hu = planes_of(volume.grid), volume.modality == "CT"
    stack = Stack(planes, is_hu=is_hu)
    for index in stack.wanted:
        stack.add(int(index), planes[index], volume.voxels[index])
    coarse = stack.coarse()
    finding = find_face(coarse, is_hu=is_hu, brain=brain, removes_ears=removes_ears)
    if not finding.cuts:
        return volume, DefaceReport(False, 0.0, finding.told, 0.0)
    return _carve(volume, planes, finding, background_of(coarse, is_hu=is_hu))


def planes_of(grid: Grid) -> list[Plane]:
    """Return the slices of a grid as planes."""
    affine = grid.affine
    slices, rows, columns = grid.shape
    return [
        Plane(
            affine[:3, 3] + index * affine[:3, 0], affine[:3, 1], affine[:3, 2], (rows, columns), 1.0, 0.0, 0
        )
        for index in range(slices)
    ]


def background_of(coarse: Coarse, *, is_hu: bool) -> float:
    """Return the level of air: -1000 HU, or in MR the median of what lies outside the body."""
    if is_hu:
        return float(AIR_HU)
    outside = coarse.seen & ~_body(coarse, is_hu=False)
    return float(np.median(coarse.values[outside])) if outside.any() else 0.0


def find_face(
    coarse: Coarse, *, is_hu: bool, brain: BrainFinder | None = None, removes_ears: bool = False
) -> Finding:
    """Return what takes the face of a volume away, or why there is none in view.

    Parameters
    ----------
    coarse : Coarse
        CT in HU when `is_hu`, else MR.
    brain : BrainFinder, optional
        For MR.

    Raises
    ------
    Uncertain
        ``FACE_NOT_REMOVED`` when a face may be in view and could not surely be removed.
    """
    body = _body(coarse, is_hu=is_hu)
    if not body.any():
        return Finding((), "no face in view: nothing but background")
    if height_mm(coarse) < _LEAST_HEIGHT_MM:
        return Finding((), "no face in view: the slab is too thin to show one")
    if fills_the_view(body, coarse.seen):
        return Finding((), "no face in view: no skin is seen from the front")
    head = find_head(coarse.values, coarse.spacing_mm) if is_hu else _head_of_mr(coarse, body, brain)
    if head is None:
        return _without_head(coarse, body, is_hu=is_hu, is_sure=is_hu or brain is not None)
    _check_way_round(coarse, head, is_hu=is_hu)
    return _plan(coarse, head, removes_ears=removes_ears, is_hu=is_hu)


def _check_way_round(coarse: Coarse, head: Head, *, is_hu: bool) -> None:
    """Refuse a head whose geometry is wrong (a patient position entered wrongly) or that is turned aside.

    Above the brain is only skull and scalp; the airway lies in front of the brain's middle, not behind it;
    the brain is longer from front to back than it is wide.
    """
    step, heights = coarse.step_mm, np.flatnonzero(head.brain.any(axis=(1, 2)))
    over = heights[-1] + round(_MOST_ABOVE_BRAIN_MM / step)
    if head.body[over:].sum() * coarse.voxel_ml > 50:
        raise not_removed("The head seems to stand upside down.")
    places = np.argwhere(head.brain)[:, 1:].astype(np.float64)
    spread = np.cov((places - places.mean(axis=0)).T)
    strength, directions = np.linalg.eigh(spread)
    turned_deg = float(np.degrees(np.arctan2(abs(directions[1, 1]), abs(directions[0, 1]))))
    if turned_deg > _MOST_TURNED_DEG and strength[1] > 1.2 * strength[0]:
        raise not_removed("The head is turned too far to the side.")
    airway = np.argwhere(_airway(coarse, head.body, is_hu=is_hu)[: heights[len(heights) // 2]])
    if (
        len(airway) * coarse.voxel_ml > 1
        and airway[:, 1].mean() > places[:, 0].mean() + _BEHIND_MIDDLE_MM / step
    ):
        raise not_removed("The head seems to lie the wrong way round.")


def height_mm(coarse: Coarse) -> float:
    """Return how far the slices reach along the body."""
    held = np.flatnonzero(coarse.seen.any(axis=(1, 2)))
    return float(held[-1] - held[0] + 1) * coarse.step_mm if held.size else 0.0


def _body(coarse: Coarse, *, is_hu: bool) -> Mask:
    if is_hu:
        return find_body(coarse.values)
    least = round(_LEAST_PIECE_ML / coarse.voxel_ml)
    return in_large_pieces(coarse.values > skin_level(coarse), least_voxels=least)


def skin_level(coarse: Coarse) -> float:
    """Return the level between background and body in MR: Otsu's threshold of the logarithm."""
    values = coarse.values[coarse.seen]
    top = float(np.percentile(values, 99.5)) if values.size else 0.0
    if top <= 0:
        return np.inf
    logs = np.log1p(np.clip(values / top, 0, 1) * 100)
    counts, edges = np.histogram(logs, bins=128)
    share = np.cumsum(counts) / counts.sum()
    means = np.cumsum(counts * edges[:-1]) / counts.sum()
    spread = (means[-1] * share - means) ** 2 / np.maximum(share * (1 - share), 1e-9)
    return float(np.expm1(edges[int(np.argmax(spread)) + 1]) / 100 * top)


def _without_head(coarse: Coarse, body: Mask, *, is_hu: bool, is_sure: bool) -> Finding:
    """Return why a volume without a brain shows no face."""
    spacing_mm = coarse.spacing_mm
    if is_hu and shows_trunk_only(coarse.values, coarse.seen, spacing_mm):
        return Finding((), "no face in view: trunk only")
    if not is_hu and is_wide_throughout(body, spacing_mm):
        return Finding((), "no face in view: trunk only")
    if is_sure:
        airway = _airway(coarse, body, is_hu=is_hu)
        if airway.sum() * coarse.voxel_ml < _LEAST_AIRWAY_ML:
            return Finding((), "no face in view: a part of the body without any airway")
    raise not_removed("The volume may show a part of a face.")


def _airway(coarse: Coarse, body: Mask, *, is_hu: bool) -> Mask:
    """Return the air that a body encloses; in MR, what is dark for more than 8 mm each way."""
    dark = coarse.values < (-300 if is_hu else skin_level(coarse))
    radius_mm = 0.0 if is_hu else 4.0
    return enclosed(body, dark & coarse.seen, coarse.spacing_mm, least_radius_mm=radius_mm)


def _head_of_mr(coarse: Coarse, body: Mask, finder: BrainFinder | None) -> Head | None:
    """Return the head of an MR volume; None when it holds no brain.

    Raises
    ------
    Uncertain
        When what was found cannot be a brain.
    """
    if finder is None:
        return None
    brain = finder.find(coarse.values, coarse.spacing_mm)
    if brain is None or not brain.any():
        return None
    filled = ndimage.binary_fill_holes(ndimage.binary_closing(body, ball(8.0, coarse.spacing_mm)))
    piece = largest(ndimage.binary_opening(brain & filled, ball(4.0, coarse.spacing_mm)))
    volume_ml = float(piece.sum()) * coarse.voxel_ml
    if not _MR_BRAIN_ML[0] <= volume_ml <= _MR_BRAIN_ML[1] or piece.sum() < 0.7 * brain.sum():
        raise not_removed("What was found in the head does not look like a brain.")
    nothing = np.zeros_like(body)
    return Head(body, nothing, piece, coarse.spacing_mm)


def not_removed(message: str) -> Uncertain:
    """Return the error for a face that may be in view."""
    return Uncertain(
        message,
        reason="FACE_NOT_REMOVED",
        mend="Use a series whose field of view ends above the brow or holds the whole head, or none of it.",
    )


def _plan(coarse: Coarse, head: Head, *, removes_ears: bool, is_hu: bool) -> Finding:
    """Return the surfaces to cut back to; no cuts when the volume ends above the face."""
    step = coarse.step_mm
    pole_mm = float(np.flatnonzero(head.brain.any(axis=(0, 2)))[0]) * step
    brow_mm = _brow(head, pole_mm)
    first = int(np.flatnonzero(coarse.seen.any(axis=(1, 2)))[0])
    above_view_mm = brow_mm - first * step
    if above_view_mm < _LEAST_FACE_MM:
        return Finding((), "no face in view: the head is in view above the brow only", brain=head.brain)
    skin_mm = _skin_depth(head.body, step)
    heights_mm = np.arange(skin_mm.shape[0])[:, None] * step
    region = np.isfinite(skin_mm) & (skin_mm < pole_mm + _CHEEK_BEHIND_POLE_MM) & (heights_mm < brow_mm)
    region = largest(region)
    if region.sum() * step**2 < 400:  # mm2: less than an eye
        return Finding((), "no face in view: nothing in front below the brow", brain=head.brain)
    bone_first = _first_is(head.bone, skin_mm, step)
    inner = ndimage.binary_erosion(region, iterations=round(_TAPER_MM * 1.25 / step))
    is_done = _is_smooth(skin_mm, inner & ~bone_first, step)
    depth_mm = skin_mm if is_done else _smooth_surface(skin_mm, region, step)
    cut = _cut_of(coarse, head, skin_mm, depth_mm, region, is_hu=is_hu)
    if not is_done:
        _check(cut, head, skin_mm)
    moved = float(np.median((cut.depth_mm - skin_mm)[region]))
    ears = _ears(coarse, head, brow_mm, pole_mm, is_hu=is_hu) if removes_ears else ()
    return Finding((cut, *ears), _told(above_view_mm, is_done, bool(ears), is_hu), moved, is_done, head.brain)


def _told(above_view_mm: float, is_done: bool, has_ears: bool, is_hu: bool) -> str:
    if is_done:
        return "the face had been removed before: the skin below the brow is one smooth surface"
    kept = "bone and the inside of the skull kept" if is_hu else "the brain kept"
    ears = "; ears removed" if has_ears else ""
    return (
        f"soft tissue removed below the brow, {above_view_mm:.0f} mm above the lowest slice, back to a "
        f"smooth surface that follows no feature; {kept}{ears}"
    )


def _brow(head: Head, pole_mm: float) -> float:
    """Return the brow's height above the lowest slice, mm: a little over the floor of the frontal lobes.

    The floor of the anterior fossa is the roof of the orbits; the brow lies a little above it.
    """
    up_mm, back_mm, _ = head.spacing_mm
    first = round(pole_mm / back_mm)
    front = head.brain[:, first : first + round(_FRONT_OF_BRAIN_MM / back_mm)]
    planes = front.sum(axis=(1, 2))
    floor = np.flatnonzero(planes > 0.1 * planes.max())[0]
    return float(floor) * up_mm + _BROW_ABOVE_FLOOR_MM


def _skin_depth(body: Mask, back_mm: float) -> Floats:
    """Return how far behind the front edge the skin lies, mm, shape (up, left); infinite without skin."""
    depth: Floats = np.argmax(body, axis=1).astype(np.float64) * back_mm
    depth[~body.any(axis=1)] = np.inf
    return depth


def _terms(region: Mask, step: float) -> Floats:
    """Return the terms of a quadratic in height and side, shape (up, left, 6)."""
    places: Floats = np.indices(region.shape).astype(np.float64)
    up: Floats = places[0] * step
    left: Floats = places[1] * step
    up, left = (up - up[region].mean()) / 50, (left - left[region].mean()) / 50
    return np.stack([np.ones_like(up), up, left, up * left, up**2, left**2], axis=-1)


def _smooth_surface(skin_mm: Floats, region: Mask, step: float) -> Floats:
    """Return a quadratic surface behind all of the skin of the region, by at least `LEAST_DEPTH_MM`."""
    terms = _terms(region, step)
    weights, *_ = np.linalg.lstsq(terms[region], skin_mm[region], rcond=None)
    surface: Floats = np.einsum("ijk,k->ij", terms, weights)
    behind_mm = float(np.percentile((skin_mm - surface)[region], 98))
    return surface + behind_mm + LEAST_DEPTH_MM


def _is_smooth(skin_mm: Floats, region: Mask, step: float) -> bool:
    """Return whether nearly all of the skin lies on one quadratic surface already, as no face does.

    Fitted to what lies near it, because airways that the cut opened lie deeper.
    """
    if region.sum() * step**2 < 1500:
        return False
    terms, used = _terms(region, step), region
    for near_mm in (8.0, 6.0, 5.0, 4.0, 3.0, _SMOOTH_MM, _SMOOTH_MM):
        weights, *_ = np.linalg.lstsq(terms[used], skin_mm[used], rcond=None)
        rest = np.abs(skin_mm - np.einsum("ijk,k->ij", terms, weights))
        used = region & (rest < near_mm)
        if used.sum() < 50:
            return False
    return bool((rest[region] < _SMOOTH_MM).mean() > _LEAST_SMOOTH_SHARE)


def _cut_of(
    coarse: Coarse, head: Head, skin_mm: Floats, depth_mm: Floats, region: Mask, *, is_hu: bool
) -> FaceCut:
    taper = _taper(region, coarse.step_mm)
    old = np.where(region, skin_mm, 0.0)
    depth_mm = np.where(region, depth_mm, 0.0)
    depth = np.where(region, old + np.maximum(depth_mm - old, 0.0) * taper, 0.0)
    kept = _kept_brain(head.brain, skin_mm, coarse, is_hu=is_hu)
    return FaceCut(
        coarse.axes,
        coarse.origin_mm,
        coarse.step_mm,
        depth.astype(np.float32),
        region,
        ndimage.binary_dilation(head.bone, iterations=4) if is_hu else head.bone,
        kept,
    )


def _kept_brain(brain: Mask, skin_mm: Floats, coarse: Coarse, *, is_hu: bool) -> Mask:
    """Return the brain with a rim; in MR, where no skull bounds it, also with its hollows and a wider rim.

    The wider rim ends 6 mm behind the skin, so that it keeps no skin in its place.
    """
    if is_hu:
        return np.asarray(ndimage.binary_dilation(brain, ball(2.0, coarse.spacing_mm)))
    pad = round(_MR_HOLLOW_MM / coarse.step_mm) + 1
    near = ndimage.distance_transform_edt(~np.pad(brain, pad), sampling=coarse.step_mm) <= _MR_HOLLOW_MM
    filled = ndimage.distance_transform_edt(near, sampling=coarse.step_mm) > _MR_HOLLOW_MM
    inner = slice(pad, -pad)
    whole = filled[inner, inner, inner] | brain
    rim = ndimage.distance_transform_edt(~whole, sampling=coarse.step_mm) <= _MR_RIM_MM
    into_mm = np.arange(brain.shape[1])[None, :, None] * coarse.step_mm
    return np.asarray(brain | ((whole | rim) & (into_mm >= skin_mm[:, None, :] + LEAST_DEPTH_MM)))


def _taper(region: Mask, step: float) -> Floats:
    """Return 0 at the region's upper and side edges, 1 further in; the lower edge of the view is no edge."""
    padded = np.pad(region, ((1, 1), (1, 1)))
    padded[0] = padded[1]
    distance = ndimage.distance_transform_edt(padded, sampling=step)[1:-1, 1:-1]
    result: Floats = np.clip(distance / _TAPER_MM, 0.0, 1.0)
    return result


def _first_is(bone: Mask, skin_mm: Floats, step: float) -> Mask:
    """Return where the skin is bone or its rim, shape (up, left)."""
    rim = ndimage.binary_dilation(bone, iterations=2)
    index = np.clip(np.where(np.isfinite(skin_mm), skin_mm, 0) / step, 0, bone.shape[1] - 1).astype(int)
    found: Mask = np.take_along_axis(rim, index[:, None, :], axis=1)[:, 0]
    return found | ~np.isfinite(skin_mm)


def _check(cut: FaceCut, head: Head, skin_mm: Floats) -> None:
    """Refuse a cut when the brain, which keeps every voxel, would keep much of the skin in its place."""
    skin_mm = np.where(cut.region, skin_mm, 0.0)
    kept = cut.brain & head.body
    kept_mm = np.where(kept.any(axis=1), np.argmax(kept, axis=1) * cut.step_mm, np.inf)
    wanted = cut.region & (cut.depth_mm - skin_mm > LEAST_DEPTH_MM)
    blocked = wanted & (kept_mm - skin_mm < _LEAST_REMOVED_MM)
    if blocked.sum() > _MOST_BLOCKED_SHARE * max(int(wanted.sum()), 1):
        raise not_removed("The face could not be removed cleanly.")


def _ears(coarse: Coarse, head: Head, brow_mm: float, pole_mm: float, *, is_hu: bool) -> tuple[FaceCut, ...]:
    """Return the cuts that take both ears away, each seen from its side."""
    return tuple(_ear(coarse, head, brow_mm, pole_mm, flips=flips, is_hu=is_hu) for flips in (False, True))


def _ear(coarse: Coarse, head: Head, brow_mm: float, pole_mm: float, *, flips: bool, is_hu: bool) -> FaceCut:
    step, wide = coarse.step_mm, coarse.values.shape[2]

    def turned(mask: Mask) -> Mask:
        """From the side: up, into the head, back."""
        return np.ascontiguousarray((mask[:, :, ::-1] if flips else mask).transpose(0, 2, 1))

    sideways = Head(turned(head.body), turned(head.bone), turned(head.brain), head.spacing_mm)
    sign = -1.0 if flips else 1.0
    axes = np.stack([coarse.axes[0], sign * coarse.axes[2], coarse.axes[1]])
    origin = coarse.origin_mm + (coarse.axes[2] * (wide - 1) * step if flips else 0.0)
    seen_from_side = replace(
        coarse,
        values=coarse.values[:, :, ::-1].transpose(0, 2, 1) if flips else coarse.values.transpose(0, 2, 1),
        axes=axes,
        origin_mm=origin,
    )
    skin_mm = _skin_depth(sideways.body, step)
    places = np.indices(skin_mm.shape) * step
    window = (np.abs(places[0] - (brow_mm - 25.0)) < 48.0) & np.isfinite(skin_mm)
    window &= (places[1] > pole_mm + _EARS_MM[0]) & (places[1] < pole_mm + _EARS_MM[1])
    depth_mm = _behind_the_ear(skin_mm, window, step)
    return _cut_of(seen_from_side, sideways, skin_mm, depth_mm, window, is_hu=is_hu)


def _behind_the_ear(skin_mm: Floats, window: Mask, step: float) -> Floats:
    """Return a quadratic surface a little under the side of the head, which what protrudes does not pull."""
    if window.sum() < 20:
        return np.where(np.isfinite(skin_mm), skin_mm, 0.0)
    terms, used = _terms(window, step), window
    for _ in range(5):
        weights, *_ = np.linalg.lstsq(terms[used], skin_mm[used], rcond=None)
        surface: Floats = np.einsum("ijk,k->ij", terms, weights)
        used = window & (skin_mm > surface - 2.0)
    return surface + 4.0


def _carve(
    volume: Volume, planes: Sequence[Plane], finding: Finding, background: float
) -> tuple[Volume, DefaceReport]:
    is_hu = volume.modality == "CT"
    if finding.is_done:
        return volume, DefaceReport(True, 0.0, finding.told, 0.0)
    voxels = volume.voxels.copy()
    changed, removed, touched = 0, 0, 0
    for index, plane in enumerate(planes):
        before = volume.voxels[index].astype(np.float32)
        after = carved(before, plane, finding.cuts, is_hu=is_hu, background=background)
        if after is None:
            continue
        new = np.rint(after).astype(voxels.dtype) if voxels.dtype.kind == "i" else after.astype(voxels.dtype)
        differs = new != volume.voxels[index]
        voxels[index] = new
        changed += int(differs.sum())
        was_tissue = before > -300 if is_hu else before > background
        is_air = after <= (-300 if is_hu else background)
        removed += int((differs & was_tissue & is_air).sum())
        touched += int((differs & _brain_on(plane, finding)).sum())
    if touched:
        raise not_removed("The face could not be removed without touching the brain.")
    result = replace(volume, voxels=voxels)
    report = DefaceReport(
        True, removed * volume.grid.voxel_ml, finding.told, finding.moved_mm, changed, touched
    )
    return result, report


def _brain_on(plane: Plane, finding: Finding) -> Mask:
    cut = finding.cuts[0]
    assert finding.brain is not None, "a cut was made from a brain"
    return cut.sampled(finding.brain, plane)
