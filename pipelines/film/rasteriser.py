"""Our own renderer: runs on any processor, draws glass in the right order, same bytes every time."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipelines.film import fragments, shading
from pipelines.film.fragments import ROW, SUBPIXEL, Corners, Cut, Fixed, Lists
from pipelines.film.scene import OPAQUE, Drawable, Hole, Picture, Scene
from pipelines.film.shading import GLOW_GRAIN, Look
from pipelines.film.view import View, view_of

_EDGE_SAMPLES = ((96, 32), (224, 96), (32, 160), (160, 224))
"""Rotated grid: four samples on four different rows and columns of a pixel (fixed point)."""

_EDGE_SHARE = 0.25
"""Largest part of a picture that is sampled four times."""

_EDGE_GAP_MM = 2.5
_NO_HOLE: Cut = (0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

Seen = tuple[Fixed, Corners]


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """How much of each pixel's light comes from each drawable, and how far away it is.

    Both have shape (drawables, height, width); depth is mm from the eye's plane, infinite where absent.
    """

    share: NDArray[np.float32]
    depth_mm: NDArray[np.float32]


class Rasteriser:
    """Draws scenes at one size. Keeps its buffers between pictures, so one thread at a time may use it.

    Parameters
    ----------
    width, height : int
        Size of the pictures in pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        pixels = width * height
        whole = np.arange(pixels, dtype=np.int32)
        self._lists = _new_lists(width, height, whole, ((SUBPIXEL // 2, SUBPIXEL // 2),), pixels)
        self._most_edges = max(int(pixels * _EDGE_SHARE), 1)
        edge_of = np.full(pixels, -1, dtype=np.int32)
        self._fine = _new_lists(width, height, edge_of, _EDGE_SAMPLES, self._most_edges)
        self._linear = np.empty((height, width, 3), dtype=np.float32)
        self._glow = np.zeros((height // GLOW_GRAIN + 2, width // GLOW_GRAIN + 2), dtype=np.float32)
        self.background = background(width, height)

    def render(self, scene: Scene) -> Picture:
        """Return the picture of a scene; the same scene gives the same bytes."""
        view = view_of(scene.camera, self.width, self.height)
        order = _opaque_first(scene.drawables)
        seen = {index: _corners(scene.drawables[index], view) for index in order}
        cut = _cut(scene.hole, view)
        self._fill(self._lists, scene, order, seen, cut)
        edges = fragments.mark_edges(self._lists, _EDGE_GAP_MM, self._most_edges, self._fine)
        if edges:
            self._fill(self._fine, scene, order, seen, cut)
        look = _look(scene, view, self.background)
        shading.resolve(self._lists, self._fine, look, self._linear, self._glow)
        rgb = np.empty((self.height, self.width, 3), dtype=np.uint8)
        shading.develop(self._linear, _spread(self._glow), _noise(), _tone(), rgb)
        nearest = np.empty((self.height, self.width), dtype=np.int16)
        depth_mm = np.empty((self.height, self.width), dtype=np.float32)
        shading.nearest_of(self._lists, nearest, depth_mm)
        return Picture(rgb, nearest, depth_mm)

    def shares(self, scene: Scene) -> Shares:
        """Return what each drawable contributes to each pixel of a scene."""
        view = view_of(scene.camera, self.width, self.height)
        order = _opaque_first(scene.drawables)
        seen = {index: _corners(scene.drawables[index], view) for index in order}
        self._fill(self._lists, scene, order, seen, _cut(scene.hole, view))
        size = (max(len(scene.drawables), 1), self.height, self.width)
        share, depth_mm = np.empty(size, dtype=np.float32), np.empty(size, dtype=np.float32)
        shading.shares_of(self._lists, _look(scene, view, self.background).paint, share, depth_mm)
        return Shares(share, depth_mm)

    def _fill(self, lists: Lists, scene: Scene, order: list[int], seen: dict[int, Seen], cut: Cut) -> None:
        lists.cells[:, 0] = 0
        for index in order:
            drawable = scene.drawables[index]
            is_cut = drawable.is_cut and scene.hole is not None
            kind = (index, drawable.opacity >= OPAQUE and not drawable.is_hatched, is_cut)
            fragments.draw_triangles(drawable.shape.triangles, *seen[index], lists, kind, cut)


def _new_lists(
    width: int,
    height: int,
    slot_of: NDArray[np.int32],
    samples: tuple[tuple[int, int], ...],
    slots: int,
) -> Lists:
    places = slots * len(samples)
    cells = np.zeros((places, ROW), dtype=np.uint32)
    tiles = np.ones((height // 8 + 1, width // 8 + 1), dtype=np.bool_)
    return Lists(width, height, slot_of, np.array(samples, dtype=np.int32), cells, tiles)


def _opaque_first(drawables: tuple[Drawable, ...]) -> list[int]:
    """Return the indices of what is visible, opaque ones first: they spare the work behind them."""
    visible = [index for index, drawable in enumerate(drawables) if drawable.opacity > 0.004]
    return sorted(visible, key=lambda index: (drawables[index].opacity < OPAQUE, index))


def _corners(drawable: Drawable, view: View) -> Seen:
    shape = drawable.shape
    xy = np.zeros((len(shape.points_mm), 2), dtype=np.int32)
    seen = np.zeros((len(shape.points_mm), 5), dtype=np.float32)
    seen[:, 4] = shape.openness
    lens = (view.focal_px, view.width / 2, view.height / 2)
    fragments.project_points(shape.points_mm, shape.normals, view.origin_mm, view.axes, lens, xy, seen)
    return xy, seen


def _cut(hole: Hole | None, view: View) -> Cut:
    if hole is None:
        return _NO_HOLE
    start = view.to_eye(np.array([hole.start_mm]))[0]
    direction = view.axes @ np.asarray(hole.direction, dtype=np.float64)
    x, y, z, right, down, ahead = (float(value) for value in (*start, *direction))
    return x, y, z, right, down, ahead, hole.radius_mm**2, hole.from_mm, hole.to_mm, view.focal_px


def _look(scene: Scene, view: View, backdrop: NDArray[np.float32]) -> Look:
    paint = np.zeros((max(len(scene.drawables), 1), 10), dtype=np.float32)
    for row, item in zip(paint, scene.drawables, strict=False):
        row[:3] = [_linear(channel) for channel in item.colour]
        material = item.material
        row[3:8] = item.opacity, material.highlight, material.sharpness, material.softness, material.rim
        row[8:] = item.glow, float(item.is_hatched)
    reach = float(np.linalg.norm(view.origin_mm - np.asarray(scene.camera.look_at_mm)))
    sums = [float(value) for value in (view.origin_mm.sum(), *view.axes.sum(axis=1))]
    per_px = 1.0 / view.focal_px
    lens = (sums[0], sums[1] * per_px, sums[2] * per_px, sums[3], reach, 0.8 * reach)
    return Look(paint, backdrop, lens)


def _linear(channel: float) -> float:
    """Return the linear light of an sRGB value (IEC 61966-2-1)."""
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def _srgb(light: float) -> float:
    return light * 12.92 if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055


@functools.lru_cache(maxsize=8)
def background(width: int, height: int) -> NDArray[np.float32]:
    """Return the neutral dark backdrop, linear, shape (height, width, 3): a soft pool of light."""
    x = (np.arange(width) + 0.5) / width - 0.5
    y = (np.arange(height) + 0.5) / height - 0.46
    radius2 = (x[None, :] * 1.55) ** 2 + (y[:, None] * 1.35) ** 2
    pool = np.exp(-radius2 / 0.30)
    dark, light = np.array([0.0060, 0.0075, 0.0105]), np.array([0.040, 0.049, 0.064])
    result: NDArray[np.float32] = (dark + (light - dark) * pool[:, :, None]).astype(np.float32)
    result.setflags(write=False)
    return result


@functools.lru_cache(maxsize=1)
def _noise() -> NDArray[np.float32]:
    """Return grain of one grey level, shape (64, 64), added before rounding: dark gradients show no bands."""
    return np.random.default_rng(1).random((64, 64)).astype(np.float32)


@functools.lru_cache(maxsize=1)
def _tone() -> NDArray[np.float32]:
    """Return 0 to 255 for linear light 0 to 2: sRGB, with a shoulder above 0.6 instead of hard white."""
    light = np.linspace(0.0, 2.0, 4096)
    knee = 0.6
    rolled = np.where(light < knee, light, knee + (1 - knee) * (1 - np.exp(-(light - knee) / (1 - knee))))
    return np.array([255.0 * _srgb(min(value, 1.0)) for value in rolled], dtype=np.float32)


def _spread(glow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the warning glow as it shines beyond its structure."""
    if not glow.any():
        return glow
    near = ndimage.gaussian_filter(glow, 1.5, mode="nearest")
    far = ndimage.gaussian_filter(glow, 5.0, mode="nearest")
    result: NDArray[np.float32] = 0.20 * near + 0.38 * far
    return result


@functools.lru_cache(maxsize=8)
def background_frame(width: int, height: int) -> NDArray[np.uint8]:
    """Return the backdrop as sRGB, shape (height, width, 3): what a scene without anything looks like."""
    empty = np.zeros((height // GLOW_GRAIN + 2, width // GLOW_GRAIN + 2), dtype=np.float32)
    rgb = np.empty((height, width, 3), dtype=np.uint8)
    shading.develop(background(width, height), empty, _noise(), _tone(), rgb)
    rgb.setflags(write=False)
    return rgb
