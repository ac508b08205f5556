"""Takes the face off a head CT: nose, lips, eyes' skin and cheeks below the brow become air.

What is left in front is one smooth surface (a quadratic in height and side) that follows no feature, behind
which nothing is changed, with bare bone where bone stands further forward. Skull and brain keep every voxel.
Head and trunk are told apart from the voxels; where that fails, the case stops (PS3.15 E.3.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anonymize.head import (
    AIR_HU,
    BONE_HU,
    Canonical,
    Head,
    canonical,
    coarse,
    find_body,
    find_head,
    largest,
    shows_trunk_only,
)
from medviz.core.errors import Uncertain
from medviz.core.volume import Volume

LEAST_DEPTH_MM = 6.0
_BROW_ABOVE_FLOOR_MM = 8.0
_FRONT_OF_BRAIN_MM = 22.0
_CHEEK_BEHIND_POLE_MM = 50.0
_TAPER_MM = 8.0
_LEAST_FACE_MM = 12.0
_ROUGHNESS_MM = 3.0
_MOST_ROUGH_SHARE = 0.02

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Voxels = NDArray[np.int16] | NDArray[np.float32]


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


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    """The surface that replaces the face, on the coarse volume.

    Parameters
    ----------
    depth_mm : ndarray, shape (up, left)
        How far back everything becomes air, mm from the front edge; 0 where nothing is cut.
    skin_mm : ndarray, shape (up, left)
        How far back the old skin lies.
    region : ndarray of bool, shape (up, left)
        Where the face is.
    brow_mm : float
        Height of the cut's upper edge above the lowest slice.
    """

    depth_mm: Floats
    skin_mm: Floats
    region: Mask
    brow_mm: float


def deface(volume: Volume) -> tuple[Volume, DefaceReport]:
    """Return the volume without its face, and what was done; a trunk comes back unchanged.

    Parameters
    ----------
    volume : Volume
        CT in HU, on a grid in LPS mm.

    Raises
    ------
    Uncertain
        ``FACE_NOT_REMOVED`` when a face may be in view and could not surely be removed.
    """
    if volume.modality != "CT":
        raise _not_removed("Only CT can be defaced.")
    hu, spacing_mm, steps = coarse(volume)
    head = find_head(hu, spacing_mm)
    if head is None:
        if shows_trunk_only(hu, spacing_mm):
            return volume, _nothing_done("no head in view")
        raise _not_removed("The volume may show a part of a face.")
    cut = _plan_cut(head)
    if cut is None:
        return volume, _nothing_done("the head is in view above the brow only")
    return _carve(volume, head, cut, steps)


def _not_removed(message: str) -> Uncertain:
    return Uncertain(
        message,
        reason="FACE_NOT_REMOVED",
        mend="Use a series whose field of view ends above the brow or holds the whole head, or none of it.",
    )


def _nothing_done(why: str) -> DefaceReport:
    return DefaceReport(False, 0.0, f"no face in view: {why}", 0.0)


def _plan_cut(head: Head) -> _Cut | None:
    """Return the surface to cut back to, or None when the volume ends above the face."""
    up_mm, back_mm, left_mm = head.spacing_mm
    pole_mm = float(np.flatnonzero(head.brain.any(axis=(0, 2)))[0]) * back_mm
    brow_mm = _brow(head, pole_mm)
    if brow_mm < _LEAST_FACE_MM:
        return None
    skin_mm = _skin_depth(head.body, back_mm)
    heights_mm = np.arange(skin_mm.shape[0])[:, None] * up_mm
    region = np.isfinite(skin_mm) & (skin_mm < pole_mm + _CHEEK_BEHIND_POLE_MM) & (heights_mm < brow_mm)
    region = largest(region)
    if region.sum() * up_mm * left_mm < 400:  # mm2: less than an eye
        return None
    depth_mm = _smooth_surface(skin_mm, region, up_mm, left_mm)
    taper = _taper(region, (up_mm, left_mm))
    old = np.where(region, skin_mm, 0.0)
    cut_mm = np.where(region, old + np.maximum(depth_mm - old, 0.0) * taper, 0.0)
    return _Cut(cut_mm, skin_mm, region, brow_mm)


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


def _smooth_surface(skin_mm: Floats, region: Mask, up_mm: float, left_mm: float) -> Floats:
    """Return a quadratic surface behind all of the skin of the region, by at least `LEAST_DEPTH_MM`."""
    places: Floats = np.indices(skin_mm.shape).astype(np.float64)
    up: Floats = places[0] * up_mm
    left: Floats = places[1] * left_mm
    up, left = (up - up[region].mean()) / 50, (left - left[region].mean()) / 50
    terms = np.stack([np.ones_like(up), up, left, up * left, up**2, left**2], axis=-1)
    weights, *_ = np.linalg.lstsq(terms[region], skin_mm[region], rcond=None)
    surface: Floats = np.einsum("ijk,k->ij", terms, weights)
    behind_mm = float(np.percentile((skin_mm - surface)[region], 98))
    return surface + behind_mm + LEAST_DEPTH_MM


def _taper(region: Mask, spacing_mm: tuple[float, float]) -> Floats:
    """Return 0 at the region's upper and side edges, 1 further in; the lower edge of the view is no edge."""
    padded = np.pad(region, ((1, 1), (1, 1)))
    padded[0] = padded[1]
    distance = ndimage.distance_transform_edt(padded, sampling=spacing_mm)[1:-1, 1:-1]
    result: Floats = np.clip(distance / _TAPER_MM, 0.0, 1.0)
    return result


