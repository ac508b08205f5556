"""Compiled loops that turn fragment lists into a picture: light, glass, warning glow, edges, tone.

Light is linear until the last step. A soft key light stands up and to the left of the camera, a cool
fill to the right, and a rim light behind, as on a photographer's table.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.film.compiled import compiled
from pipelines.film.fragments import Cells, Lists

GLOW_GRAIN = 8
"""Side in pixels of the cells in which the warning glow spreads."""

_STRIPE_MM = 5.0


Light = tuple[float, float, float, float, float]

Lens = tuple[float, float, float, float, float, float]
"""Where the sum of a point's LPS coordinates comes from (eye, per px right, per px down, ahead: times
depth), and where haze begins and how deep it is, in mm in front of the eye."""


class Look(NamedTuple):
    """What the drawables look like (row per drawable), what is behind them, and the lens.

    `paint` columns: linear red, green, blue, opacity, highlight, sharpness, softness, rim, glow, hatched.
    """

    paint: NDArray[np.float32]
    background: NDArray[np.float32]
    lens: Lens


@compiled
def lobe(cosine: float, sharpness: float) -> float:
    """Return a highlight without a power function (Schlick 1994): `cosine` 1 gives 1."""
    x = max(cosine, 0.0)
    return x / (sharpness - sharpness * x + x)


@compiled
def lit(word: np.uint32, paint: NDArray[np.float32], row: int) -> Light:
    """Return linear red, green, blue, opacity and glow of a fragment."""
    nx = ((word >> np.uint32(22)) & np.uint32(1023)) / 1023.0 * 2.0 - 1.0
    ny = ((word >> np.uint32(12)) & np.uint32(1023)) / 1023.0 * 2.0 - 1.0
    openness = ((word >> np.uint32(6)) & np.uint32(63)) / 63.0
    nz = max(1.0 - nx * nx - ny * ny, 0.0) ** 0.5
    key = -0.477 * nx + 0.636 * ny + 0.607 * nz
    fill = 0.755 * nx - 0.151 * ny + 0.638 * nz
    soft = paint[row, 6]
    key = max((key + soft) / (1.0 + soft), 0.0)
    fill = max((fill + 0.4) / 1.4, 0.0)
    shine = paint[row, 4] * (lobe(-0.266 * nx + 0.355 * ny + 0.896 * nz, paint[row, 5]))
    edge = 1.0 - nz
    rim = paint[row, 7] * edge * edge * edge * max(0.35 + 0.65 * ny + 0.25 * nx, 0.0)
    shade = 0.30 + 0.70 * openness
    ambient = (0.17 + 0.08 * ny) * shade * shade
    outline = 1.0 - 0.50 * edge * edge * edge
    k, f = 1.0 * key * key * shade, 0.22 * fill * shade
    red = paint[row, 0] * (k * 1.04 + f * 0.80 + ambient * 0.95) * outline + shine * shade + rim * 0.85
    green = paint[row, 1] * (k + f * 0.92 + ambient) * outline + shine * shade * 0.98 + rim * 0.95
    blue = (
        paint[row, 2] * (k * 0.94 + f * 1.15 + ambient * 1.12) * outline + shine * shade * 0.94 + rim * 1.10
    )
    opacity = paint[row, 3]
    thin = opacity * (0.36 + 0.64 * opacity)
    thick = 1.0 - (1.0 - opacity) ** 3
    clear = 1.0 - 0.36 * (1.0 - opacity) * nz  # glass that faces the eye adds little light of its own
    return red * clear, green * clear, blue * clear, thin + (thick - thin) * edge * edge, paint[row, 8]


@compiled
def striped(light: Light, x: float, y: float, near: float, lens: Lens) -> Light:
    """Return the light of a fragment of an unsure structure: dark stripes fixed to the patient."""
    sum_mm = lens[0] + (x * lens[1] + y * lens[2] + lens[3]) / near
    phase = sum_mm / 1.7320508 / _STRIPE_MM
    wave = abs((phase - np.floor(phase)) * 2.0 - 1.0)
    dark = min(max((wave - 0.42) * 8.0, 0.0), 1.0)
    factor = 1.0 - 0.80 * dark
    return light[0] * factor, light[1] * factor, light[2] * factor, light[3] * (0.55 + 0.45 * dark), light[4]


@compiled
def blend(
    cells: Cells,
    nearness: NDArray[np.float32],
    at: int,
    away: tuple[float, float],
    paint: NDArray[np.float32],
    lens: Lens,
    behind: tuple[float, float, float],
) -> Light:
    """Return linear red, green, blue, what shines through, and glow of a list of fragments.

    `away` is the place in pixels right of and below the picture's centre.
    """
    red, green, blue, through, glow = 0.0, 0.0, 0.0, 1.0, 0.0
    for i in range(cells[at, 0]):
        word = cells[at, 6 + i]
        row = (word >> np.uint32(1)) & np.uint32(31)
        light = lit(word, paint, row)
        if paint[row, 9] > 0.0:
            light = striped(light, away[0], away[1], nearness[at, 1 + i], lens)
        haze = min(max((1.0 / nearness[at, 1 + i] - lens[4]) / lens[5], 0.0), 1.0) * 0.45
        warm = light[4]
        share = through * (1.0 if word & np.uint32(1) else min(light[3] + (1.0 - light[3]) * 0.5 * warm, 1.0))
        clear = 1.0 - haze
        red += share * ((light[0] * (1.0 - 0.60 * warm) + warm * 0.62) * clear + behind[0] * haze)
        green += share * ((light[1] * (1.0 - 0.80 * warm) + warm * 0.11) * clear + behind[1] * haze)
        blue += share * ((light[2] * (1.0 - 0.95 * warm) + warm * 0.004) * clear + behind[2] * haze)
        if warm > 0.0:  # a warning shines through what covers it
            beam = through**0.4 * warm
            red += 0.40 * beam
            green += 0.10 * beam
            glow += beam
        through -= share
        if through < 0.004:
            break
    return (
        red + through * behind[0], green + through * behind[1], blue + through * behind[2], through, glow,
    )  # fmt: skip


@compiled
def resolve(
    lists: Lists, fine: Lists, look: Look, linear: NDArray[np.float32], glow: NDArray[np.float32]
) -> None:
    """Fill the linear picture (height, width, 3), and the glow per cell; edges are averaged from `fine`."""
    glow[:] = 0.0
    paint, background, lens = look.paint, look.background, look.lens
    cells, fine_cells, slot_of = lists.cells, fine.cells, fine.slot_of
    nearness, fine_nearness = cells.view(np.float32), fine_cells.view(np.float32)
    samples, width, height = fine.offsets.shape[0], lists.width, lists.height
    for y in range(height):
        for x in range(width):
            p = y * width + x
            slot = slot_of[p]
            behind = (background[y, x, 0], background[y, x, 1], background[y, x, 2])
            away = (x + 0.5 - width * 0.5, y + 0.5 - height * 0.5)
            warm = 0.0
            if slot < 0:
                if cells[p, 0] == 0:
                    linear[y, x, 0], linear[y, x, 1], linear[y, x, 2] = behind
                    continue
                light = blend(cells, nearness, p, away, paint, lens, behind)
                linear[y, x, 0], linear[y, x, 1], linear[y, x, 2] = light[0], light[1], light[2]
                warm = light[4]
            else:
                red, green, blue = 0.0, 0.0, 0.0
                for s in range(samples):
                    light = blend(fine_cells, fine_nearness, slot * samples + s, away, paint, lens, behind)
                    red, green, blue = (
                        red + min(light[0], 1.6),
                        green + min(light[1], 1.6),
                        blue + min(light[2], 1.6),
                    )
                    warm += light[4] / samples
                linear[y, x, 0], linear[y, x, 1], linear[y, x, 2] = (
                    red / samples,
                    green / samples,
                    blue / samples,
                )
            if warm > 0.0:
                glow[y // GLOW_GRAIN, x // GLOW_GRAIN] += warm / (GLOW_GRAIN * GLOW_GRAIN)


@compiled
def develop(
    linear: NDArray[np.float32],
    glow: NDArray[np.float32],
    noise: NDArray[np.float32],
    tone: NDArray[np.float32],
    rgb: NDArray[np.uint8],
) -> None:
    """Fill `rgb` with the sRGB picture: the spread glow added, highlights rolled off, noise against bands."""
    rows, columns = glow.shape
    for y in range(linear.shape[0]):
        gy = min(max((y + 0.5) / GLOW_GRAIN - 0.5, 0.0), rows - 1.001)
        j = int(gy)
        for x in range(linear.shape[1]):
            gx = min(max((x + 0.5) / GLOW_GRAIN - 0.5, 0.0), columns - 1.001)
            i = int(gx)
            u, v = gx - i, gy - j
            warm = (glow[j, i] * (1 - u) + glow[j, i + 1] * u) * (1 - v)
            warm += (glow[j + 1, i] * (1 - u) + glow[j + 1, i + 1] * u) * v
            grain = noise[y & 63, x & 63]
            rgb[y, x, 0] = quantised(linear[y, x, 0] + warm * 0.80, grain, tone)
            rgb[y, x, 1] = quantised(linear[y, x, 1] + warm * 0.22, grain, tone)
            rgb[y, x, 2] = quantised(linear[y, x, 2] + warm * 0.05, grain, tone)


@compiled
def quantised(value: float, grain: float, tone: NDArray[np.float32]) -> int:
    """Return a linear value (0 to 2) as 0 to 255 along the tone curve, with the grain added."""
    at = min(max(value, 0.0), 1.999) * (tone.shape[0] - 1) / 2.0
    i = int(at)
    level = tone[i] + (tone[i + 1] - tone[i]) * (at - i) + grain
    return int(min(max(level, 0.0), 255.0))


@compiled
def nearest_of(lists: Lists, nearest: NDArray[np.int16], depth_mm: NDArray[np.float32]) -> None:
    """Fill which drawable is nearest in each pixel (-1: none) and its distance from the eye's plane."""
    cells = lists.cells
    nearness = cells.view(np.float32)
    for p in range(lists.width * lists.height):
        y, x = p // lists.width, p % lists.width
        if cells[p, 0]:
            nearest[y, x] = (cells[p, 6] >> np.uint32(1)) & np.uint32(31)
            depth_mm[y, x] = 1.0 / nearness[p, 1]
        else:
            nearest[y, x] = -1
            depth_mm[y, x] = np.inf


@compiled
def shares_of(
    lists: Lists, paint: NDArray[np.float32], share: NDArray[np.float32], depth_mm: NDArray[np.float32]
) -> None:
    """Fill how much of a pixel's light comes from each drawable, shape (n, height, width), and its depth."""
    share[:] = 0.0
    depth_mm[:] = np.inf
    cells = lists.cells
    nearness = cells.view(np.float32)
    for p in range(lists.width * lists.height):
        y, x = p // lists.width, p % lists.width
        through = 1.0
        for i in range(cells[p, 0]):
            word = cells[p, 6 + i]
            row = (word >> np.uint32(1)) & np.uint32(31)
            opacity = 1.0 if word & np.uint32(1) else lit(word, paint, row)[3]
            share[row, y, x] += through * opacity
            depth_mm[row, y, x] = min(depth_mm[row, y, x], 1.0 / nearness[p, 1 + i])
            through *= 1.0 - opacity
