"""Three CT planes through a point, as a radiologist reads them: the patient's right on the picture's left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medviz.core.anatomy import structure
from medviz.core.plan import Point
from medviz.core.segmentation import Segmentation
from medviz.core.volume import Volume
from pipelines.film.furniture import Frame, Layout, draw_scale_bar
from pipelines.film.lettering import AMBER, DARK, GREY, WHITE, Colour, Style, lay, line, written
from pipelines.film.view import FloatArray


@dataclass(frozen=True, slots=True)
class Plane:
    """A way to cut: the picture's right and down as LPS directions, and the letters of its four sides.

    `letters` are left, right, top, bottom.
    """

    title: str
    right: Point
    down: Point
    letters: str


PLANES = (
    Plane("axial", (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), "RLAP"),
    Plane("coronal", (1.0, 0.0, 0.0), (0.0, 0.0, -1.0), "RLSI"),
    Plane("sagittal", (0.0, 1.0, 0.0), (0.0, 0.0, -1.0), "APSI"),
)


@dataclass(frozen=True, slots=True)
class Window:
    """A CT window: width and level in HU."""

    width_hu: float = 80.0
    level_hu: float = 40.0


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One plane in the frame.

    Parameters
    ----------
    plane : Plane
        How it is cut.
    left, top, width, height : int
        Its place in the frame, in pixels.
    middle_mm : ndarray, shape (3,)
        LPS point at the panel's middle.
    px_per_mm : float
        Scale, the same in both directions.
    """

    plane: Plane
    left: int
    top: int
    width: int
    height: int
    middle_mm: FloatArray
    px_per_mm: float

    def at(self, point_mm: Point | FloatArray) -> tuple[float, float]:
        """Return where a point (LPS mm), moved straight onto the plane, lies in the frame (pixels)."""
        away = np.asarray(point_mm, dtype=np.float64) - self.middle_mm
        x = self.left + self.width / 2 + float(away @ self.plane.right) * self.px_per_mm
        y = self.top + self.height / 2 + float(away @ self.plane.down) * self.px_per_mm
        return x, y

    def points_mm(self) -> FloatArray:
        """Return the LPS points in mm of all pixel centres, shape (height * width, 3)."""
        x = (np.arange(self.width) + 0.5 - self.width / 2) / self.px_per_mm
        y = (np.arange(self.height) + 0.5 - self.height / 2) / self.px_per_mm
        across = x[None, :, None] * np.asarray(self.plane.right)
        down = y[:, None, None] * np.asarray(self.plane.down)
        result: FloatArray = (self.middle_mm + across + down).reshape(-1, 3)
        return result


def panels(segmentation: Segmentation, point_mm: Point, layout: Layout) -> tuple[Panel, ...]:
    """Return the three panels through a point, all at one scale that lets the body fit."""
    low, high = body_box(segmentation)
    gap, top = layout.px(14), layout.heading_bottom + layout.px(4)
    width = (layout.width - 2 * layout.margin - 2 * gap) // 3
    height = layout.caption_top - layout.px(8) - top
    size = high - low
    scale = min(
        min(width / abs(size @ np.asarray(plane.right)), height / abs(size @ np.asarray(plane.down)))
        for plane in PLANES
    )
    point, result = np.asarray(point_mm, dtype=np.float64), []
    for index, plane in enumerate(PLANES):
        in_plane = np.abs(np.asarray(plane.right)) + np.abs(np.asarray(plane.down))
        middle = np.where(in_plane > 0, (low + high) / 2, point)
        left = layout.margin + index * (width + gap)
        result.append(Panel(plane, left, top, width, height, middle, float(scale)))
    return tuple(result)


def body_box(segmentation: Segmentation, *, border_mm: float = 6.0) -> tuple[FloatArray, FloatArray]:
    """Return the lowest and highest LPS corner (mm) of all that is segmented, with a border."""
    sides = []
    for axis in range(3):
        others = tuple(i for i in range(3) if i != axis)
        used = np.flatnonzero((segmentation.labels > 0).any(axis=others))
        sides.append((used[0], used[-1]) if len(used) else (0, segmentation.grid.shape[axis] - 1))
    corners = np.array([[k, r, c] for k in sides[0] for r in sides[1] for c in sides[2]], dtype=np.float64)
    points = segmentation.grid.points(corners)
    return points.min(axis=0) - border_mm, points.max(axis=0) + border_mm


def draw_planes(
    frame: Frame,
    shown: tuple[Panel, ...],
    volume: Volume,
    segmentation: Segmentation,
    outlined: Mapping[str, Colour],
    window: Window,
) -> None:
    """Draw the three planes with the outlines of structures, in place. The slow part; nothing in it moves."""
    for panel in shown:
        area = frame[panel.top : panel.top + panel.height, panel.left : panel.left + panel.width]
        area[:] = grey(volume, panel, window)[:, :, None]
        labels = _labels_in(segmentation, panel)
        for name, colour in outlined.items():
            _outline(area, _mask(labels, name), panel, segmentation, colour)


def grey(volume: Volume, panel: Panel, window: Window) -> NDArray[np.uint8]:
    """Return the plane's levels as 0 to 255 in a window; outside the volume is black."""
    at = volume.grid.indices(panel.points_mm()).T
    levels = ndimage.map_coordinates(
        volume.voxels, at, output=np.float32, order=1, cval=-3000.0, prefilter=False
    )
    share = (levels - (window.level_hu - window.width_hu / 2)) / window.width_hu
    result: NDArray[np.uint8] = np.round(np.clip(share, 0, 1) * 235).astype(np.uint8)
    return result.reshape(panel.height, panel.width)