def _carve(volume: Volume, head: Head, cut: _Cut, steps: tuple[int, int, int]) -> tuple[Volume, DefaceReport]:
    turn = canonical(volume.grid)
    voxels: Voxels = volume.voxels.copy()
    view: Any = turn.view(voxels)  # Any: a view of either dtype
    before = view.copy()
    weight = _air_share(view.shape, cut, turn, steps)
    weight[_protected(before, head, steps)] = 0.0
    view[...] = np.rint(before * (1 - weight) + AIR_HU * weight).astype(view.dtype)
    result = Volume(voxels, volume.grid, volume.modality, volume.unit, volume.contrast, volume.report)
    report = _report(volume, before, view, head, cut, steps)
    _check(result, head, cut, report)
    return result, report


def _air_share(
    shape: tuple[int, ...], cut: _Cut, turn: Canonical, steps: tuple[int, int, int]
) -> NDArray[np.float32]:
    """Return how much of each voxel becomes air, 0 to 1, shape (up, back, left)."""
    depth_mm = _fine(cut.depth_mm, (shape[0], shape[2]), (steps[0], steps[2]))
    inside = _fine(cut.region.astype(np.float64), (shape[0], shape[2]), (steps[0], steps[2])) > 0.5
    back_mm = (np.arange(shape[1]) * turn.spacing_mm[1])[None, :, None]
    share = np.clip((depth_mm[:, None, :] - back_mm) / turn.spacing_mm[1] + 0.5, 0.0, 1.0)
    share *= inside[:, None, :]
    result: NDArray[np.float32] = share.astype(np.float32)
    return result


def _fine(plane: Floats, shape: tuple[int, int], steps: tuple[int, int]) -> Floats:
    """Return a coarse plane at the full resolution."""
    rows, columns = np.indices(shape).astype(np.float64)
    fine: Floats = ndimage.map_coordinates(
        plane, [rows / steps[0], columns / steps[1]], order=1, mode="nearest"
    )
    return fine


def _protected(hu: Voxels, head: Head, steps: tuple[int, int, int]) -> Mask:
    """Return what may not change: bone with a rim of one voxel, and everything inside the skull."""
    bone = (hu > BONE_HU) & _enlarged(ndimage.binary_dilation(head.bone, iterations=2), hu.shape, steps)
    brain = _enlarged(ndimage.binary_dilation(head.brain), hu.shape, steps)
    result: Mask = ndimage.binary_dilation(bone) | brain
    return result


def _enlarged(mask: Mask, shape: tuple[int, ...], steps: tuple[int, int, int]) -> Mask:
    for axis, step in enumerate(steps):
        mask = np.repeat(mask, step, axis=axis)
    return mask[: shape[0], : shape[1], : shape[2]]


def _report(
    volume: Volume,
    before: Voxels,
    after: Voxels,
    head: Head,
    cut: _Cut,
    steps: tuple[int, int, int],
) -> DefaceReport:
    changed = before != after
    brain = _enlarged(head.brain, before.shape, steps)
    removed = changed & (before > -300) & (after <= -300)
    moved = (cut.depth_mm - cut.skin_mm)[cut.region]
    return DefaceReport(
        face_in_view=True,
        removed_ml=float(removed.sum()) * volume.grid.voxel_ml,
        plane=(
            f"soft tissue removed below the brow, {cut.brow_mm:.0f} mm above the lowest slice, back to a "
            f"smooth surface that follows no feature; bone and the inside of the skull kept"
        ),
        moved_mm=float(np.median(moved)),
        voxels_changed=int(changed.sum()),
        brain_voxels_changed=int((changed & brain).sum()),
    )


def _check(after: Volume, head: Head, cut: _Cut, report: DefaceReport) -> None:
    """Refuse a result whose skin still stands where it stood, or whose brain was touched."""
    hu, spacing_mm, _ = coarse(after)
    skin_mm = _skin_depth(find_body(hu), spacing_mm[1])
    is_bone = _first_is_bone(head.bone, skin_mm, spacing_mm[1])
    rough = cut.region & (skin_mm < cut.depth_mm - _ROUGHNESS_MM) & ~is_bone
    if report.brain_voxels_changed or rough.sum() > _MOST_ROUGH_SHARE * cut.region.sum():
        raise _not_removed("The face could not be removed cleanly.")


def _first_is_bone(bone: Mask, skin_mm: Floats, back_mm: float) -> Mask:
    """Return where the new surface is bone or its rim, shape (up, left)."""
    rim = ndimage.binary_dilation(bone, iterations=3)
    index = np.clip(np.where(np.isfinite(skin_mm), skin_mm, 0) / back_mm, 0, bone.shape[1] - 1).astype(int)
    found: Mask = np.take_along_axis(rim, index[:, None, :], axis=1)[:, 0]
    return found | ~np.isfinite(skin_mm)
