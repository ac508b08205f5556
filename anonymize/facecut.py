"""The cut that takes a face away: a smooth surface in the patient, in front of which all becomes air.

It is made once from a volume and holds for everything in the same frame of reference: slices of any
orientation, dose, segments, contours and meshes. Bone and brain keep every voxel.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anonymize.head import BONE_HU
from anonymize.slices import Plane

_VERSION = 1
_SOFT_HU = 40.0

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Share = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class FaceCut:
    """A surface seen from one side of the head, on a coarse grid.

    Parameters
    ----------
    axes : ndarray, shape (3, 3)
        LPS unit vectors: up, into the head, and along its surface. For a face: up, back, left.
    origin_mm : ndarray, shape (3,)
        LPS place of the grid's first voxel.
    step_mm : float
        Edge of a voxel of the grid.
    depth_mm : ndarray of float32, shape (up, along)
        How far into the grid everything becomes air, mm from its front; 0 where nothing is cut.
    region : ndarray of bool, shape (up, along)
        Where the cut is.
    bone, brain : ndarray of bool, shape (up, into, along)
        Where bone may be found; what keeps every voxel.
    """

    axes: Floats
    origin_mm: Floats
    step_mm: float
    depth_mm: NDArray[np.float32]
    region: Mask
    bone: Mask
    brain: Mask

    def indices(self, points_mm: NDArray[np.generic]) -> Floats:
        """Return fractional (up, into, along) indices, shape (n, 3), of LPS points in mm, shape (n, 3)."""
        points: Floats = np.asarray(points_mm, dtype=np.float64)
        result: Floats = (points - self.origin_mm) @ self.axes.T / self.step_mm
        return result

    def depths(self, up: Floats, along: Floats) -> tuple[Floats, Mask]:
        """Return at fractional indices how deep the cut is, mm from the front, and whether there is one."""
        depth: Floats = ndimage.map_coordinates(self.depth_mm, [up, along], order=1, mode="nearest")
        inside = ndimage.map_coordinates(self.region.astype(np.float32), [up, along], order=1, cval=0.0)
        return depth, inside > 0.5

    def air_share(self, plane: Plane, hu: NDArray[np.float32] | None = None) -> Share | None:
        """Return how much of each pixel of a plane becomes air, 0 to 1; None when the cut misses it.

        Parameters
        ----------
        hu : ndarray of float32, shape (rows, columns), optional
            The plane in Hounsfield units: bone and one pixel around it stay. Without it, all stays that lies
            where the volume of the cut had bone.
        """
        window = self._window(plane)
        if window is None:
            return None
        part = plane._replace(
            origin=plane.origin + window[0].start * plane.down + window[1].start * plane.across,
            shape=(window[0].stop - window[0].start, window[1].stop - window[1].start),
        )
        share = self._share(part)
        share[self._kept(part, None if hu is None else hu[window])] = 0.0
        if not share.any():
            return None
        whole: Share = np.zeros(plane.shape, dtype=np.float32)
        whole[window] = share
        return whole

    def pushed(self, points_mm: NDArray[np.generic]) -> Floats:
        """Return LPS points, shape (n, 3), of which those in front of the cut lie on it now.

        Points in bone or brain stay where they are.
        """
        points: Floats = np.array(points_mm, dtype=np.float64).reshape(-1, 3)
        at = self.indices(points)
        depth, inside = self.depths(at[:, 0], at[:, 2])
        into_mm = at[:, 1] * self.step_mm
        nearest = np.rint(at).astype(int)
        moves = inside & (into_mm < depth) & ~_looked_up(self.bone | self.brain, nearest)
        points[moves] += (depth - into_mm)[moves, None] * self.axes[1]
        return points

    def reaches(self, plane: Plane) -> bool:
        """Return whether a plane may have pixels in front of the cut."""
        return self._window(plane) is not None

    def sampled(self, mask: Mask, plane: Plane) -> Mask:
        """Return what a mask on the cut's grid, shape (up, into, along), is at each pixel of a plane."""
        nearest = np.rint(self.indices(_places(plane))).astype(int)
        return _looked_up(mask, nearest).reshape(plane.shape)

    def _window(self, plane: Plane) -> tuple[slice, slice] | None:
        """Return the part of a plane that may lie in front of the cut."""
        if not self.region.any():
            return None
        up, along = np.nonzero(self.region)
        deepest = float(self.depth_mm[self.region].max()) / self.step_mm
        low = np.array([up.min() - 1.0, -np.inf, along.min() - 1.0])
        high = np.array([up.max() + 1.0, deepest + 1.0, along.max() + 1.0])
        rows, columns = np.arange(plane.shape[0]), np.arange(plane.shape[1])
        start = self.indices(plane.origin[None])[0]
        down = self.axes @ plane.down / self.step_mm
        across = self.axes @ plane.across / self.step_mm
        row_span, column_span = _spans(rows, down), _spans(columns, across)
        held = []
        for own, other in ((row_span, column_span), (column_span, row_span)):
            least = start + own + other.min(axis=0)
            most = start + own + other.max(axis=0)
            held.append(np.flatnonzero(((most >= low) & (least <= high)).all(axis=1)))
        if not held[0].size or not held[1].size:
            return None
        first, second = held
        return slice(int(first[0]), int(first[-1]) + 1), slice(int(second[0]), int(second[-1]) + 1)

    def _share(self, plane: Plane) -> Share:
        places = _places(plane)
        at = self.indices(places)
        depth, inside = self.depths(at[:, 0], at[:, 2])
        thick = max(float(abs(self.axes[1] @ plane.down)), float(abs(self.axes[1] @ plane.across)), 1e-3)
        share = np.clip((depth - at[:, 1] * self.step_mm) / thick + 0.5, 0.0, 1.0)
        share[~inside] = 0.0
        result: Share = share.reshape(plane.shape).astype(np.float32)
        return result

    def _kept(self, plane: Plane, hu: NDArray[np.float32] | None) -> Mask:
        nearest = np.rint(self.indices(_places(plane))).astype(int)
        bone = _looked_up(self.bone, nearest).reshape(plane.shape)
        if hu is not None:
            bone = ndimage.binary_dilation(bone & (hu > BONE_HU), np.ones((3, 3)))
        kept: Mask = bone | _looked_up(self.brain, nearest).reshape(plane.shape)
        return kept


