"""Compiled loops that turn triangles into fragments: a short list per pixel, sorted by depth.

Every pixel keeps the nearest fragment of each of its nearest drawables, however they come (k-buffer;
Bavoil et al. 2007), so that translucent surfaces blend in the right order without sorting triangles, and
a folded surface looks like one pane of glass instead of many. Positions are fixed point with 8 bits
below the pixel and the top-left rule decides edges, so that two triangles that share an edge never both
hit a sample: no seams.

A list is a row of 12 uint32: how many fragments, their nearness (bits of float32 1 / mm: for positive
numbers the bits sort like the number), their words. A word is
normal x 10 bits | normal y 10 | openness 6 | drawable 5 | hides what is behind 1.

Arrays are handed to the inner functions one by one: taking one out of a tuple counts references, which
costs more than the work itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.film.compiled import compiled

LAYERS = 5
SUBPIXEL = 256
ROW = 12
_NEAR = 1
_WORD = 6
_NEAR_MM = 1.0
_MOST_PX = 16000.0

Fixed = NDArray[np.int32]
Corners = NDArray[np.float32]
Cells = NDArray[np.uint32]
Cut = tuple[float, float, float, float, float, float, float, float, float, float]
"""A hole in eye coordinates: start (3), direction (3), radius squared, from, to, focal length in px."""

Real = Any
"""A float32 or float: inside compiled code the checker cannot tell them apart."""

Kind = tuple[int, bool, bool]
"""What all fragments of one drawable share: its index, whether it hides what is behind, whether it is cut."""


class Lists(NamedTuple):
    """Fragment lists of a picture.

    `slot_of` maps a pixel to its place (-1: none); every place has one list for each of `offsets`
    (fixed point, x and y inside the pixel). `tiles` says which squares of 8 by 8 pixels have any place.
    """

    width: int
    height: int
    slot_of: NDArray[np.int32]
    offsets: NDArray[np.int32]
    cells: Cells
    tiles: NDArray[np.bool_]


@compiled
def project_points(
    points: NDArray[np.float32],
    normals: NDArray[np.float32],
    origin: NDArray[np.float64],
    axes: NDArray[np.float64],
    lens: tuple[float, float, float],
    xy: Fixed,
    seen: Corners,
) -> None:
    """Fill `xy` (fixed point) and columns 0 to 3 of `seen` (nearness, eye normal) from points and normals.

    `lens` is focal length, centre x and centre y in pixels. A vertex behind the near plane or far outside
    the picture gets nearness 0 and drops its triangles.
    """
    focal, centre_x, centre_y = lens
    for i in range(points.shape[0]):
        dx, dy, dz = points[i, 0] - origin[0], points[i, 1] - origin[1], points[i, 2] - origin[2]
        ahead = dx * axes[2, 0] + dy * axes[2, 1] + dz * axes[2, 2]
        seen[i, 0] = 0.0
        if ahead < _NEAR_MM:
            continue
        x = centre_x + focal * (dx * axes[0, 0] + dy * axes[0, 1] + dz * axes[0, 2]) / ahead
        y = centre_y + focal * (dx * axes[1, 0] + dy * axes[1, 1] + dz * axes[1, 2]) / ahead
        if abs(x) > _MOST_PX or abs(y) > _MOST_PX:
            continue
        xy[i, 0], xy[i, 1] = round(x * SUBPIXEL), round(y * SUBPIXEL)
        seen[i, 0] = 1.0 / ahead
        nx, ny, nz = normals[i, 0], normals[i, 1], normals[i, 2]
        seen[i, 1] = nx * axes[0, 0] + ny * axes[0, 1] + nz * axes[0, 2]
        seen[i, 2] = -(nx * axes[1, 0] + ny * axes[1, 1] + nz * axes[1, 2])
        seen[i, 3] = -(nx * axes[2, 0] + ny * axes[2, 1] + nz * axes[2, 2])


@compiled
def pack(nx: Real, ny: Real, nz: Real, openness: Real, index: int, hides: bool) -> np.uint32:
    """Return the word of a fragment: its unit normal towards the eye, openness and drawable."""
    nz = max(nz, np.float32(0.0))
    scale = np.float32(511.5) / max(np.float32(np.sqrt(nx * nx + ny * ny + nz * nz)), np.float32(1e-6))
    u = int(nx * scale + np.float32(512.0))
    v = int(ny * scale + np.float32(512.0))
    o = int(min(max(openness, np.float32(0.0)), np.float32(1.0)) * np.float32(63.0) + np.float32(0.5))
    return np.uint32((u << 22) | (v << 12) | (o << 6) | (index << 1) | (1 if hides else 0))


@compiled
def is_in_cut(x_px: Real, y_px: Real, near: Real, cut: Cut) -> bool:
    """Return whether a fragment lies in the hole; x and y are pixels from the picture's centre."""
    ahead = 1.0 / near
    dx = x_px / cut[9] * ahead - cut[0]
    dy = y_px / cut[9] * ahead - cut[1]
    dz = ahead - cut[2]
    along = dx * cut[3] + dy * cut[4] + dz * cut[5]
    if along < cut[7] or along > cut[8]:
        return False
    return bool(dx * dx + dy * dy + dz * dz - along * along < cut[6])


