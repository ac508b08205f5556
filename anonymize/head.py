"""Whether a volume shows a head, found from its voxels and geometry and never from a body-part tag.

Works on a coarse copy of about 2 mm whose axes run up, back and to the left (+z, +y, +x of LPS).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull

AIR_HU, BONE_HU, COARSE_BONE_HU = -1000, 300, 220
_SKIN_HU = -300
_CLOSING_MM = 8.0
_BRAIN_HU = (-5.0, 90.0)
_LEAST_BRAIN_ML = 120.0
_LEAST_HEAD_SHARE = 0.6
"""Skull and brain fill most of a head's cross-section; pelvis and chest are mostly flesh around bone."""
_TRUNK_CM2 = 300.0
"""Cross-section that no head has: an ellipse of 17 x 22 cm has 294 cm2."""
_LONGEST_NECK_MM = 120.0

_LEAST_BONY_SHARE = 0.85
_SEALED_CM2 = 60.0

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """What the coarse volume shows.

    Parameters
    ----------
    body, bone, brain : ndarray of bool, shape (up, back, left)
        Skin and what is in it; bone in large pieces; the inside of the skull.
    spacing_mm : tuple of float
        Spacing of the coarse volume along up, back, left.
    """

    body: Mask
    bone: Mask
    brain: Mask
    spacing_mm: Spacing


def find_body(hu: Floats) -> Mask:
    """Return the largest piece that is not air, without what it encloses."""
    return largest(hu > _SKIN_HU)


def find_head(hu: Floats, spacing_mm: Spacing) -> Head | None:
    """Return the head of a coarse volume, or None when it holds no brain inside a skull."""
    body = find_body(hu)
    bone = in_large_pieces(hu > COARSE_BONE_HU, least_voxels=int(2000 / np.prod(spacing_mm)))
    brain = _brain(hu, body, bone, spacing_mm)
    return None if brain is None else Head(body, bone, brain, spacing_mm)


def _brain(hu: Floats, body: Mask, bone: Mask, spacing_mm: Spacing) -> Mask | None:
    """Return the inside of the skull: soft tissue that bone encloses in axial slices, in one large piece."""
    inside = _enclosed(bone, spacing_mm)
    soft = inside & ~bone & (hu > _BRAIN_HU[0]) & (hu < _BRAIN_HU[1])
    piece = largest(ndimage.binary_opening(soft, ball(4.0, spacing_mm)))
    if piece.sum() * np.prod(spacing_mm) / 1000 < _LEAST_BRAIN_ML:
        return None
    widest = int(np.argmax(piece.sum(axis=(1, 2))))
    plane_cm2 = spacing_mm[1] * spacing_mm[2] / 100
    share = inside[widest].sum() / max(int(ndimage.binary_fill_holes(body[widest]).sum()), 1)
    if share < _LEAST_HEAD_SHARE or inside[widest].sum() * plane_cm2 > _TRUNK_CM2:
        return None
    if _bony_share(bone[widest], piece[widest]) < _LEAST_BONY_SHARE:
        return None
    grown = ndimage.binary_dilation(piece, ball(4.0, spacing_mm))
    brain: Mask = grown & inside & ~bone
    return brain


def _enclosed(bone: Mask, spacing_mm: Spacing) -> Mask:
    """Return what bone encloses in axial slices.

    From the lowest slice that bone seals upwards, the convex hull of the bone counts as enclosed: a burr hole
    or a bone flap must not open the skull.
    """
    closed = _closed(bone, spacing_mm)
    inside = np.stack([ndimage.binary_fill_holes(plane) for plane in closed])
    sealed = (inside & ~closed).sum(axis=(1, 2)) * spacing_mm[1] * spacing_mm[2] > _SEALED_CM2 * 100
    if sealed.any():
        for index in range(int(np.argmax(sealed)), len(inside)):
            inside[index] |= _hull(closed[index])
    return inside


def _hull(plane: Mask) -> Mask:
    """Return the convex hull of a plane's true pixels."""
    points = np.argwhere(plane)
    if len(points) < 10 or min(np.ptp(points, axis=0)) < 3:
        return plane
    edges = ConvexHull(points).equations
    rows, columns = np.indices(plane.shape)
    grid = np.stack([rows, columns], axis=-1).astype(np.float64)
    hull: Mask = (grid @ edges[:, :2].T + edges[:, 2] <= 1e-6).all(axis=-1)
    return hull


def _bony_share(bone: Mask, piece: Mask) -> float:
    """Return in how many directions from a piece's middle bone is met, 0 to 1: skulls are shut, ribs not."""
    middle = np.argwhere(piece).mean(axis=0)
    rows, columns = (np.argwhere(bone) - middle).T
    met = np.unique(np.floor(np.degrees(np.arctan2(rows, columns)) / 5).astype(int))
    return len(met) / 72


