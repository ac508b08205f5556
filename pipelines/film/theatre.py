"""The operation as a scene: what is shown, how open the skull is, where the needle's tip is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from medviz.core.plan import PlannedOperation, Simulation
from medviz.core.storyboard import Camera, Shot, Shown
from medviz.core.surface import Surface
from pipelines.film.scene import Drawable, Hole, Material, Scene, Shape
from pipelines.film.shapes import axis_of, crossing_mm, hole_wall, near_axis, needle_shape
from pipelines.film.view import FloatArray, camera_between, eased
from pipelines.film.warning import pulse, warning_of

NEEDLE = "needle"
BURR_RADIUS_MM = 7.0
"""Radius of the fully open burr hole: a usual perforator cuts 14 mm."""

_SHAFT_MM = 110.0
_ABOVE_MM = -25.0
_STEEL = (0.80, 0.83, 0.87)
_MATERIALS = {
    NEEDLE: Material(highlight=0.95, sharpness=70.0, softness=0.05, rim=0.7),
    "skull": Material(highlight=0.10, sharpness=18.0, softness=0.25, rim=0.30),
    "bone": Material(highlight=0.10, sharpness=18.0, softness=0.25, rim=0.30),
    "skin": Material(highlight=0.08, sharpness=10.0, softness=0.45, rim=0.40),
    "ventricles": Material(highlight=0.45, sharpness=60.0, softness=0.30, rim=0.45),
}


@dataclass(frozen=True, slots=True)
class Moment:
    """What a scene shot shows at one frame: how far the shot is (0 to 1), and the operation's state."""

    fraction: float
    seconds: float
    depth_mm: float | None
    opening: float


def moment_at(shot: Shot, frame: int, frames: int, seconds: float) -> Moment:
    """Return the moment of frame `frame` (of `frames`) of a shot; `seconds` is the film's time."""
    fraction = frame / max(frames - 1, 1)
    opening = _between(shot.opening_start, shot.opening_end, eased((fraction - 0.04) / 0.62))
    if shot.depth_start_mm is None or shot.depth_end_mm is None:
        return Moment(fraction, seconds, None, opening)
    depth_mm = _between(shot.depth_start_mm, shot.depth_end_mm, eased((fraction - 0.06) / 0.84))
    return Moment(fraction, seconds, depth_mm, opening)


def _between(start: float, end: float, fraction: float) -> float:
    return start + (end - start) * fraction


