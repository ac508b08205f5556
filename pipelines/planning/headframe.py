"""The head's own axes: the mid-sagittal plane by mirror symmetry, the vault above brow and tentorium."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import least_squares

from medviz.core.errors import Uncertain
from medviz.core.segmentation import Segmentation
from medviz.core.space import FloatArray

_WORKING_MM = 3.0
_POINTS = 4000
_BAND = 0.12
_LEAST_BRAIN_ML = 300.0
_MOST_CUT_MM2 = 300.0
REGION_DEG = {
    "frontal": (32.0, 60.0),
    "parietal": (75.0, 130.0),
    "occipital": (130.0, 170.0),
    "vault": (-90.0, 270.0),
}
"""Sagittal angle about the cerebrum's centre: 0 forward, 90 up, 180 back.

Kocher's point, 11 cm from the nasion along the scalp, lies near 48; the frontal region ends in front of the
coronal suture.
"""
VAULT_MARGIN_MM = 15.0


@dataclass(frozen=True, slots=True, eq=False)
class HeadFrame:
    """Axes of one head in LPS.

    Parameters
    ----------
    origin_mm : ndarray, shape (3,)
        Centre of the cerebrum, on the mid-sagittal plane.
    axes : ndarray, shape (3, 3)
        Rows are the unit vectors to the left, to the back and up.
    symmetry_mm : float
        Mean distance between the brain's surface and its mirror image.
    floor_front, floor_back : tuple of float
        (back, up) coordinates of the lower edge of the frontal and of the occipital pole.
    """

    origin_mm: FloatArray
    axes: FloatArray
    symmetry_mm: float
    floor_front: tuple[float, float]
    floor_back: tuple[float, float]

    def own(self, points_mm: FloatArray) -> FloatArray:
        """Return (left, back, up) coordinates in mm, shape (n, 3), of LPS points."""
        result: FloatArray = (np.asarray(points_mm, dtype=np.float64) - self.origin_mm) @ self.axes.T
        return result

    def sagittal_deg(self, points_mm: FloatArray) -> FloatArray:
        """Return the angle of points about the centre, seen from the side: 0 forward, 90 up, 180 back."""
        own = self.own(points_mm)
        angle: FloatArray = np.degrees(np.arctan2(own[:, 2], -own[:, 1]))
        return np.where(angle < -90, angle + 360, angle)

    def height_mm(self, points_mm: FloatArray) -> FloatArray:
        """Return how far points lie above the plane through brow and tentorium, in mm."""
        own = self.own(points_mm)
        (front, low), (back, high) = self.floor_front, self.floor_back
        share = (own[:, 1] - front) / max(back - front, 1e-6)
        result: FloatArray = own[:, 2] - (low + np.clip(share, -0.2, 1.2) * (high - low))
        return result


def head_frame(segmentation: Segmentation) -> HeadFrame:
    """Return the head's axes from the brain's mirror symmetry.

    The plane minimises the distance between the brain's surface and its mirror image (three parameters,
    robust least squares on a distance field). The patient is taken to lie within about 30 degrees of the
    scanner's axes.

    Raises
    ------
    Uncertain
        If no brain was found (``NO_HEAD``), the image cuts it off (``HEAD_CUT_OFF``), or it is not symmetric
        enough to tell left from right (``NO_MIDLINE``, mean 4 mm).
    """
    wanted = [item for item in segmentation.structures if item.name == "cerebrum"]
    if not wanted or wanted[0].volume_ml < _LEAST_BRAIN_ML:
        mend = "Check the segmentation, or choose a series that shows the whole head."
        raise Uncertain(
            "No whole cerebrum was found, so the head cannot be aligned.", reason="NO_HEAD", mend=mend
        )
    if _cut_area_mm2(segmentation) > _MOST_CUT_MM2:
        mend = "Choose a series that shows the whole head."
        raise Uncertain("The image cuts off the cerebrum.", reason="HEAD_CUT_OFF", mend=mend)
    brain = _surface_points(segmentation, "brain")
    normal, offset, residual = _mirror_plane(*brain)
    if residual > 4.0:
        text = f"The brain is not symmetric enough to find the midline (mean {residual:.1f} mm)."
        raise Uncertain(
            text, reason="NO_MIDLINE", mend="Give target and entry points, or correct the labels."
        )
    cerebrum = _points(segmentation, "cerebrum")
    return _framed(normal, offset, residual, cerebrum)


def _cut_area_mm2(segmentation: Segmentation) -> float:
    """Return the area of cerebrum that lies on the border of the image, in square millimetres."""
    mask, sizes = segmentation.mask("cerebrum"), segmentation.grid.spacing_mm
    faces = [np.take(mask, (0, -1), axis=axis).sum() * np.prod(sizes) / sizes[axis] for axis in range(3)]
    return float(sum(faces))


def _framed(normal: FloatArray, offset: float, residual: float, cerebrum: FloatArray) -> HeadFrame:
    up = np.array([0.0, 0.0, 1.0])
    up -= normal * (up @ normal)
    up /= np.linalg.norm(up)
    axes = np.stack([normal, np.cross(up, normal), up])
    centre = cerebrum.mean(axis=0)
    centre = centre - normal * (centre @ normal - offset)
    own = (cerebrum - centre) @ axes.T
    return HeadFrame(centre, axes, residual, _low_edge(own, front=True), _low_edge(own, front=False))


def _low_edge(own: FloatArray, *, front: bool) -> tuple[float, float]:
    back = own[:, 1]
    low, high = np.quantile(back, (0.002, 0.998))
    width = _BAND * (high - low)
    band = own[back < low + width] if front else own[back > high - width]
    return float(band[:, 1].mean()), float(np.quantile(band[:, 2], 0.03))


def _stride(segmentation: Segmentation, step_mm: float) -> tuple[int, int, int]:
    k, r, c = (max(1, round(step_mm / size)) for size in segmentation.grid.spacing_mm)
    return k, r, c


def _points(segmentation: Segmentation, name: str) -> FloatArray:
    stride = _stride(segmentation, _WORKING_MM)
    mask = segmentation.mask(name)[:: stride[0], :: stride[1], :: stride[2]]
    return segmentation.grid.points(np.argwhere(mask) * stride)


def _surface_points(
    segmentation: Segmentation, name: str
) -> tuple[FloatArray, NDArray[np.float32], FloatArray, FloatArray]:
    stride = _stride(segmentation, _WORKING_MM)
    mask = segmentation.mask(name)[:: stride[0], :: stride[1], :: stride[2]]
    spacing = np.asarray(segmentation.grid.spacing_mm) * stride
    mask = np.pad(mask, 1)  # a brain that the image cuts off ends at the image's border
    edge = np.argwhere(mask & ~ndimage.binary_erosion(mask))
    chosen = edge[:: max(1, len(edge) // _POINTS)]
    outside = ndimage.distance_transform_edt(~mask, sampling=spacing)
    inside = ndimage.distance_transform_edt(mask, sampling=spacing)
    field = (outside - inside).astype(np.float32)
    to_index = segmentation.grid.inverse[:3] / np.asarray(stride)[:, None]
    to_index[:, 3] += 1
    return segmentation.grid.points((chosen - 1) * stride), field, to_index, spacing


def _mirror_plane(
    points: FloatArray, field: NDArray[np.float32], to_index: FloatArray, spacing: FloatArray
) -> tuple[FloatArray, float, float]:
    centre = points.mean(axis=0)

    def plane(values: FloatArray) -> tuple[FloatArray, float]:
        normal = np.array([1.0, values[0], values[1]])
        normal /= np.linalg.norm(normal)
        return normal, float(centre @ normal + values[2])

    def gap(values: FloatArray) -> FloatArray:
        normal, offset = plane(values)
        mirrored = points - 2 * np.outer(points @ normal - offset, normal)
        index = mirrored @ to_index[:, :3].T + to_index[:, 3]
        edge = float(spacing.mean()) / 2
        result: FloatArray = ndimage.map_coordinates(field, index.T, order=1, mode="nearest") + edge
        return result.astype(np.float64)

    found = least_squares(
        gap, np.zeros(3), loss="soft_l1", f_scale=2.0, diff_step=1e-3, x_scale=(0.1, 0.1, 2.0)
    )
    normal, offset = plane(found.x)
    return normal, offset, float(np.abs(gap(found.x)).mean())