def _labels_in(segmentation: Segmentation, panel: Panel) -> NDArray[np.uint8]:
    """Return the label of the nearest voxel for every pixel of a panel; 0 outside the grid."""
    at = np.rint(segmentation.grid.indices(panel.points_mm())).astype(np.int64)
    inside = ((at >= 0) & (at < np.asarray(segmentation.grid.shape))).all(axis=1)
    labels = np.zeros(len(at), dtype=np.uint8)
    labels[inside] = segmentation.labels[tuple(at[inside].T)]
    return labels.reshape(panel.height, panel.width)


def _mask(labels: NDArray[np.uint8], name: str) -> NDArray[np.bool_]:
    wanted = structure(name)
    return np.isin(labels, [structure(member).label for member in wanted.members] or [wanted.label])


def _outline(
    area: Frame, mask: NDArray[np.bool_], panel: Panel, segmentation: Segmentation, colour: Colour
) -> None:
    """Draw the edge of a mask as a smooth line about two pixels wide."""
    if not mask.any():
        return
    blur = 0.6 * max(segmentation.grid.spacing_mm) * panel.px_per_mm
    soft = ndimage.gaussian_filter(mask.astype(np.float32), max(blur, 0.8))
    slope = np.maximum(np.hypot(*np.gradient(soft)), 1e-3)
    alpha = np.clip(1.6 - np.abs(soft - 0.5) / slope, 0, 1) * (slope > 0.01)
    tint = np.asarray(colour, dtype=np.float32)
    area[:] = np.round(area + (tint - area) * alpha[:, :, None]).astype(np.uint8)


def draw_marks(frame: Frame, layout: Layout, shown: tuple[Panel, ...], point_mm: Point) -> None:
    """Draw titles, side letters, crosshair and scale bar of each plane, in place."""
    for panel in shown:
        _crosshair(frame, layout, panel, point_mm)
        title = written(panel.plane.title, Style(layout.px(22), WHITE, outline=layout.px(2)))
        lay(frame, title.at(panel.left + layout.px(8), panel.top + layout.px(4)))
        _letters(frame, layout, panel)
        at = (panel.left + layout.px(14), panel.top + panel.height - layout.px(16))
        draw_scale_bar(frame, layout, panel.px_per_mm, at, most=130)


def _letters(frame: Frame, layout: Layout, panel: Panel) -> None:
    signs = [written(letter, Style(layout.px(24), AMBER, 1, layout.px(2))) for letter in panel.plane.letters]
    inset, middle_x, middle_y = layout.px(6), panel.left + panel.width / 2, panel.top + panel.height / 2
    places = (
        (panel.left + inset, middle_y - signs[0].height / 2),
        (panel.left + panel.width - inset - signs[1].width, middle_y - signs[1].height / 2),
        (middle_x - signs[2].width / 2, panel.top + inset / 2),
        (middle_x - signs[3].width / 2, panel.top + panel.height - inset / 2 - signs[3].height),
    )
    for sign, (x, y) in zip(signs, places, strict=True):
        lay(frame, sign.at(x, y))


def _crosshair(frame: Frame, layout: Layout, panel: Panel, point_mm: Point) -> None:
    x, y = panel.at(point_mm)
    gap, right, bottom = layout.px(16), panel.left + panel.width, panel.top + panel.height
    across = (((panel.left, y), (x - gap, y)), ((x + gap, y), (right, y)))
    down = (((x, panel.top), (x, y - gap)), ((x, y + gap), (x, bottom)))
    for start, end in (*across, *down):
        line(frame, start, end, width=layout.px(1), colour=GREY, opacity=0.55)


def draw_needle(
    frame: Frame,
    layout: Layout,
    shown: tuple[Panel, ...],
    way: tuple[FloatArray, FloatArray],
    tip_mm: FloatArray | None,
) -> None:
    """Draw the planned way (dashes) and the needle as far as it has come, moved straight onto each plane."""
    for panel in shown:
        entry, target = panel.at(way[0]), panel.at(way[1])
        _dashes(frame, layout, entry, target)
        if tip_mm is not None:
            tip = panel.at(tip_mm)
            line(frame, entry, tip, width=layout.px(5), colour=DARK, opacity=0.6)
            line(frame, entry, tip, width=layout.px(3), colour=(226, 232, 240))
        line(frame, target, target, width=layout.px(9), colour=DARK)
        line(frame, target, target, width=layout.px(6), colour=AMBER)


def _dashes(frame: Frame, layout: Layout, start: tuple[float, float], end: tuple[float, float]) -> None:
    length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
    count = max(int(length / layout.px(12)), 1)
    for i in range(count):
        ends = [
            (start[0] + (end[0] - start[0]) * f, start[1] + (end[1] - start[1]) * f)
            for f in (i / count, (i + 0.55) / count)
        ]
        line(frame, ends[0], ends[1], width=layout.px(2), colour=AMBER, opacity=0.9)


def whole_window(volume: Volume) -> Window:
    """Return a window over the middle 98 % of the volume's levels, for images without Hounsfield units."""
    low, high = np.percentile(volume.voxels[::4, ::4, ::4], (1, 99))
    return Window(max(float(high - low), 1.0), float(low + high) / 2)
