"""Names beside the structures, with leader lines: in two columns, so that none covers another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipelines.film.furniture import Frame, Layout
from pipelines.film.lettering import DARK, WHITE, Colour, Style, lay, line, width_of, written
from pipelines.film.rasteriser import Rasteriser
from pipelines.film.scene import Scene
from pipelines.film.view import FloatArray, View, view_of

_SEEN_SHARE = 0.10
"""A structure is labelled where it gives at least this part of a pixel's light."""


@dataclass(frozen=True, slots=True, eq=False)
class Label:
    """A name and where it stands for a whole shot.

    Parameters
    ----------
    name : str
        Drawable it belongs to.
    text : str
        As written.
    anchor_mm : ndarray, shape (3,)
        Point of the structure that the leader line ends at, LPS mm.
    is_left : bool
        Column.
    x, y : float
        Inner end of the words (towards the picture's middle) and their middle height, in pixels.
    """

    name: str
    text: str
    anchor_mm: FloatArray
    is_left: bool
    x: float = 0.0
    y: float = 0.0


def style_of(layout: Layout) -> Style:
    """Return how labels are written: 23 pixels high at 720 lines, outlined."""
    return Style(layout.px(23), WHITE, outline=layout.px(2))


def anchors(scene: Scene, small: Rasteriser) -> dict[str, FloatArray]:
    """Return, for each drawable that can be seen in a scene, a point well inside what is seen of it (LPS mm).

    A drawable that others hide has none.
    """
    shares = small.shares(scene)
    view = view_of(scene.camera, small.width, small.height)
    found = {}
    for index, drawable in enumerate(scene.drawables):
        seen = shares.share[index] > _SEEN_SHARE
        if seen.sum() >= 6:
            y, x = _inner_point(seen)
            found[drawable.name] = view.point_at(x + 0.5, y + 0.5, float(shares.depth_mm[index, y, x]))
    return found


def _inner_point(seen: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the row and column that lie deepest inside a region, preferring the upper part."""
    depth = ndimage.distance_transform_edt(np.pad(seen, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return int(row), int(column)


def extent(scene: Scene, small: Rasteriser, layout: Layout) -> tuple[float, float]:
    """Return the left and right edge, in pixels of the film, of all that is drawn in a scene."""
    seen = np.flatnonzero((small.render(scene).nearest >= 0).any(axis=0))
    if not len(seen):
        return layout.width * 0.35, layout.width * 0.65
    scale = layout.width / small.width
    return float(seen[0]) * scale, float(seen[-1] + 1) * scale


def arrange(
    texts: Mapping[str, str],
    points: Mapping[str, FloatArray],
    view: View,
    layout: Layout,
    edges: tuple[float, float],
    top_left: float,
) -> list[Label]:
    """Return labels placed left and right of the body, in the order of their anchors, well apart.

    Parameters
    ----------
    texts : mapping
        What each drawable is called.
    points : mapping
        Anchors, LPS mm; a drawable without one gets no label.
    edges : tuple of float
        Left and right edge of the body in pixels.
    top_left : float
        Free height on the left, under the fact panel, in pixels.
    """
    at = {name: view.project(points[name][None])[0] for name in texts if name in points}
    order = sorted(at, key=lambda name: at[name][0])
    half = (len(order) + 1) // 2
    middle = (edges[0] + edges[1]) / 2
    left = [name for i, name in enumerate(order) if at[name][0] < middle or i < half // 2]
    left = left[: max(half, 1)] if len(left) > half + 1 else left
    labels = []
    for is_left in (True, False):
        names = sorted((n for n in order if (n in left) == is_left), key=lambda n: at[n][1])
        widest = max((width_of(texts[n], style_of(layout)) for n in names), default=0)
        x = _column(is_left, widest, edges, layout)
        top = top_left if is_left else layout.heading_bottom + layout.px(20)
        bottom = layout.caption_top - layout.px(26) if is_left else layout.band_top - layout.px(160)
        heights = _spread([float(at[n][1]) for n in names], top, bottom, layout.px(38))
        for name, y in zip(names, heights, strict=True):
            labels.append(Label(name, texts[name], points[name], is_left, x, y))
    return labels


def _column(is_left: bool, widest: int, edges: tuple[float, float], layout: Layout) -> float:
    """Return where the words of a column end towards the middle: beside the body, inside the margins."""
    gap = layout.px(44)
    if is_left:
        return max(edges[0] - gap, layout.margin + widest)
    return min(edges[1] + gap, layout.width - layout.margin - widest)


def _spread(wanted: Sequence[float], top: float, bottom: float, step: float) -> list[float]:
    """Return heights near those wanted (sorted), at least a step apart, between top and bottom."""
    step = min(step, (bottom - top) / max(len(wanted), 1))
    heights: list[float] = []
    for value in wanted:
        heights.append(max(value, top, heights[-1] + step if heights else top))
    limit = bottom
    for i in range(len(heights) - 1, -1, -1):
        heights[i] = min(heights[i], limit)
        limit = heights[i] - step
    return heights


def draw_label(
    frame: Frame, layout: Layout, view: View, label: Label, colour: Colour, strength: float
) -> None:
    """Draw one label and its leader line, in place; `strength` (0 to 1) fades it."""
    if strength < 0.02:
        return
    words = written(label.text, style_of(layout))
    point = view.project(label.anchor_mm[None])[0]
    tip = (
        min(max(float(point[0]), 2.0), layout.width - 2.0),
        min(max(float(point[1]), layout.heading_bottom), layout.caption_top + 0.0),
    )
    start = (label.x + layout.px(7) * (1 if label.is_left else -1), label.y)
    for width, ink, part in ((layout.px(4), DARK, 0.45), (layout.px(2) * 0.9, WHITE, 0.9)):
        line(frame, start, tip, width=width, colour=ink, opacity=part * strength)
    for width, ink in ((layout.px(11), DARK), (layout.px(8), colour)):
        line(frame, tip, tip, width=width, colour=ink, opacity=strength)
    left = label.x - words.width if label.is_left else label.x
    lay(frame, words.at(left, label.y - words.height / 2), strength)


def moved(label: Label, anchor_mm: FloatArray, text: str) -> Label:
    """Return a label whose anchor and words follow what moves, in the same place."""
    return replace(label, anchor_mm=anchor_mm, text=text)
