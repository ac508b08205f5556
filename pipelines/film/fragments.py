"""Compiled loops that turn triangles into fragments: a short list per pixel, sorted by depth.

Every pixel keeps its nearest fragments, however they come (k-buffer; Bavoil et al. 2007), so that
translucent surfaces blend in the right order without sorting triangles. Positions are fixed point
with 8 bits below the pixel and the top-left rule decides edges, so that two triangles that share an
edge never both hit a sample: no seams in glassy surfaces.

A fragment is a float32 (1 / depth in mm) and a uint32:
normal x 10 bits | normal y 10 | openness 6 | drawable 5 | hides what is behind 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.film.compiled import compiled

LAYERS = 5
SUBPIXEL = 256
_NEAR_MM = 1.0
_MOST_PX = 16000.0


class Corners(NamedTuple):
    """Vertices as the camera sees them: fixed-point x and y, 1 / depth, eye normal, openness."""

    x: NDArray[np.int32]
    y: NDArray[np.int32]
    near: NDArray[np.float32]
    normal: NDArray[np.float32]
    openness: NDArray[np.float32]


class Lists(NamedTuple):
    """Fragment lists: `slot_of` maps a pixel to its place (-1: none); each place has one list a sample."""

    width: int
    height: int
    slot_of: NDArray[np.int32]
    offsets: NDArray[np.int32]
    near: NDArray[np.float32]
    word: NDArray[np.uint32]
    count: NDArray[np.uint8]


class Cut(NamedTuple):
    """A hole in eye coordinates: start (3), direction (3), radius squared, from, to, focal length in px."""

    start: NDArray[np.float64]
    direction: NDArray[np.float64]
    radius2: float
    low: float
    high: float
    focal: float


class Kind(NamedTuple):
    """What all fragments of one drawable share."""

    index: int
    hides: bool
    is_cut: bool


@compiled
def project_points(
    points: NDArray[np.float32],
    normals: NDArray[np.float32],
    origin: NDArray[np.float64],
    axes: NDArray[np.float64],
    lens: tuple[float, float, float],
    out: Corners,
) -> None:
    """Fill `out` from points and normals; `lens` is focal length, centre x and centre y in pixels.

    A vertex behind the near plane or far outside the picture gets `near` 0 and drops its triangles.
    """
    focal, centre_x, centre_y = lens
    for i in range(points.shape[0]):
        dx, dy, dz = points[i, 0] - origin[0], points[i, 1] - origin[1], points[i, 2] - origin[2]
        ahead = dx * axes[2, 0] + dy * axes[2, 1] + dz * axes[2, 2]
        out.near[i] = 0.0
        if ahead < _NEAR_MM:
            continue
        x = centre_x + focal * (dx * axes[0, 0] + dy * axes[0, 1] + dz * axes[0, 2]) / ahead
        y = centre_y + focal * (dx * axes[1, 0] + dy * axes[1, 1] + dz * axes[1, 2]) / ahead
        if abs(x) > _MOST_PX or abs(y) > _MOST_PX:
            continue
        out.x[i], out.y[i] = round(x * SUBPIXEL), round(y * SUBPIXEL)
        out.near[i] = 1.0 / ahead
        nx, ny, nz = normals[i, 0], normals[i, 1], normals[i, 2]
        out.normal[i, 0] = nx * axes[0, 0] + ny * axes[0, 1] + nz * axes[0, 2]
        out.normal[i, 1] = -(nx * axes[1, 0] + ny * axes[1, 1] + nz * axes[1, 2])
        out.normal[i, 2] = -(nx * axes[2, 0] + ny * axes[2, 1] + nz * axes[2, 2])


@compiled
def pack(
    nx: float, ny: float, nz: float, openness: float, kind: Kind
) -> np.uint32:
    """Return the word of a fragment: its unit normal towards the eye, openness and drawable."""
    nz = max(nz, 0.0)
    length = max((nx * nx + ny * ny + nz * nz) ** 0.5, 1e-6)
    u = int((nx / length * 0.5 + 0.5) * 1023.0 + 0.5)
    v = int((ny / length * 0.5 + 0.5) * 1023.0 + 0.5)
    o = int(min(max(openness, 0.0), 1.0) * 63.0 + 0.5)
    return np.uint32((u << 22) | (v << 12) | (o << 6) | (kind.index << 1) | (1 if kind.hides else 0))


@compiled
def is_in_cut(x_px: float, y_px: float, near: float, cut: Cut) -> bool:
    """Return whether a fragment lies in the hole; x and y are pixels from the picture's centre."""
    ahead = 1.0 / near
    dx = x_px / cut.focal * ahead - cut.start[0]
    dy = y_px / cut.focal * ahead - cut.start[1]
    dz = ahead - cut.start[2]
    along = dx * cut.direction[0] + dy * cut.direction[1] + dz * cut.direction[2]
    if along < cut.low or along > cut.high:
        return False
    return bool(dx * dx + dy * dy + dz * dz - along * along < cut.radius2)


