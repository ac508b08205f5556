"""Words as small pictures, drawn once and kept. The typeface (Aileron) comes with Pillow."""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from medviz.core.errors import RenderingMissing
from pipelines.film.compiled import compiled

Colour = tuple[int, int, int]

WHITE: Colour = (242, 245, 248)
GREY: Colour = (160, 170, 182)
AMBER: Colour = (255, 190, 70)
DARK: Colour = (10, 13, 18)

_SUBSTITUTES = str.maketrans(
    {
        "–": "-",
        "—": "-",
        "−": "-",
        "‑": "-",
        "×": "x",
        "≤": "<=",
        "≥": ">=",
        "’": "'",
        "‘": "'",
        "µ": "u",
        "ß": "ss",
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Sticker:
    """A small picture laid over a frame.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 4)
        sRGB and opacity.
    x, y : int
        Its left and upper edge in the frame, in pixels.
    """

    pixels: NDArray[np.uint8]
    x: int = 0
    y: int = 0

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    def at(self, x: float, y: float) -> Sticker:
        """Return the same picture with its upper left corner at (x, y)."""
        return Sticker(self.pixels, round(x), round(y))


@dataclass(frozen=True, slots=True)
class Style:
    """How words look: size in pixels, colour, weight (0 regular, 1 bold) and dark outline in pixels."""

    size: int
    colour: Colour = WHITE
    weight: int = 0
    outline: int = 0


@functools.lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RenderingMissing(
            "Pillow was built without FreeType, so words cannot be drawn.",
            mend="Install the Pillow wheel: pip install --force-reinstall pillow",
        )
    return font


def printable(text: str) -> str:
    """Return the text with signs that the typeface lacks replaced by their plain form."""
    plain = unicodedata.normalize("NFKD", text.translate(_SUBSTITUTES))
    return "".join(sign for sign in plain if sign.isascii() or sign in "°±·…")


def width_of(text: str, style: Style) -> int:
    """Return how many pixels wide a line of text is."""
    return int(np.ceil(_font(style.size).getlength(printable(text)))) + 2 * (style.weight + style.outline)


@functools.lru_cache(maxsize=512)
def written(text: str, style: Style) -> Sticker:
    """Return one line of text as a sticker whose height depends on the size alone."""
    font, edge = _font(style.size), style.weight + style.outline
    width, height = width_of(text, style), round(style.size * 1.36) + 2 * style.outline
    image = Image.new("RGBA", (max(width, 1), height), (*DARK, 0))
    draw = ImageDraw.Draw(image)
    place = (edge, style.outline + round(style.size * 0.08))
    if style.outline:
        shade = (*DARK, 210)
        draw.text(place, printable(text), font=font, fill=shade, stroke_width=edge, stroke_fill=shade)
    ink = (*style.colour, 255)
    heavy = 0.02 * style.size if style.weight else 0
    draw.text(place, printable(text), font=font, fill=ink, stroke_width=heavy, stroke_fill=ink)
    return Sticker(np.asarray(image).copy())


def panel(width: int, height: int, *, opacity: float = 0.55, radius: int = 8) -> Sticker:
    """Return a dark rounded panel."""
    big = Image.new("L", (width * 4, height * 4), 0)
    ImageDraw.Draw(big).rounded_rectangle((0, 0, width * 4 - 1, height * 4 - 1), radius * 4, fill=255)
    alpha = np.asarray(big.resize((width, height), Image.Resampling.BOX), dtype=np.float32) * opacity
    pixels = np.empty((height, width, 4), dtype=np.uint8)
    pixels[..., :3] = DARK
    pixels[..., 3] = np.round(alpha)
    return Sticker(pixels)


def stacked(stickers: list[Sticker]) -> Sticker:
    """Return stickers merged into one, the first at the bottom; the result starts at their upper left."""
    left, top = min(item.x for item in stickers), min(item.y for item in stickers)
    right = max(item.x + item.width for item in stickers)
    bottom = max(item.y + item.height for item in stickers)
    image = Image.new("RGBA", (right - left, bottom - top), (*DARK, 0))
    for item in stickers:
        image.alpha_composite(Image.fromarray(item.pixels), (item.x - left, item.y - top))
    return Sticker(np.asarray(image).copy(), left, top)


def lay(frame: NDArray[np.uint8], sticker: Sticker, strength: float = 1.0) -> None:
    """Lay a sticker over a frame, in place; what reaches beyond the frame is left out."""
    _lay(frame, sticker.pixels, sticker.x, sticker.y, strength)


@compiled
def _lay(frame: NDArray[np.uint8], pixels: NDArray[np.uint8], left: int, top: int, strength: float) -> None:
    for y in range(max(0, -top), min(pixels.shape[0], frame.shape[0] - top)):
        for x in range(max(0, -left), min(pixels.shape[1], frame.shape[1] - left)):
            alpha = pixels[y, x, 3] / 255.0 * strength
            if alpha <= 0.0:
                continue
            for c in range(3):
                under = float(frame[top + y, left + x, c])
                frame[top + y, left + x, c] = int(under + (float(pixels[y, x, c]) - under) * alpha + 0.5)


def line(
    frame: NDArray[np.uint8],
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    width: float = 1.5,
    colour: Colour = WHITE,
    opacity: float = 1.0,
) -> None:
    """Draw a smooth line between two points (pixels), in place."""
    ink = np.array(colour, dtype=np.float64)
    _line(frame, (start[0], start[1], end[0], end[1]), width, ink, opacity)


@compiled
def _line(
    frame: NDArray[np.uint8],
    ends: tuple[float, float, float, float],
    width: float,
    ink: NDArray[np.float64],
    opacity: float,
) -> None:
    x0, y0, x1, y1 = ends
    reach = width * 0.5 + 1.0
    dx, dy = x1 - x0, y1 - y0
    length2 = max(dx * dx + dy * dy, 1e-9)
    for y in range(max(0, int(min(y0, y1) - reach)), min(frame.shape[0], int(max(y0, y1) + reach) + 2)):
        for x in range(max(0, int(min(x0, x1) - reach)), min(frame.shape[1], int(max(x0, x1) + reach) + 2)):
            px, py = x + 0.5 - x0, y + 0.5 - y0
            along = min(max((px * dx + py * dy) / length2, 0.0), 1.0)
            away = ((px - along * dx) ** 2 + (py - along * dy) ** 2) ** 0.5
            alpha = min(max(width * 0.5 + 0.5 - away, 0.0), 1.0) * opacity
            if alpha <= 0.0:
                continue
            for c in range(3):
                under = float(frame[y, x, c])
                frame[y, x, c] = int(under + (ink[c] - under) * alpha + 0.5)