def _spans(numbers: NDArray[np.int64], step: Floats) -> Floats:
    span: Floats = numbers[:, None] * step[None, :]
    return span


def _places(plane: Plane) -> Floats:
    """Return the LPS places of all pixels, shape (rows * columns, 3)."""
    rows = np.arange(plane.shape[0])[:, None, None] * plane.down
    columns = np.arange(plane.shape[1])[None, :, None] * plane.across
    places: Floats = (plane.origin + rows + columns).reshape(-1, 3)
    return places


def _looked_up(mask: Mask, indices: NDArray[np.int64]) -> Mask:
    """Return a mask's values at integer indices, shape (n, 3); False outside."""
    inside = ((indices >= 0) & (indices < np.array(mask.shape))).all(axis=1)
    found = np.zeros(len(indices), dtype=np.bool_)
    found[inside] = mask[tuple(indices[inside].T)]
    return found


def carved(
    levels: NDArray[np.float32], plane: Plane, cuts: Sequence[FaceCut], *, is_hu: bool, background: float
) -> NDArray[np.float32] | None:
    """Return a plane's levels with all in front of the cuts turned into air; None when nothing changes.

    A Hounsfield level at the surface is lowered to what a mixture of air and soft tissue would have, so that
    cutting twice changes nothing more; other levels are cut without a transition.
    """
    result = levels
    for cut in cuts:
        share = cut.air_share(plane, levels if is_hu else None)
        if share is None:
            continue
        if is_hu:
            most = background * share + _SOFT_HU * (1 - share)
            result = np.where(share > 0, np.minimum(result, most), result)
        else:
            result = np.where(share >= 0.5, np.float32(background), result)
    changed = result != levels
    return result.astype(np.float32) if changed.any() else None


class Known(NamedTuple):
    """What is known about a frame of reference: its cuts, and boxes (LPS mm, low and high) without a face."""

    cuts: tuple[FaceCut, ...] = ()
    faceless: tuple[tuple[Floats, Floats], ...] = ()


def remember(folder: Path, frame_of_reference: str, known: Known) -> None:
    """Keep what is known about a de-identified frame of reference, readable by its owner alone."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    arrays: dict[str, NDArray[np.generic]] = {"version": np.array(_VERSION)}
    for number, cut in enumerate(known.cuts):
        arrays |= _cut_arrays(f"cut{number}_", cut)
    if known.faceless:
        arrays["faceless"] = np.array(known.faceless)
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    path = _path(folder, frame_of_reference)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(stream.getvalue())
    temporary.replace(path)


def recall(folder: Path, frame_of_reference: str) -> Known:
    """Return what is known about a de-identified frame of reference; nothing when its file is damaged."""
    path = _path(folder, frame_of_reference)
    if not path.is_file():
        return Known()
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            if int(arrays["version"]) != _VERSION:
                return Known()
            names = sorted({name.split("_")[0] for name in arrays.files if name.startswith("cut")})
            boxes = arrays["faceless"] if "faceless" in arrays.files else ()
            cuts = tuple(_cut_of(dict(arrays), f"{name}_") for name in names)
            return Known(cuts, tuple((box[0], box[1]) for box in boxes))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return Known()  # what is not known is held, never passed


def _path(folder: Path, frame_of_reference: str) -> Path:
    safe = "".join(sign for sign in frame_of_reference if sign.isdigit() or sign == ".")
    return folder / f"{safe or 'none'}.npz"


def _cut_arrays(start: str, cut: FaceCut) -> dict[str, NDArray[np.generic]]:
    return {
        f"{start}axes": cut.axes,
        f"{start}origin": cut.origin_mm,
        f"{start}step": np.array(cut.step_mm),
        f"{start}depth": cut.depth_mm,
        f"{start}shape": np.array(cut.bone.shape),
        f"{start}region": np.packbits(cut.region),
        f"{start}bone": np.packbits(cut.bone),
        f"{start}brain": np.packbits(cut.brain),
    }


def _cut_of(arrays: dict[str, NDArray[np.generic]], start: str) -> FaceCut:
    up, into, along = (int(n) for n in np.asarray(arrays[f"{start}shape"], dtype=int))

    def unpacked(name: str, shape: tuple[int, ...]) -> Mask:
        packed = np.asarray(arrays[start + name], dtype=np.uint8)
        bits: Mask = np.unpackbits(packed, count=int(np.prod(shape))).reshape(shape).astype(np.bool_)
        return bits

    return FaceCut(
        np.asarray(arrays[f"{start}axes"], dtype=np.float64),
        np.asarray(arrays[f"{start}origin"], dtype=np.float64),
        float(np.asarray(arrays[f"{start}step"], dtype=np.float64)),
        np.asarray(arrays[f"{start}depth"], dtype=np.float32),
        unpacked("region", (up, along)),
        unpacked("bone", (up, into, along)),
        unpacked("brain", (up, into, along)),
    )
