"""What stands on every frame: draft band, case number, chapter, scale bar, orientation cube."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from medviz import NOT_FOR_DIAGNOSIS
from pipelines.film import lettering
from pipelines.film.lettering import AMBER, DARK, GREY, WHITE, Sticker, Style, lay, line, written
from pipelines.film.view import FloatArray, View

Frame = NDArray[np.uint8]

_NICE_MM = (1, 2, 5, 10, 20, 50, 100, 200, 500)

_FACES = {
    "L": ((1, 0, 0), (0, 0, 1)),
    "R": ((-1, 0, 0), (0, 0, 1)),
    "P": ((0, 1, 0), (0, 0, 1)),
    "A": ((0, -1, 0), (0, 0, 1)),
    "S": ((0, 0, 1), (0, -1, 0)),
    "I": ((0, 0, -1), (0, -1, 0)),
}
"""Letter: outward direction and the way up of its letter, both LPS."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things stand in a frame of `width` by `height` pixels; sizes grow with the height."""

    width: int
    height: int

    def px(self, at_720: float) -> int:
        """Return a length in pixels, given for a picture 720 pixels high."""
        return max(round(at_720 * self.height / 720), 1)

    @property
    def margin(self) -> int:
        """Free border left and right."""
        return self.px(36)

    @property
    def band_top(self) -> int:
        """Upper edge of the draft band."""
        return self.height - self.px(34)

    @property
    def caption_bottom(self) -> int:
        """Lower edge of the captions."""
        return self.band_top - self.px(14)

    @property
    def caption_top(self) -> int:
        """Upper edge of the room kept for two lines of captions."""
        return self.caption_bottom - self.px(84)

    @property
    def heading_bottom(self) -> int:
        """Lower edge of the room kept for the chapter's title and the case number."""
        return self.px(92)


@dataclass(frozen=True, slots=True)
class Chapter:
    """What the furniture says about the shot: case, title, its number, how many, and a remark (or none)."""

    case_id: str
    title: str
    number: int
    total: int
    remark: str = ""


@functools.lru_cache(maxsize=64)
def fixed(layout: Layout, chapter: Chapter) -> tuple[Sticker, ...]:
    """Return the furniture that stays the same through a shot."""
    return (_band(layout, chapter.remark), *_heading(layout, chapter), _case(layout, chapter.case_id))


def _band(layout: Layout, remark: str) -> Sticker:
    height = layout.height - layout.band_top
    ground = np.empty((height, layout.width, 4), dtype=np.uint8)
    ground[:] = (*DARK, 225)
    ground[: layout.px(2)] = (*AMBER, 255)
    first = written("NOT FOR DIAGNOSIS - DRAFT", Style(layout.px(19), AMBER, weight=1))
    words = NOT_FOR_DIAGNOSIS if not remark else f"{NOT_FOR_DIAGNOSIS} {remark}"
    second = written(words, Style(layout.px(17), (214, 205, 186)))
    gap = layout.px(22)
    left = (layout.width - first.width - gap - second.width) // 2
    top = layout.band_top + layout.px(2) + (height - layout.px(2) - first.height) // 2
    right = second.at(left + first.width + gap, top + layout.px(1))
    return lettering.stacked([Sticker(ground, 0, layout.band_top), first.at(left, top), right])


def _heading(layout: Layout, chapter: Chapter) -> tuple[Sticker, ...]:
    title = written(chapter.title, Style(layout.px(30), WHITE, weight=1, outline=layout.px(2)))
    left, dash = layout.margin, layout.px(26)
    marks = np.zeros((layout.px(4), (dash + layout.px(5)) * chapter.total, 4), dtype=np.uint8)
    for index in range(chapter.total):
        start = index * (dash + layout.px(5))
        marks[:, start : start + dash] = (*(AMBER if index < chapter.number else (90, 98, 110)), 255)
    return title.at(left - layout.px(2), layout.px(26)), Sticker(marks, left, layout.px(74))


def _case(layout: Layout, case_id: str) -> Sticker:
    words = written(f"Case {case_id}", Style(layout.px(22), GREY, outline=layout.px(2)))
    return words.at(layout.width - layout.margin - words.width, layout.px(30))


