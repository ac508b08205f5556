"""Where the camera stands: projection without mirrors, and smooth moves between two cameras."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medviz.core.plan import Point
from medviz.core.storyboard import Camera

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A camera made ready for a picture of a certain size.

    Parameters
    ----------
    origin_mm : ndarray, shape (3,)
        Where the eye is, LPS mm.
    axes : ndarray, shape (3, 3)
        Rows are the picture's right, the picture's down and the way forward, as unit vectors in LPS.
    focal_px : float
        Pixels per unit of tangent.
    width, height : int
        Size of the picture in pixels.
    """

    origin_mm: FloatArray
    axes: FloatArray
    focal_px: float
    width: int
    height: int

    def to_eye(self, points_mm: NDArray[np.generic]) -> FloatArray:
        """Return points, shape (n, 3), as mm to the right, mm down and mm forward of the eye."""
        result: FloatArray = (np.asarray(points_mm, dtype=np.float64) - self.origin_mm) @ self.axes.T
        return result

    def project(self, points_mm: NDArray[np.generic]) -> FloatArray:
        """Return picture coordinates, shape (n, 3): pixels right, pixels down, mm forward (LPS mm in)."""
        eye = self.to_eye(np.atleast_2d(points_mm))
        ahead = np.maximum(eye[:, 2], 1e-3)
        x = self.width / 2 + self.focal_px * eye[:, 0] / ahead
        y = self.height / 2 + self.focal_px * eye[:, 1] / ahead
        return np.stack([x, y, eye[:, 2]], axis=1)

    def point_at(self, x: float, y: float, ahead_mm: float) -> FloatArray:
        """Return the LPS point in mm seen at pixel (x, y), `ahead_mm` in front of the eye's plane."""
        right = (x - self.width / 2) / self.focal_px * ahead_mm
        down = (y - self.height / 2) / self.focal_px * ahead_mm
        result: FloatArray = self.origin_mm + np.array([right, down, ahead_mm]) @ self.axes
        return result

    def px_per_mm(self, point_mm: Point) -> float:
        """Return how many pixels a millimetre across the line of sight takes at the depth of a point."""
        ahead = float(self.to_eye(np.array([point_mm]))[0, 2])
        return self.focal_px / max(ahead, 1e-3)


def view_of(camera: Camera, width: int, height: int) -> View:
    """Return the view of a camera in a picture of `width` by `height` pixels.

    Seen from the front, the patient's left comes out on the right of the picture: the axes keep their
    hand (right x down = forward), so nothing can be mirrored.

    Raises
    ------
    ValueError
        If the camera stands where it looks, or looks along its own up.
    """
    origin = np.asarray(camera.position_mm, dtype=np.float64)
    forward = _unit(np.asarray(camera.look_at_mm, dtype=np.float64) - origin)
    right = _unit(np.cross(forward, np.asarray(camera.up, dtype=np.float64)))
    down = np.cross(forward, right)
    focal = height / 2 / math.tan(math.radians(camera.view_angle_deg) / 2)
    return View(origin, np.stack([right, down, forward]), focal, width, height)


def eased(fraction: float) -> float:
    """Return a fraction (0 to 1) that starts and stops softly."""
    x = min(max(fraction, 0.0), 1.0)
    return x * x * x * (x * (6 * x - 15) + 10)


def camera_between(start: Camera, end: Camera, fraction: float) -> Camera:
    """Return the camera a fraction (0 to 1) of the way from one to the other.

    The eye swings about the point it looks at instead of cutting through the patient: direction by
    spherical interpolation, distance by its logarithm.
    """
    if start == end:
        return start
    look = _mix(start.look_at_mm, end.look_at_mm, fraction)
    from_arm, to_arm = _arm(start), _arm(end)
    lengths = math.log(float(np.linalg.norm(from_arm))), math.log(float(np.linalg.norm(to_arm)))
    length = math.exp(lengths[0] + (lengths[1] - lengths[0]) * fraction)
    direction = _slerp(_unit(from_arm), _unit(to_arm), fraction, np.asarray(start.up, dtype=np.float64))
    up = _slerp(_unit(np.asarray(start.up)), _unit(np.asarray(end.up)), fraction, direction)
    angle = start.view_angle_deg + (end.view_angle_deg - start.view_angle_deg) * fraction
    return Camera(_point(look + length * direction), _point(look), _point(up), angle)


def _arm(camera: Camera) -> FloatArray:
    arm: FloatArray = np.asarray(camera.position_mm, dtype=np.float64) - np.asarray(camera.look_at_mm)
    return arm


def _mix(start: Point, end: Point, fraction: float) -> FloatArray:
    result: FloatArray = np.asarray(start, dtype=np.float64) * (1 - fraction) + np.asarray(end) * fraction
    return result


def _point(vector: FloatArray) -> Point:
    return float(vector[0]), float(vector[1]), float(vector[2])


def _unit(vector: NDArray[np.generic]) -> FloatArray:
    length = float(np.linalg.norm(np.asarray(vector, dtype=np.float64)))
    if length < 1e-9:
        raise ValueError("a camera needs a direction: it stands where it looks, or looks along its up")
    result: FloatArray = np.asarray(vector, dtype=np.float64) / length
    return result


def _slerp(start: FloatArray, end: FloatArray, fraction: float, fallback_axis: FloatArray) -> FloatArray:
    angle = math.acos(min(1.0, max(-1.0, float(start @ end))))
    if angle < 1e-6:
        return start
    if math.pi - angle < 1e-3:  # opposite: turn about the fallback axis
        sideways = _unit(np.cross(fallback_axis, start))
        return start * math.cos(angle * fraction) + sideways * math.sin(angle * fraction)
    result: FloatArray = (
        start * math.sin((1 - fraction) * angle) + end * math.sin(fraction * angle)
    ) / math.sin(angle)
    return result