@compiled
def is_hidden(cells: Cells, at: int, near: np.uint32, index: int) -> bool:
    """Return whether a fragment lies behind an opaque one, or behind another of its own drawable."""
    n = int(cells[at, 0])
    if (
        n > 0
        and cells[at, _NEAR + n - 1] >= near
        and (n == LAYERS or cells[at, _WORD + n - 1] & np.uint32(1))
    ):
        return True
    for i in range(n):
        if cells[at, _NEAR + i] < near:
            return False
        if (cells[at, _WORD + i] >> np.uint32(1)) & np.uint32(31) == index:
            return True
    return False


@compiled
def insert(cells: Cells, at: int, near: np.uint32, word: np.uint32) -> None:
    """Put a fragment that is not hidden into list `at`; what it hides goes, and its drawable's former one."""
    n = int(cells[at, 0])
    i = n
    while i > 0 and cells[at, _NEAR + i - 1] < near:
        i -= 1
    last = i
    if not word & np.uint32(1):
        while last < n and (cells[at, _WORD + last] ^ word) & np.uint32(0x3E):
            last += 1
        last = min(last, LAYERS - 1)
        for j in range(last, i, -1):
            cells[at, _NEAR + j] = cells[at, _NEAR + j - 1]
            cells[at, _WORD + j] = cells[at, _WORD + j - 1]
        last = max(last, n - 1)
    cells[at, 0] = last + 1
    cells[at, _NEAR + i] = near
    cells[at, _WORD + i] = word


@compiled
def edge_bias(dx: int, dy: int) -> int:
    """Return 0 for a top or left edge, -1 for the others: a sample on an edge belongs to one triangle."""
    return 0 if dy < 0 or (dy == 0 and dx > 0) else -1


@compiled
def draw_triangles(
    triangles: NDArray[np.int32], xy: Fixed, seen: Corners, lists: Lists, kind: Kind, cut: Cut
) -> None:
    """Put the fragments of every triangle that faces the eye into the lists."""
    slot_of, offsets, cells, tiles = lists.slot_of, lists.offsets, lists.cells, lists.tiles
    width, height = lists.width, lists.height
    low, high = offsets.min(), offsets.max()
    for t in range(triangles.shape[0]):
        # outward triangles that face the eye turn to the left where y grows upwards, so to the right here
        a, c, b = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        if seen[a, 0] == 0.0 or seen[b, 0] == 0.0 or seen[c, 0] == 0.0:
            continue
        ax, ay, bx, by, cx, cy = xy[a, 0], xy[a, 1], xy[b, 0], xy[b, 1], xy[c, 0], xy[c, 1]
        if np.int64(bx - ax) * np.int64(cy - ay) - np.int64(by - ay) * np.int64(cx - ax) <= 0:
            continue
        x0 = max((min(ax, bx, cx) - high + SUBPIXEL - 1) >> 8, 0)
        x1 = min((max(ax, bx, cx) - low) >> 8, width - 1)
        y0 = max((min(ay, by, cy) - high + SUBPIXEL - 1) >> 8, 0)
        y1 = min((max(ay, by, cy) - low) >> 8, height - 1)
        if x0 <= x1 and y0 <= y1 and has_place(tiles, x0, x1, y0, y1):
            box = (x0, x1, y0, y1, width, height)
            draw_one((a, b, c), (ax, ay, bx, by, cx, cy), box, seen, slot_of, offsets, cells, kind, cut)


@compiled
def has_place(tiles: NDArray[np.bool_], x0: int, x1: int, y0: int, y1: int) -> bool:
    """Return whether any tile that a box of pixels touches has a place for fragments."""
    for j in range(y0 >> 3, (y1 >> 3) + 1):
        for i in range(x0 >> 3, (x1 >> 3) + 1):
            if tiles[j, i]:
                return True
    return False