def _closed(mask: Mask, spacing_mm: Spacing) -> Mask:
    """Return a mask with gaps up to about 16 mm bridged, such as sutures and foramina."""
    pad = [int(np.ceil(_CLOSING_MM / mm)) + 1 for mm in spacing_mm]
    wide = np.pad(mask, [(p, p) for p in pad])
    outside = ndimage.distance_transform_edt(~wide, sampling=spacing_mm)
    grown = outside <= _CLOSING_MM
    inner = ndimage.distance_transform_edt(grown, sampling=spacing_mm) > _CLOSING_MM
    closed: Mask = (inner | wide)[tuple(slice(p, -p) for p in pad)]
    return closed


def shows_trunk_only(hu: Floats, seen: Mask, spacing_mm: Spacing) -> bool:
    """Return whether a CT volume surely shows no face: trunk, with at most a bare neck above it.

    Every slice is wider than any head; or those that are not lie in one stretch shorter than a neck with no
    bone in the front third of the body, where a jaw would be. Without skin in front there is no face either.
    """
    body = find_body(hu)
    if not body.any() or fills_the_view(body, seen):
        return True
    narrow = _narrow(body, spacing_mm)
    if not narrow.any():
        return True
    top = _length_from_top(narrow)
    if narrow.all() or top * spacing_mm[0] > _LONGEST_NECK_MM:
        return False
    return not any(
        _has_bone_in_front(hu[index] > COARSE_BONE_HU, body[index]) for index in np.flatnonzero(narrow)
    )


def is_wide_throughout(body: Mask, spacing_mm: Spacing) -> bool:
    """Return whether every slice of a body is wider than any head."""
    return bool(body.any()) and not _narrow(body, spacing_mm).any()


def _narrow(body: Mask, spacing_mm: Spacing) -> Mask:
    areas = np.array([ndimage.binary_fill_holes(plane).sum() for plane in body])
    areas_cm2 = areas * spacing_mm[1] * spacing_mm[2] / 100
    narrow: Mask = (areas_cm2 > 0) & (areas_cm2 < _TRUNK_CM2)
    return narrow


def fills_the_view(body: Mask, seen: Mask) -> bool:
    """Return whether no skin can be seen from the front: the body reaches the front edge everywhere."""
    held = body.any(axis=1)
    first_seen, first_body = np.argmax(seen, axis=1), np.argmax(body, axis=1)
    return bool(held.any()) and bool((first_body <= first_seen + 1)[held].mean() > 0.98)


def enclosed(body: Mask, dark: Mask, spacing_mm: Spacing, *, least_radius_mm: float = 0.0) -> Mask:
    """Return what of `dark` a body encloses, after openings up to about 16 mm wide were shut.

    A face always has an airway; knees, arms and most spines have none.
    """
    closed = _closed(body, spacing_mm)
    inside = ndimage.binary_fill_holes(closed)
    for index, plane in enumerate(closed):
        inside[index] |= ndimage.binary_fill_holes(plane)
    air: Mask = ndimage.binary_erosion(inside, iterations=2, border_value=1) & dark
    if least_radius_mm:
        air = ndimage.binary_opening(air, ball(least_radius_mm, spacing_mm))
    return air


def _length_from_top(narrow: Mask) -> int:
    """Return how many slices in a row, from the topmost down, are narrow."""
    wide = np.flatnonzero(~narrow[::-1])
    return int(wide[0]) if wide.size else len(narrow)


def _has_bone_in_front(bone: Mask, body: Mask) -> bool:
    rows = np.flatnonzero(body.any(axis=1))
    if not rows.size:
        return False
    front = rows[0] + (rows[-1] - rows[0]) // 3
    return int((bone & body)[:front].sum()) > 10


def largest(mask: Mask) -> Mask:
    """Return the largest connected piece of a mask."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    piece: Mask = labels == int(np.argmax(sizes))
    return piece


def in_large_pieces(mask: Mask, *, least_voxels: int) -> Mask:
    """Return a mask without its small pieces."""
    labels, _ = ndimage.label(mask)
    keep = np.bincount(labels.ravel()) >= least_voxels
    keep[0] = False
    pieces: Mask = keep[labels]
    return pieces


def ball(radius_mm: float, spacing_mm: Spacing) -> Mask:
    """Return a ball of voxels, for dilations and openings."""
    reach = [int(np.ceil(radius_mm / mm)) for mm in spacing_mm]
    grids = np.ogrid[tuple(slice(-r, r + 1) for r in reach)]
    squares = [(g * mm) ** 2 for g, mm in zip(grids, spacing_mm, strict=True)]
    ball: Mask = np.asarray(squares[0] + squares[1] + squares[2] <= radius_mm**2)
    return ball