def draw_scale_bar(
    frame: Frame, layout: Layout, px_per_mm: float, at: tuple[int, int], *, place: str = "", most: int = 190
) -> int:
    """Draw a bar of a round number of millimetres from its left end at `at`, and return that number.

    `place` says where in the picture it holds, such as ``at target depth``; `most` is the longest bar,
    in pixels of a picture 720 high.
    """
    length_mm = bar_length_mm(px_per_mm, layout.px(most))
    x, y = at
    end = x + length_mm * px_per_mm
    tick, thick = layout.px(7), layout.px(3)
    for width, colour in ((thick + layout.px(3), DARK), (thick, WHITE)):
        line(frame, (x, y), (end, y), width=width, colour=colour)
        line(frame, (x, y - tick), (x, y + tick), width=width, colour=colour)
        line(frame, (end, y - tick), (end, y + tick), width=width, colour=colour)
    words = f"{length_mm} mm {place}".strip()
    sticker = written(words, Style(layout.px(20), WHITE, outline=layout.px(2)))
    lay(frame, sticker.at(x - layout.px(2), y - tick - sticker.height))
    return length_mm


def bar_length_mm(px_per_mm: float, most_px: float) -> int:
    """Return the longest round length (1, 2, 5, ... mm) that takes at most `most_px`."""
    fitting = [length for length in _NICE_MM if length * px_per_mm <= most_px]
    return fitting[-1] if fitting else _NICE_MM[0]


def draw_cube(frame: Frame, layout: Layout, view: View, centre: tuple[int, int]) -> None:
    """Draw the orientation cube: the patient's sides, turned as the camera sees them."""
    half = layout.px(34)
    axes = view.axes
    for letter, (outward, up) in _FACES.items():
        normal = axes @ np.asarray(outward, dtype=np.float64)
        if normal[2] < -0.03:  # faces the eye
            lay(frame, _face(letter, axes, normal, up, half, centre))


def _face(
    letter: str,
    axes: FloatArray,
    normal: FloatArray,
    up: tuple[int, int, int],
    half: int,
    centre: tuple[int, int],
) -> Sticker:
    """Return one side of the cube as a sticker.

    Seen from outside, a side's right is `up` x `outward`: so its letter cannot come out mirrored.
    """
    upward = axes @ np.asarray(up, dtype=np.float64)
    right = axes @ np.cross(up, _FACES[letter][0]).astype(np.float64)
    side = 2 * half
    texture = _texture(letter, side * 2)
    size = int(half * 3.6)
    corner = normal[:2] * half - right[:2] * half + upward[:2] * half + size / 2
    # picture = corner + right * u - upward * v, with u and v in texture pixels
    scale = side / texture.width
    forward = np.array([[right[0] * scale, -upward[0] * scale], [right[1] * scale, -upward[1] * scale]])
    inverse = np.linalg.inv(forward)
    offset = -inverse @ corner
    data = (inverse[0, 0], inverse[0, 1], offset[0], inverse[1, 0], inverse[1, 1], offset[1])
    shade = 0.55 + 0.45 * float(np.clip(-normal[2] * 0.8 - normal[1] * 0.4, 0, 1))
    bright = texture.point([round(v * shade) for v in range(256)] * 3 + list(range(256)))
    image = bright.transform((size, size), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)
    return Sticker(np.asarray(image).copy(), centre[0] - size // 2, centre[1] - size // 2)


@functools.lru_cache(maxsize=32)
def _texture(letter: str, size: int) -> Image.Image:
    """Return one side of the cube, a letter on a rounded tile."""
    image = Image.new("RGBA", (size, size), (190, 200, 214, 0))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((1, 1, size - 2, size - 2), size // 10, fill=(120, 131, 148, 255))
    inner = max(size // 22, 1)
    draw.rounded_rectangle(
        (inner, inner, size - 1 - inner, size - 1 - inner), size // 12, fill=(58, 67, 82, 255)
    )
    font = lettering._font(round(size * 0.66))
    colour = (255, 214, 130, 255) if letter in "LR" else (244, 247, 250, 255)
    draw.text((size / 2, size / 2), letter, font=font, fill=colour, anchor="mm", stroke_width=size / 60)
    return image