@compiled
def draw_one(
    abc: tuple[int, int, int],
    corners: tuple[int, int, int, int, int, int],
    box: tuple[int, int, int, int, int, int],
    seen: Corners,
    slot_of: NDArray[np.int32],
    offsets: NDArray[np.int32],
    cells: Cells,
    kind: Kind,
    cut: Cut,
) -> None:
    """Put the fragments of one triangle into the lists.

    `box` is its first and last column, first and last row, and the picture's width and height.
    """
    ax, ay, bx, by, cx, cy = corners
    step_a = (np.int64(by - cy), np.int64(cx - bx))
    step_b = (np.int64(cy - ay), np.int64(ax - cx))
    area = np.int64(bx - ax) * np.int64(cy - ay) - np.int64(by - ay) * np.int64(cx - ax)
    bias_a, bias_b, bias_c = (
        edge_bias(cx - bx, cy - by),
        edge_bias(ax - cx, ay - cy),
        edge_bias(bx - ax, by - ay),
    )
    samples, share = offsets.shape[0], np.float32(1.0) / np.float32(area)
    for y in range(box[2], box[3] + 1):
        for x in range(box[0], box[1] + 1):
            slot = slot_of[y * box[4] + x]
            if slot < 0:
                continue
            for s in range(samples):
                px, py = x * SUBPIXEL + offsets[s, 0], y * SUBPIXEL + offsets[s, 1]
                wa = step_a[0] * (px - bx) + step_a[1] * (py - by)
                wb = step_b[0] * (px - cx) + step_b[1] * (py - cy)
                wc = area - wa - wb
                if wa + bias_a >= 0 and wb + bias_b >= 0 and wc + bias_c >= 0:
                    u, v = np.float32(wa) * share, np.float32(wb) * share
                    away = (px / SUBPIXEL - box[4] * 0.5, py / SUBPIXEL - box[5] * 0.5)
                    add_fragment(abc, u, v, away, seen, cells, slot * samples + s, kind, cut)


@compiled
def add_fragment(
    abc: tuple[int, int, int],
    u: Real,
    v: Real,
    away_px: tuple[float, float],
    seen: Corners,
    cells: Cells,
    at: int,
    kind: Kind,
    cut: Cut,
) -> None:
    """Add one fragment to list `at`, unless it is hidden or cut away; `u` and `v` weigh corners a and b."""
    a, b, c = abc
    w = np.float32(1.0) - u - v
    near = np.float32(u * seen[a, 0] + v * seen[b, 0] + w * seen[c, 0])
    bits = near.view(np.uint32)
    if is_hidden(cells, at, bits, kind[0]):
        return
    if kind[2] and is_in_cut(away_px[0], away_px[1], near, cut):
        return
    word = pack(
        u * seen[a, 1] + v * seen[b, 1] + w * seen[c, 1],
        u * seen[a, 2] + v * seen[b, 2] + w * seen[c, 2],
        u * seen[a, 3] + v * seen[b, 3] + w * seen[c, 3],
        u * seen[a, 4] + v * seen[b, 4] + w * seen[c, 4],
        kind[0],
        kind[1],
    )
    insert(cells, at, bits, word)


@compiled
def mark_edges(lists: Lists, gap_mm: float, most: int, fine: Lists) -> int:
    """Give every pixel on an edge a place in `fine` (none elsewhere), and return how many there are.

    An edge is where a right or lower neighbour shows other drawables, or the same at another depth.
    """
    slot_of, tiles = fine.slot_of, fine.tiles
    slot_of[:] = -1
    tiles[:] = False
    width, cells = lists.width, lists.cells
    nearness = cells.view(np.float32)
    for p in range(width * lists.height):
        if (p + 1) % width and differs(cells, nearness, p, p + 1, gap_mm):
            slot_of[p] = 0
            slot_of[p + 1] = 0
        if p + width < width * lists.height and differs(cells, nearness, p, p + width, gap_mm):
            slot_of[p] = 0
            slot_of[p + width] = 0
    found = 0
    for p in range(width * lists.height):
        if slot_of[p] == 0:
            slot_of[p] = found if found < most else -1
            tiles[p // width >> 3, p % width >> 3] = True
            found += 1
    return min(found, most)


@compiled
def differs(cells: Cells, nearness: NDArray[np.float32], p: int, q: int, gap_mm: float) -> bool:
    """Return whether two neighbours show other drawables, or the same ones at another depth."""
    if cells[p, 0] != cells[q, 0]:
        return True
    for i in range(cells[p, 0]):
        if (cells[p, _WORD + i] ^ cells[q, _WORD + i]) & np.uint32(0x3F):
            return True
        near, far = nearness[p, _NEAR + i], nearness[q, _NEAR + i]
        if abs(near - far) > gap_mm * near * far:
            return True
    return False