class Theatre:
    """Builds the scenes of one shot. Holds only what does not change from frame to frame.

    Parameters
    ----------
    shot : Shot
        Of kind ``scene``.
    shapes, surfaces : mapping
        By structure; what is shown and absent here is left out.
    operation, simulation
        Where the needle goes, and how near it comes.
    """

    def __init__(
        self,
        shot: Shot,
        shapes: Mapping[str, Shape],
        surfaces: Mapping[str, Surface],
        operation: PlannedOperation,
        simulation: Simulation,
    ) -> None:
        if shot.camera_start is None or shot.camera_end is None:
            raise ValueError("a scene shot needs its two cameras")
        self.shot, self._shapes, self._surfaces = shot, shapes, surfaces
        self._operation, self._simulation = operation, simulation
        self._cameras = (shot.camera_start, shot.camera_end)
        self.shown = tuple(item for item in shot.shown if item.structure in shapes)
        self._entry, self._target = operation.trajectory.entry_mm, operation.trajectory.target_mm
        self._cuts = self._cut_layers()
        self._wall_of: dict[tuple[str, float], Shape | None] = {}

    def scene(self, moment: Moment) -> Scene:
        """Return everything that is drawn at a moment."""
        share = eased(moment.fraction)
        hole = self._hole(moment.opening)
        drawables = [self._drawable(item, moment, share) for item in self.shown]
        if hole is not None:
            drawables += self._walls(drawables, hole)
        if moment.depth_mm is not None:
            drawables.append(self._needle(moment.depth_mm))
        return Scene(tuple(drawables), self.camera(moment), hole)

    def look(self, moment: Moment) -> tuple[object, ...]:
        """Return a value that is equal for moments that look the same."""
        share = eased(moment.fraction)
        opacities = tuple(_between(item.opacity_start, item.opacity_end, share) for item in self.shown)
        glows = tuple(self._glow(item, moment) for item in self.shown)
        return self.camera(moment), opacities, glows, moment.depth_mm, moment.opening

    def camera(self, moment: Moment) -> Camera:
        """Return the camera at a moment."""
        return camera_between(*self._cameras, eased(moment.fraction))

    def tip_mm(self, depth_mm: float) -> FloatArray:
        """Return where the needle's tip is, LPS mm."""
        start, direction = axis_of(self._entry, self._target)
        return start + direction * depth_mm

    def _drawable(self, item: Shown, moment: Moment, share: float) -> Drawable:
        surface = self._surfaces[item.structure]
        return Drawable(
            item.structure,
            self._shapes[item.structure],
            surface.colour,
            _between(item.opacity_start, item.opacity_end, share),
            self._glow(item, moment),
            is_hatched=not surface.is_reliable,
            is_cut=item.cut_by_opening,
            material=_MATERIALS.get(item.structure, Material()),
        )

    def _glow(self, item: Shown, moment: Moment) -> float:
        if not item.glows_near_needle or moment.depth_mm is None:
            return 0.0
        level = warning_of(self._simulation, item.structure, moment.depth_mm)
        return level * pulse(moment.seconds)

    def _needle(self, depth_mm: float) -> Drawable:
        radius_mm = self._operation.needle_radius_mm
        shape = needle_shape(
            self._entry,
            self._target,
            depth_mm=depth_mm,
            radius_mm=radius_mm,
            shaft_mm=_SHAFT_MM + max(depth_mm, 0),
        )
        return Drawable(NEEDLE, shape, _STEEL, material=_MATERIALS[NEEDLE])

    def _cut_layers(self) -> list[tuple[str, Shape, float]]:
        """Return what the hole goes through, outermost first: name, part near the way, end (mm)."""
        crossings = []
        for item in self.shown:
            if item.cut_by_opening:
                part = near_axis(
                    self._shapes[item.structure], self._entry, self._target, within_mm=BURR_RADIUS_MM + 6
                )
                ends = crossing_mm(part, self._entry, self._target, low_mm=_ABOVE_MM) if part else None
                if part is not None and ends is not None:
                    crossings.append((ends[0], ends[1], item.structure, part))
        crossings.sort(key=lambda row: row[0])
        layers = []
        for i, (_, leaves, name, part) in enumerate(crossings):
            following = crossings[i + 1][0] + 1.0 if i + 1 < len(crossings) else leaves + 2.0
            layers.append((name, part, min(following, leaves + 2.0)))
        return layers

    def _hole(self, opening: float) -> Hole | None:
        if opening < 0.01 or not self._cuts:
            return None
        start, direction = axis_of(self._entry, self._target)
        ways = (float(direction[0]), float(direction[1]), float(direction[2]))
        origin = (float(start[0]), float(start[1]), float(start[2]))
        deepest_mm = max(end for _, _, end in self._cuts) + 3.0
        return Hole(origin, ways, round(BURR_RADIUS_MM * opening, 2), _ABOVE_MM, deepest_mm)

    def _wall(self, name: str, part: Shape, radius_mm: float, end_mm: float) -> Shape | None:
        key = (name, radius_mm)
        if key not in self._wall_of:
            self._wall_of[key] = hole_wall(
                part, self._entry, self._target, radius_mm=radius_mm, low_mm=_ABOVE_MM, high_mm=end_mm
            )
        return self._wall_of[key]

    def _walls(self, drawables: list[Drawable], hole: Hole) -> list[Drawable]:
        by_name, walls = {item.name: item for item in drawables}, []
        for name, part, end_mm in self._cuts:
            wall = self._wall(name, part, hole.radius_mm, end_mm)
            if wall is not None:
                raw = (np.asarray(by_name[name].colour) * np.array([0.95, 0.78, 0.70])).clip(0, 1)
                colour = (float(raw[0]), float(raw[1]), float(raw[2]))
                walls.append(
                    replace(by_name[name], name=f"{name} wall", shape=wall, colour=colour, is_cut=False)
                )
        return walls