@compiled
def place(lists: Lists, at: int, near: float) -> int:
    """Return where in the sorted list a fragment belongs; -1 if it is hidden or too far down."""
    n = int(lists.count[at])
    i = n
    while i > 0 and lists.near[at, i - 1] < near:
        i -= 1
    if i >= LAYERS or (i > 0 and i == n and lists.word[at, n - 1] & np.uint32(1)):
        return -1
    return i


@compiled
def insert(lists: Lists, at: int, i: int, near: float, word: np.uint32) -> None:
    """Put a fragment at place `i` of list `at`; what an opaque one hides is dropped."""
    if word & np.uint32(1):
        lists.count[at] = i + 1
    else:
        n = min(int(lists.count[at]) + 1, LAYERS)
        for j in range(n - 1, i, -1):
            lists.near[at, j] = lists.near[at, j - 1]
            lists.word[at, j] = lists.word[at, j - 1]
        lists.count[at] = n
    lists.near[at, i] = near
    lists.word[at, i] = word


@compiled
def edge_bias(dx: int, dy: int) -> int:
    """Return 0 for a top or left edge, -1 for the others: a sample on an edge belongs to one triangle."""
    return 0 if dy < 0 or (dy == 0 and dx > 0) else -1


@compiled
def draw_triangles(triangles: NDArray[np.int32], corners: Corners, lists: Lists, kind: Kind, cut: Cut) -> None:
    """Put the fragments of every triangle that faces the eye into the lists."""
    low = lists.offsets.min()
    high = lists.offsets.max()
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        if corners.near[a] == 0.0 or corners.near[b] == 0.0 or corners.near[c] == 0.0:
            continue
        ax, ay = np.int64(corners.x[a]), np.int64(corners.y[a])
        bx, by = np.int64(corners.x[b]), np.int64(corners.y[b])
        cx, cy = np.int64(corners.x[c]), np.int64(corners.y[c])
        # y grows downwards, so an outward triangle that faces the eye turns the other way: swap b and c
        area = (cx - ax) * (by - ay) - (cy - ay) * (bx - ax)
        if area <= 0:
            continue
        x0 = max((min(ax, bx, cx) - high + SUBPIXEL - 1) >> 8, 0)
        x1 = min((max(ax, bx, cx) - low) >> 8, lists.width - 1)
        y0 = max((min(ay, by, cy) - high + SUBPIXEL - 1) >> 8, 0)
        y1 = min((max(ay, by, cy) - low) >> 8, lists.height - 1)
        if x0 > x1 or y0 > y1:
            continue
        draw_one((a, c, b), (x0, x1, y0, y1), corners, lists, kind, cut)


