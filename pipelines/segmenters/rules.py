"""What Hounsfield units alone tell: body, bone, air, and the cavity of the skull.

Rules, not networks: each is a threshold and a shape, so a reviewer can follow it. Shapes are judged on
a grid of about 2 mm and edges on the volume's own voxels, so a large scan costs little more than a
small one. A face that was removed (its voxels set to air) is simply outside the body.

Thresholds: water is 0 HU and air -1000 HU by definition of the scale; half way, -500 HU, is the skin.
Trabecular bone starts near 150-200 HU and cortical bone near 300 HU (Hounsfield 1980; Schreiber et al.,
J Bone Joint Surg Am 2011;93:1057, doi:10.2106/JBJS.J.00160); contrast in a vessel overlaps with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy import ndimage

from medviz.core.errors import BadInput
from medviz.core.volume import Volume

sitk: Any = SimpleITK  # it ships no types

Mask = NDArray[np.bool_]
Voxels = NDArray[np.bool_] | NDArray[np.int16] | NDArray[np.float32]

SKIN_HU = -500
BONE_HU = 200
MARROW_HU = 90
AIR_HU = -500
COARSE_MM = 2.0
THIN_MM = 4.0
OPENING_MM = 10.0
MARROW_MM = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Coarse:
    """A view of the volume with voxels of about 2 mm, on which shapes are judged.

    Parameters
    ----------
    voxels_hu : ndarray of float32
        Block means, (slice, row, column).
    steps : tuple of int
        Voxels of the volume in one block, along each axis.
    spacing_mm : tuple of float
        Size of a block.
    up_axis : int
        Array axis nearest to the patient's feet-head axis.
    """

    voxels_hu: NDArray[np.float32]
    steps: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    up_axis: int

    def ball(self, radius_mm: float) -> Mask:
        """Return a ball of at least one voxel's reach, as a structuring element."""
        reach = [max(1, round(radius_mm / step)) for step in self.spacing_mm]
        axes = np.ogrid[tuple(slice(-n, n + 1) for n in reach)]
        far = sum((axis / (n + 0.3)) ** 2 for axis, n in zip(axes, reach, strict=True))
        return np.asarray(far <= 1.0)

    def within(self, mask: Mask, distance_mm: float) -> Mask:
        """Return the voxels that lie at most `distance_mm` from the mask."""
        if not mask.any():
            return mask
        image = sitk.GetImageFromArray(mask.astype(np.uint8))
        image.SetSpacing(self.spacing_mm[::-1])
        away = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
        return np.asarray(sitk.GetArrayViewFromImage(away) <= distance_mm)

    def shrunk(self, mask: Mask, distance_mm: float) -> Mask:
        """Return the voxels of the mask farther than `distance_mm` from its outside."""
        return ~self.within(~mask, distance_mm)

    def fine(self, mask: Mask, shape: tuple[int, int, int]) -> Mask:
        """Return a coarse mask on the volume's voxels."""
        for axis, step in enumerate(self.steps):
            mask = mask.repeat(step, axis=axis)
        pad = [(0, max(0, wanted - have)) for wanted, have in zip(shape, mask.shape, strict=True)]
        return np.pad(mask, pad, mode="edge")[: shape[0], : shape[1], : shape[2]]


@dataclass(frozen=True, slots=True, eq=False)
class HeadMasks:
    """What the rules found in a head, in the volume's shape: body, bone, air inside it, skull cavity."""

    body: Mask
    bone: Mask
    air: Mask
    cavity: Mask


def coarse_view(volume: Volume) -> Coarse:
    """Return the volume in blocks of about 2 mm.

    Raises
    ------
    BadInput
        If the volume is not in Hounsfield units (``NOT_CT``): no rule applies to it.
    """
    if volume.unit != "HU":
        raise BadInput(
            "The rules for skin, skull and air need a CT in Hounsfield units.",
            reason="NOT_CT",
            mend="Choose a CT series.",
        )
    fine_mm = volume.grid.spacing_mm
    steps = tuple(max(1, round(COARSE_MM / step)) for step in fine_mm)
    steps = tuple(min(step, n) for step, n in zip(steps, volume.grid.shape, strict=True))
    spacing = tuple(step * mm for step, mm in zip(steps, fine_mm, strict=True))
    up_axis = int(np.argmax(np.abs(volume.grid.affine[2, :3] / np.array(fine_mm))))
    return Coarse(
        block_means(volume.voxels, (steps[0], steps[1], steps[2])),
        (steps[0], steps[1], steps[2]),
        (spacing[0], spacing[1], spacing[2]),
        up_axis,
    )


