"""The shots of a film: what the camera sees, what moves, which facts are told."""

from __future__ import annotations

from dataclasses import dataclass

from medviz.core.plan import Point


@dataclass(frozen=True, slots=True)
class Camera:
    """A perspective camera in LPS mm; `view_angle_deg` is the vertical field of view."""

    position_mm: Point
    look_at_mm: Point
    up: Point
    view_angle_deg: float = 30.0


@dataclass(frozen=True, slots=True)
class Shown:
    """A structure in a shot: opacity from the shot's start to its end (0 to 1), and whether it may glow.

    `cut_by_opening` opens a burr hole in it around the needle as the operation's opening grows.
    """

    structure: str
    opacity_start: float
    opacity_end: float
    glows_near_needle: bool = False
    cut_by_opening: bool = False
    is_labelled: bool = True


@dataclass(frozen=True, slots=True)
class Shot:
    """One shot.

    Parameters
    ----------
    id : str
        Stable, such as ``approach``.
    title : str
        Chapter title.
    kind : str
        ``scene`` (3D), ``slices`` (three CT planes through a point) or ``card`` (text).
    camera_start, camera_end : Camera or None
        Camera at the ends; the film moves smoothly between. None for slices and cards.
    shown : tuple of Shown
        What is drawn.
    fact_ids : tuple of str
        Facts told in this shot, in order: one sentence each.
    depth_start_mm, depth_end_mm : float or None
        Needle tip depth at the ends; None hides the needle.
    opening_start, opening_end : float
        Burr hole, 0 closed to 1 open.
    slices_at_mm : Point or None
        Where the planes of a ``slices`` shot meet.
    least_s : float
        Shortest length; the spoken sentences may make it longer.
    """

    id: str
    title: str
    kind: str
    camera_start: Camera | None
    camera_end: Camera | None
    shown: tuple[Shown, ...]
    fact_ids: tuple[str, ...]
    depth_start_mm: float | None = None
    depth_end_mm: float | None = None
    opening_start: float = 0.0
    opening_end: float = 0.0
    slices_at_mm: Point | None = None
    least_s: float = 4.0


@dataclass(frozen=True, slots=True)
class Storyboard:
    """The shots in order, and the film's title (no patient data)."""

    title: str
    shots: tuple[Shot, ...]