@compiled
def draw_one(
    abc: tuple[int, int, int],
    box: tuple[int, int, int, int],
    corners: Corners,
    lists: Lists,
    kind: Kind,
    cut: Cut,
) -> None:
    """Put the fragments of one triangle into the lists; `box` is its first and last column and row."""
    a, b, c = abc
    ax, ay = np.int64(corners.x[a]), np.int64(corners.y[a])
    bx, by = np.int64(corners.x[b]), np.int64(corners.y[b])
    cx, cy = np.int64(corners.x[c]), np.int64(corners.y[c])
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    bias_a, bias_b, bias_c = edge_bias(cx - bx, cy - by), edge_bias(ax - cx, ay - cy), edge_bias(bx - ax, by - ay)
    samples = lists.offsets.shape[0]
    for y in range(box[2], box[3] + 1):
        for x in range(box[0], box[1] + 1):
            slot = lists.slot_of[y * lists.width + x]
            if slot < 0:
                continue
            for s in range(samples):
                px = np.int64(x) * SUBPIXEL + lists.offsets[s, 0]
                py = np.int64(y) * SUBPIXEL + lists.offsets[s, 1]
                wa = (cx - bx) * (py - by) - (cy - by) * (px - bx)
                wb = (ax - cx) * (py - cy) - (ay - cy) * (px - cx)
                wc = area - wa - wb
                if wa + bias_a < 0 or wb + bias_b < 0 or wc + bias_c < 0:
                    continue
                add_fragment(abc, (wa / area, wb / area, wc / area), (px, py), slot * samples + s, corners, lists, kind, cut)


@compiled
def add_fragment(
    abc: tuple[int, int, int],
    weights: tuple[float, float, float],
    at_px: tuple[int, int],
    at: int,
    corners: Corners,
    lists: Lists,
    kind: Kind,
    cut: Cut,
) -> None:
    """Add one fragment to list `at`, unless it is hidden or in the hole."""
    a, b, c = abc
    u, v, w = weights
    near = u * corners.near[a] + v * corners.near[b] + w * corners.near[c]
    i = place(lists, at, near)
    if i < 0:
        return
    if kind.is_cut and is_in_cut(
        at_px[0] / SUBPIXEL - lists.width * 0.5, at_px[1] / SUBPIXEL - lists.height * 0.5, near, cut
    ):
        return
    word = pack(
        u * corners.normal[a, 0] + v * corners.normal[b, 0] + w * corners.normal[c, 0],
        u * corners.normal[a, 1] + v * corners.normal[b, 1] + w * corners.normal[c, 1],
        u * corners.normal[a, 2] + v * corners.normal[b, 2] + w * corners.normal[c, 2],
        u * corners.openness[a] + v * corners.openness[b] + w * corners.openness[c],
        kind,
    )
    insert(lists, at, i, near, word)


@compiled
def mark_edges(lists: Lists, gap_mm: float, most: int, slot_of: NDArray[np.int32]) -> int:
    """Give every pixel on an edge a slot in `slot_of` (-1 elsewhere), and return how many there are.

    An edge is where a right or lower neighbour shows other drawables, or the same at another depth.
    """
    slot_of[:] = -1
    width = lists.width
    for p in range(width * lists.height):
        if (p + 1) % width and differs(lists, p, p + 1, gap_mm):
            slot_of[p] = 0
            slot_of[p + 1] = 0
        if p + width < width * lists.height and differs(lists, p, p + width, gap_mm):
            slot_of[p] = 0
            slot_of[p + width] = 0
    found = 0
    for p in range(width * lists.height):
        if slot_of[p] == 0:
            slot_of[p] = found if found < most else -1
            found += 1
    return min(found, most)


@compiled
def differs(lists: Lists, p: int, q: int, gap_mm: float) -> bool:
    """Return whether two neighbours show other drawables, or the same ones at another depth."""
    if lists.count[p] != lists.count[q]:
        return True
    for i in range(lists.count[p]):
        if (lists.word[p, i] ^ lists.word[q, i]) & np.uint32(0x3F):
            return True
        near, far = lists.near[p, i], lists.near[q, i]
        if abs(near - far) > gap_mm * near * far:
            return True
    return False
