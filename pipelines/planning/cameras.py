"""Where the camera stands: on the entry's side, never upside down, never so near that anything is cut off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medviz.core.segmentation import Segmentation
from medviz.core.space import FloatArray
from medviz.core.storyboard import Camera
from medviz.core.surface import Surface
from pipelines.planning.headframe import HeadFrame
from pipelines.planning.request import as_point

ASPECT = 16 / 9
VIEW_ANGLE_DEG = 30.0
MARGIN = 0.16
"""Share of the half picture kept free on each side, for captions, labels and the band."""
_NEAREST_MM = 60.0
_POINTS_PER_STRUCTURE = 3000


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """What cameras are placed by: the head's axes and the side (+1 left, -1 right) the camera stands on."""

    frame: HeadFrame
    sign: float

    def direction(self, azimuth_deg: float, elevation_deg: float) -> FloatArray:
        """Return the LPS unit vector to the camera.

        Azimuth 0 is in front of the patient, 90 beside the patient on the entry's side, 180 behind.
        """
        azimuth, elevation = np.radians(azimuth_deg), np.radians(elevation_deg)
        own = np.array(
            [
                self.sign * np.sin(azimuth) * np.cos(elevation),
                -np.cos(azimuth) * np.cos(elevation),
                np.sin(elevation),
            ]
        )
        result: FloatArray = own @ self.frame.axes
        return result

    def azimuth_deg(self, direction: FloatArray) -> float:
        """Return the azimuth of an LPS direction, -180 to 180; negative is on the far side of the entry."""
        own = self.frame.axes @ direction
        return float(np.degrees(np.arctan2(self.sign * own[0], -own[1])))

    def camera(
        self, direction: FloatArray, points_mm: FloatArray, *, look_at_mm: FloatArray | None = None
    ) -> Camera:
        """Return the camera that sees all points from `direction`, as near as the margin allows."""
        look_at = (points_mm.min(axis=0) + points_mm.max(axis=0)) / 2 if look_at_mm is None else look_at_mm
        distance = needed_distance_mm(direction, self.frame.axes[2], points_mm - look_at)
        position = look_at + distance * direction
        up = as_point(self.frame.axes[2])
        return Camera(as_point(position), as_point(look_at), up, VIEW_ANGLE_DEG)


def needed_distance_mm(direction: FloatArray, up: FloatArray, offsets_mm: FloatArray) -> float:
    """Return how far from the look-at point a perspective camera must stand to see all offsets (mm).

    A point at offset (x across, y up, z towards the camera) is seen when |y| <= (D - z) tan(angle / 2) and
    |x| <= aspect (D - z) tan(angle / 2), here with `MARGIN` kept free.
    """
    right = np.cross(up, direction)
    right /= np.linalg.norm(right)
    true_up = np.cross(direction, right)
    reach = np.tan(np.radians(VIEW_ANGLE_DEG) / 2) * (1 - MARGIN)
    across, above, toward = offsets_mm @ right, offsets_mm @ true_up, offsets_mm @ direction
    needed = np.maximum(np.abs(above) / reach, np.abs(across) / (reach * ASPECT)) + toward
    return float(max(needed.max(), toward.max() + _NEAREST_MM))


def points_of(name: str, surfaces: tuple[Surface, ...], segmentation: Segmentation) -> FloatArray:
    """Return points of a structure (LPS mm): its surface's vertices, or else its voxels."""
    for surface in surfaces:
        if surface.name == name:
            step = max(1, len(surface.vertices_mm) // _POINTS_PER_STRUCTURE)
            return np.asarray(surface.vertices_mm[::step], dtype=np.float64)
    found = np.argwhere(segmentation.mask(name))
    return segmentation.grid.points(found[:: max(1, len(found) // _POINTS_PER_STRUCTURE)])


def ball(centre_mm: FloatArray, radius_mm: float) -> FloatArray:
    """Return the corners and poles of a ball (LPS mm), to frame a place and what is around it."""
    corners = np.array(list(np.ndindex(2, 2, 2)), dtype=np.float64) * 2 - 1
    poles = np.concatenate([np.eye(3), -np.eye(3)])
    unit = np.concatenate([corners / np.sqrt(3.0), poles])
    result: FloatArray = centre_mm + radius_mm * unit
    return result