def block_means(voxels: Voxels, steps: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return the mean of every block of `steps` voxels; a rest too small for a block is left out."""
    counts = [n // step for n, step in zip(voxels.shape, steps, strict=True)]
    total = np.zeros(counts, dtype=np.float32)
    for i in range(steps[0]):
        for j in range(steps[1]):
            for k in range(steps[2]):
                part = voxels[i :: steps[0], j :: steps[1], k :: steps[2]]
                total += part[: counts[0], : counts[1], : counts[2]]
    return total / float(np.prod(steps))


def largest(mask: Mask) -> Mask:
    """Return the largest connected part (six neighbours); the mask itself when it is empty."""
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = part_sizes(parts, count)
    sizes[0] = 0
    return np.asarray(parts == int(np.argmax(sizes)))


def part_sizes(parts: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Return the voxels of each part of a labelled array, background first; by slices, to save memory."""
    sizes = np.zeros(count + 1, dtype=np.int64)
    for plane in parts:
        sizes += np.bincount(plane.ravel(), minlength=count + 1)
    return sizes


def find_body(volume: Volume, view: Coarse) -> Mask:
    """Return the patient's body, its air cavities filled, without table, head rest or clothes.

    The largest part over -500 HU that is thicker than 4 mm; thin parts next to it (ears, nose) are
    kept, thin parts far from it (table, blanket) are not. Filled in every axial slice.
    """
    dense = view.voxels_hu > SKIN_HU
    core = largest(ndimage.binary_opening(dense, view.ball(THIN_MM)))
    near = dense & view.within(core, 4 * THIN_MM)
    whole = largest(near) if core.any() else largest(dense)
    filled = _filled_in_slices(whole, view)
    shape = volume.grid.shape
    edge = view.fine(view.within(filled, view.spacing_mm[0]), shape) & (volume.voxels > SKIN_HU)
    return _filled_in_slices(edge | view.fine(view.shrunk(filled, max(view.spacing_mm)), shape), view)


def find_bone(volume: Volume, body: Mask, view: Coarse) -> Mask:
    """Return bone in the body, over 200 HU, with marrow between tables of bone.

    Marrow is what lies over 90 HU within 3 mm of bone on both sides (a closing), and small enclosed holes.
    Teeth, calcifications and metal inside the head are bone to this rule.
    """
    bone = (volume.voxels > BONE_HU) & body
    blocks = block_means(bone, view.steps) >= 0.5
    closed = view.shrunk(view.within(blocks, MARROW_MM), MARROW_MM)
    marrow = view.fine(closed, bone.shape) & (volume.voxels > MARROW_HU) & body
    return _without_specks(bone | marrow, volume.grid.voxel_ml)


def find_head(volume: Volume, body: Mask, view: Coarse) -> HeadMasks:
    """Return everything the rules find in a head whose body is known."""
    bone = find_bone(volume, body, view)
    return HeadMasks(body, bone, find_air(volume, body), find_cavity(volume, body, bone, view))


def find_air(volume: Volume, body: Mask) -> Mask:
    """Return air inside the body, under -500 HU: sinuses, airway, mastoid cells, lungs, bowel gas."""
    return (volume.voxels < AIR_HU) & body


def find_cavity(volume: Volume, body: Mask, bone: Mask, view: Coarse) -> Mask:
    """Return the cavity of the skull: what bone surrounds once openings under 2 cm are closed.

    Everything within 10 mm of bone is set aside, the largest rest is the middle of the cavity, and it
    grows back by 10 mm without entering bone or air. Empty when there is no such middle.
    """
    blocks = block_means(bone, view.steps) >= 0.3
    inside = (block_means(body, view.steps) >= 0.5) & (view.voxels_hu > AIR_HU)
    free = view.shrunk(inside, OPENING_MM) & ~view.within(blocks, OPENING_MM)
    middle = _enclosed(free, blocks, view)
    grown = view.within(middle, OPENING_MM + 2 * max(view.spacing_mm)) & inside & ~blocks
    kept = view.fine(largest(grown), bone.shape)
    return kept & body & ~bone & (volume.voxels > AIR_HU)


def _enclosed(free: Mask, bone: Mask, view: Coarse) -> Mask:
    """Return the part of `free` with the most bone around it: the brain's middle, not the neck's."""
    parts, count = ndimage.label(free)
    best, best_score = np.zeros_like(free), 0.0
    for number in range(1, min(count, 64) + 1):
        part = parts == number
        size = int(part.sum())
        if size * float(np.prod(view.spacing_mm)) < 1000.0:
            continue
        shell = view.within(part, OPENING_MM + 2 * max(view.spacing_mm)) & ~view.within(part, OPENING_MM / 2)
        score = float(bone[shell].mean()) * size ** (2 / 3)
        if score > best_score:
            best, best_score = part, score
    return best


def _filled_in_slices(mask: Mask, view: Coarse) -> Mask:
    """Return the mask with the holes of every axial slice filled."""
    slices = np.moveaxis(mask, view.up_axis, 0)
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in slices])
    return np.ascontiguousarray(np.moveaxis(filled, 0, view.up_axis))


def _without_specks(mask: Mask, voxel_ml: float, *, least_ml: float = 0.5) -> Mask:
    """Return the mask without parts under `least_ml`."""
    parts, count = ndimage.label(mask)
    is_kept = part_sizes(parts, count) * voxel_ml >= least_ml
    is_kept[0] = False
    return np.asarray(is_kept[parts])
