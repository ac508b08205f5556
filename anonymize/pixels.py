"""Text burned into pictures: found by reading them, painted over, and read again (PS3.15 E.3.1).

Everything that reads as text is filled, unless it is plainly a measurement, a scale mark or a side letter.
Filled with the value around it, never inpainted, and stored without loss.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from anonymize.denylist import DenyList
from anonymize.elements import ParsedFile, broken
from anonymize.pictures import Picture, Pixels, decoded, stored, visible

SURE_SCORE = 0.9
MOST_ROUNDS = 3
_RING_PX = 3
_LARGEST_DOUBLED_PX = 1024
_LARGEST_LETTER_SHARE = 0.2
_MEASUREMENT = re.compile(
    r"^[<>~]?-?\d{1,4}(?:[.,]\d{1,3})?\s?(?:mm|cm|ml|cc|hu|kv|ma|mas|mgy|msv|mgy\s?\*?\s?cm|%|deg|°|mm²|cm²|cm2|mm2|x)$"
    r"|^[LRAPHFSI]{1,2}$",
    re.IGNORECASE,
)


class TextBox(NamedTuple):
    """Text in a picture: first and last row and column (last excluded), what it says, how sure (0-1)."""

    top: int
    bottom: int
    left: int
    right: int
    text: str
    score: float


class TextFinder(Protocol):
    """Reads the text of a picture."""

    def find(self, picture: NDArray[np.uint8]) -> list[TextBox]:
        """Return every text box of a picture, shape (rows, columns, 3), RGB."""


def without_burned_in_text(
    parsed: ParsedFile, finder: TextFinder | None, deny: DenyList
) -> tuple[ParsedFile, int, int]:
    """Return the file without the text in its pixels, the frames read and the boxes filled.

    Where no text is found the stored bytes stay as they are.

    Raises
    ------
    StudyUnreadable
        ``HELD_FOR_REVIEW`` when there is no finder, the pixels cannot be decoded, or text remains.
    """
    if finder is None or not parsed.encoding.is_little:
        raise broken("HELD_FOR_REVIEW")
    picture = decoded(parsed)
    filled, boxes = _fill_all(picture, finder, deny)
    frames = picture.pixels.shape[0]
    if boxes == 0:
        return parsed, frames, 0
    return stored(parsed, picture._replace(pixels=filled)), frames, boxes


def is_plain_measurement(box: TextBox, deny: DenyList) -> bool:
    """Return whether a text is surely a length, dose, density or side letter, not the patient's."""
    text = box.text.strip()
    return box.score >= SURE_SCORE and bool(_MEASUREMENT.match(text)) and not deny.resembles(text)


def _fill_all(picture: Picture, finder: TextFinder, deny: DenyList) -> tuple[Pixels, int]:
    """Return the pixels with the text of every frame filled, and how many boxes that took."""
    filled, boxes = picture.pixels.copy(), 0
    known: dict[bytes, tuple[int, Pixels]] = {}
    for index, frame in enumerate(filled):
        content = hashlib.sha256(frame.tobytes()).digest()
        if content not in known:
            known[content] = _fill_frame(frame, picture, finder, deny), frame.copy()
        count, result = known[content]
        filled[index] = result
        boxes += count
    return filled, boxes


def _fill_frame(frame: Pixels, picture: Picture, finder: TextFinder, deny: DenyList) -> int:
    """Fill a frame in place until nothing but measurements can be read."""
    count = 0
    for _ in range(MOST_ROUNDS):
        found = _found(visible(frame, picture), finder)
        wanted = [box for box in found if _must_go(box, frame.shape[0], deny)]
        if not wanted:
            return count
        for box in wanted:
            _fill(frame, box)
        count += len(wanted)
    if any(_must_go(box, frame.shape[0], deny) for box in finder.find(visible(frame, picture))):
        raise broken("HELD_FOR_REVIEW")
    return count


def _must_go(box: TextBox, rows: int, deny: DenyList) -> bool:
    """Return whether a text must be filled: not a measurement, nor an organ that reads as one letter."""
    is_shape = len(box.text.strip()) <= 1 and box.bottom - box.top > _LARGEST_LETTER_SHARE * rows
    return not is_shape and not is_plain_measurement(box, deny)


def _found(visible: NDArray[np.uint8], finder: TextFinder) -> list[TextBox]:
    """Return the text found at its own size and, for small print, at twice its size."""
    found = finder.find(visible)
    if max(visible.shape[:2]) > _LARGEST_DOUBLED_PX:
        return found
    doubled = finder.find(np.repeat(np.repeat(visible, 2, axis=0), 2, axis=1))
    small = [box._replace(top=box.top // 2, bottom=-(-box.bottom // 2)) for box in doubled]
    return found + [box._replace(left=box.left // 2, right=-(-box.right // 2)) for box in small]


def _fill(frame: Pixels, box: TextBox) -> None:
    """Paint a box, with a margin, in the middle value of the pixels around it."""
    margin = max(2, (box.bottom - box.top) // 5)
    top, left = max(box.top - margin, 0), max(box.left - margin, 0)
    bottom, right = box.bottom + margin, box.right + margin
    around = frame[max(top - _RING_PX, 0) : bottom + _RING_PX, max(left - _RING_PX, 0) : right + _RING_PX]
    ring = np.ones(around.shape[:2], dtype=np.bool_)
    inner_top, inner_left = min(top, _RING_PX), min(left, _RING_PX)
    ring[inner_top : inner_top + bottom - top, inner_left : inner_left + right - left] = False
    background = around[ring] if ring.any() else around.reshape(-1, around.shape[-1])
    frame[top:bottom, left:right] = np.median(background, axis=0).astype(frame.dtype)
