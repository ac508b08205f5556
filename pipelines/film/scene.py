"""What a renderer is given and what it gives back. Two renderers stand behind one protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from medviz.core.plan import Point
from medviz.core.storyboard import Camera

MOST_DRAWABLES = 30
OPAQUE = 0.985
"""Opacity from which a surface hides what is behind it."""


@dataclass(frozen=True, slots=True)
class Material:
    """How a surface takes light: strength and sharpness of the highlight, softness of the shade, rim."""

    highlight: float = 0.22
    sharpness: float = 32.0
    softness: float = 0.30
    rim: float = 0.35


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A triangle mesh ready to be drawn.

    Parameters
    ----------
    points_mm : ndarray of float32, shape (n, 3)
        LPS mm.
    normals : ndarray of float32, shape (n, 3)
        Outward unit normals at the points.
    openness : ndarray of float32, shape (n,)
        How much of the light around reaches a point, 0 (a deep groove) to 1 (a ridge).
    triangles : ndarray of int32, shape (m, 3)
        Outward by the right-hand rule.
    """

    points_mm: NDArray[np.float32]
    normals: NDArray[np.float32]
    openness: NDArray[np.float32]
    triangles: NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Drawable:
    """A shape as it looks in one frame.

    Parameters
    ----------
    name : str
        Structure, or ``needle``.
    shape : Shape
        What is drawn.
    colour : tuple of float
        sRGB, 0 to 1.
    opacity : float
        0 to 1.
    glow : float
        0 to 1: how strongly it warns.
    is_hatched : bool
        Striped: the network is unsure of it.
    is_cut : bool
        Whether the scene's hole goes through it.
    material : Material
        How it takes light.
    """

    name: str
    shape: Shape
    colour: tuple[float, float, float]
    opacity: float = 1.0
    glow: float = 0.0
    is_hatched: bool = False
    is_cut: bool = False
    material: Material = Material()


@dataclass(frozen=True, slots=True)
class Hole:
    """A round hole along a straight axis: nothing that is cut is drawn inside it.

    `from_mm` and `to_mm` are positions along the axis, counted from `start_mm` (LPS mm) in `direction`.
    """

    start_mm: Point
    direction: Point
    radius_mm: float
    from_mm: float
    to_mm: float


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Everything in one frame: the shapes, the camera, and the hole if there is one."""

    drawables: tuple[Drawable, ...]
    camera: Camera
    hole: Hole | None = None

    def __post_init__(self) -> None:
        if len(self.drawables) > MOST_DRAWABLES:
            raise ValueError(f"a scene holds at most {MOST_DRAWABLES} drawables")


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A drawn scene.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (height, width, 3)
        sRGB.
    nearest : ndarray of int16, shape (height, width)
        Index of the nearest drawable at the pixel's centre; -1 where there is only background.
    depth_mm : ndarray of float32, shape (height, width)
        Distance of that drawable from the eye's plane; infinite where there is only background.
    """

    rgb: NDArray[np.uint8]
    nearest: NDArray[np.int16]
    depth_mm: NDArray[np.float32]


class Renderer(Protocol):
    """Draws scenes at one size. One thread at a time may use it."""

    width: int
    height: int

    def render(self, scene: Scene) -> Picture:
        """Return the picture of a scene."""
        ...
