"""Text burned into pictures: found by reading them, painted over, and read again (PS3.15 E.3.1).

Everything that reads as text is filled, unless it is plainly a measurement, a scale mark, a side letter, or
made of a scanner's own words. Filled with the value around it, never inpainted, and stored without loss.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from anonymize.denylist import DenyList, folded
from anonymize.elements import ParsedFile, broken
from anonymize.pictures import Frames, Pixels, png_of, visible
from anonymize.rewriting import with_frames
from anonymize.text import own_words

SURE_SCORE = 0.9
MOST_ROUNDS = 4
_RING_PX = 3
_OUTLINE = (255, 64, 0)
_SCANNER_WORDS = Path(__file__).with_name("scanner_words.txt")

_UNIT = (
    r"(?:mm|cm|m|ml|l|cc|hu|kv|kvp|ma|mas|mgy|msv|mgy\s?\*?\s?cm|%|deg|°|mm²|cm²|cm2|mm2|mm3|cm3|x|s|sec|ms|min"
    r"|hz|khz|mhz|db|fps|bpm|cm/s|mm/s|m/s|mmhg|w|mw|t|px|uci|mci|mbq|kpa)"
)
_NUMBER = r"[<>~+±-]?\d{1,3}(?:[.,]\d{1,3})?"
_MEASUREMENT = re.compile(
    rf"^[<>~+±-]?\d{{1,4}}(?:[.,]\d{{1,3}})?\s?{_UNIT}(?:\s?/\s?{_NUMBER}\s?{_UNIT}?)?$"
    r"|^[LRAPHFSI]{1,2}$"
    r"|^[+-]?(?:\d|[1-9]\d|[1-9]\d0)$"  # marks along a scale
    r"|^[+-]?(?:\d|[1-9]\d|[1-9]\d\d)[.,]\d$",
    re.IGNORECASE,
)
_PART = re.compile(
    rf"[<>~+±-]?\d[\d.,:/-]*(?:\s?{_UNIT}(?!\w))?\w*|[^\W\d_]+\d{{0,2}}(?!\d)|\S", re.IGNORECASE
)
_AMOUNT = re.compile(rf"^{_NUMBER}\s?{_UNIT}?$", re.IGNORECASE)
_TITLES = frozenset(["dr", "prof", "mr", "mrs", "ms", "md", "herr", "frau", "med", "by"])
_MARKS = frozenset(".,:;/+-%()*<>=|&#°~±_")


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


class Redaction(NamedTuple):
    """A file without the text in its pixels, and what that took.

    Parameters
    ----------
    parsed : ParsedFile
        The file; the very same when nothing was filled.
    frames, boxes : int
        Frames that were read, and boxes that were filled.
    notes : tuple of str
        What an officer must know about how the file is stored now.
    picture : bytes
        PNG of the first frame that was changed, its boxes outlined; empty when none was.
    """

    parsed: ParsedFile
    frames: int
    boxes: int
    notes: tuple[str, ...] = ()
    picture: bytes = b""


def without_burned_in_text(
    parsed: ParsedFile,
    finder: TextFinder | None,
    deny: DenyList,
    *,
    verdict: Sequence[TextBox] | None = None,
) -> Redaction:
    """Return the file without the text in its pixels; where none is found the stored bytes stay.

    Parameters
    ----------
    verdict : sequence of TextBox or None
        A person's boxes: exactly these are filled on every frame, and nothing is read.

    Raises
    ------
    StudyUnreadable
        ``NO_TEXT_FINDER`` when nothing here can read, ``TEXT_REMAINS`` when text can still be read after
        filling, ``PIXELS_UNREADABLE`` and ``TOO_LARGE`` as `Frames`.
    """
    if finder is None and verdict is None:
        raise broken("NO_TEXT_FINDER")
    frames = Frames(parsed)
    if verdict is not None:
        boxes = [tuple(verdict)] * len(frames)
    else:
        read = text_reader(finder, deny) if finder else None
        boxes = [read(frame, frames) for frame in frames] if read else []
    return _redacted(parsed, frames, boxes, frames_read=0 if verdict is not None else len(frames))


def _redacted(
    parsed: ParsedFile, frames: Frames, boxes: Sequence[tuple[TextBox, ...]], *, frames_read: int
) -> Redaction:
    """Return the file with boxes filled, as many tuples of them as frames."""
    changed = [index for index, found in enumerate(boxes) if found]
    if not changed:
        return Redaction(parsed, frames_read, 0)
    filled = ((index, filled_frame(frames[index], boxes[index], frames)) for index in changed)
    rewritten, notes = with_frames(parsed, filled)
    first = changed[0]
    shown = outlined(visible(filled_frame(frames[first], boxes[first], frames), frames), boxes[first])
    return Redaction(rewritten, frames_read, sum(map(len, boxes)), notes, png_of(shown))


def text_reader(finder: TextFinder, deny: DenyList) -> Callable[[Pixels, Frames], tuple[TextBox, ...]]:
    """Return a reader of a file's frames in order; it gives the boxes of a frame that must be filled.

    Equal frames are read once. Text that stands still from one frame to the next is filled before reading,
    so that one reading proves that nothing is left.
    """
    known: dict[bytes, tuple[TextBox, ...]] = {}
    last: list[tuple[TextBox, bytes]] = []

    def read(frame: Pixels, frames: Frames) -> tuple[TextBox, ...]:
        content = hashlib.sha256(np.ascontiguousarray(frame).tobytes()).digest()
        if content not in known:
            still = [box for box, under in last if _under(frame, box) == under]
            known[content] = _read_until_clean(
                lambda boxes: visible(filled_frame(frame, boxes, frames), frames), finder, deny, still
            )
        last[:] = [(box, _under(frame, box)) for box in known[content]]
        return known[content]

    return read


def _under(frame: Pixels, box: TextBox) -> bytes:
    """Return the pixels under a box."""
    return np.ascontiguousarray(frame[box.top : box.bottom, box.left : box.right]).tobytes()


def must_go(box: TextBox, deny: DenyList) -> bool:
    """Return whether a text must be filled: it is neither a plain measurement nor a scanner's own words."""
    return not is_plain_measurement(box, deny) and not is_scanners_own(box, deny)


def is_plain_measurement(box: TextBox, deny: DenyList) -> bool:
    """Return whether a text is surely a measurement, scale mark or side letter, not the patient's."""
    text = box.text.strip()
    return box.score >= SURE_SCORE and bool(_MEASUREMENT.match(text)) and not deny.resembles(text)


def is_scanners_own(box: TextBox, deny: DenyList) -> bool:
    """Return whether a text surely holds only words of scanners and radiology, and small amounts."""
    text = box.text.strip()
    if box.score < SURE_SCORE or deny.resembles(text):
        return False
    known = scanner_words() | own_words()
    parts = [part.strip() for part in _PART.findall(text)]
    words = [folded(part) for part in parts]
    is_word = [(len(word) > 1 and word in known) or word.rstrip("0123456789") in known for word in words]
    plain = [
        is_one or part in _MARKS or bool(_AMOUNT.match(part)) or (part.isalpha() and len(part) == 1)
        for part, is_one in zip(parts, is_word, strict=True)
    ]
    says_something = any(len(word) > 1 for word, is_one in zip(words, is_word, strict=True) if is_one)
    has_amount = any(map(_AMOUNT.match, parts)) and any(is_word)
    return all(plain) and (says_something or has_amount) and not _TITLES.intersection(words)


@lru_cache(maxsize=1)
def scanner_words() -> frozenset[str]:
    """Return the words that scanners print into pictures about themselves, folded."""
    lines = _SCANNER_WORDS.read_text(encoding="utf-8").splitlines()
    return frozenset(folded(word) for line in lines if not line.startswith("#") for word in line.split())


def filled_mask(picture: NDArray[np.uint8], finder: TextFinder, deny: DenyList) -> NDArray[np.bool_]:
    """Return which pixels of an RGB picture would be filled, shape (rows, columns)."""
    filled, boxes = filled_picture(picture, finder, deny)
    mask = np.zeros(picture.shape[:2], dtype=np.bool_)
    for box in boxes:
        top, bottom, left, right = _with_margin(box, filled.shape)
        mask[top:bottom, left:right] = True
    return mask


def filled_picture(
    picture: NDArray[np.uint8], finder: TextFinder, deny: DenyList
) -> tuple[NDArray[np.uint8], tuple[TextBox, ...]]:
    """Return a picture, shape (rows, columns, 3), RGB, without its text, and the boxes that were filled.

    Raises
    ------
    StudyUnreadable
        ``TEXT_REMAINS``.
    """
    boxes = boxes_to_fill(picture, finder, deny)
    filled = picture.copy()
    fill_boxes(filled, boxes)
    return filled, boxes


def boxes_to_fill(
    picture: NDArray[np.uint8], finder: TextFinder, deny: DenyList, still: Sequence[TextBox] = ()
) -> tuple[TextBox, ...]:
    """Return the boxes of an RGB picture that leave nothing to read but what is harmless.

    Parameters
    ----------
    still : sequence of TextBox
        Boxes that are already known; they are filled before the first reading.

    Raises
    ------
    StudyUnreadable
        ``TEXT_REMAINS``.
    """

    def look(boxes: Sequence[TextBox]) -> NDArray[np.uint8]:
        filled = picture.copy()
        fill_boxes(filled, boxes)
        return filled

    return _read_until_clean(look, finder, deny, still)


def _read_until_clean(
    look: Callable[[Sequence[TextBox]], NDArray[np.uint8]],
    finder: TextFinder,
    deny: DenyList,
    still: Sequence[TextBox],
) -> tuple[TextBox, ...]:
    """Return the boxes after which reading finds nothing that must go; `look` shows the picture with some."""
    boxes = list(still)
    for _ in range(MOST_ROUNDS):
        wanted = [box for box in finder.find(look(boxes)) if must_go(box, deny)]
        if not wanted:
            return tuple(boxes)
        boxes += wanted
    raise broken("TEXT_REMAINS")


def fill_boxes(picture: NDArray[np.uint8], boxes: Sequence[TextBox]) -> None:
    """Paint boxes of a picture, shape (rows, columns, 3), each in the middle colour around it."""
    for box in boxes:
        _fill(picture, box)


def filled_frame(frame: Pixels, boxes: Sequence[TextBox], frames: Frames) -> Pixels:
    """Return a frame with boxes filled; where two pixels share a colour, both are filled."""
    filled = frame.copy()
    for box in boxes:
        if frames.layout.is_halved:
            box = box._replace(left=(box.left - box.left % 2), right=box.right + box.right % 2)
        _fill(filled, box, is_palette=frames.palette is not None, step=2 if frames.layout.is_halved else 1)
    return filled


def _with_margin(box: TextBox, shape: Sequence[int], *, step: int = 1) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of what is filled for a box: more along the line than across it."""
    height, width = box.bottom - box.top, box.right - box.left
    across, along = max(2, min(height, width) // 5), max(2, min(height, width) * 2 // 5)
    rows, columns = (across, along) if width >= height else (along, across)
    columns += columns % step
    top, left = max(box.top - rows, 0), max(box.left - columns, 0)
    return top, min(box.bottom + rows, shape[0]), left, min(box.right + columns, shape[1])


def _fill(frame: Pixels, box: TextBox, *, is_palette: bool = False, step: int = 1) -> None:
    """Paint a box, with a margin, in the middle value of the pixels around it."""
    top, bottom, left, right = _with_margin(box, frame.shape, step=step)
    if top >= bottom or left >= right:
        return
    around = frame[max(top - _RING_PX, 0) : bottom + _RING_PX, max(left - _RING_PX, 0) : right + _RING_PX]
    ring = np.ones(around.shape[:2], dtype=np.bool_)
    inner_top, inner_left = min(top, _RING_PX), min(left, _RING_PX)
    ring[inner_top : inner_top + bottom - top, inner_left : inner_left + right - left] = False
    background = around[ring] if ring.any() else around.reshape(-1, around.shape[-1])
    frame[top:bottom, left:right] = _middle(background, is_palette=is_palette)


def _middle(values: Pixels, *, is_palette: bool) -> Pixels:
    """Return a value that occurs: the middle one of each sample, or the most frequent of a palette."""
    if is_palette:
        found, counts = np.unique(values, return_counts=True)
        most: Pixels = found[[int(counts.argmax())]]
        return most
    middle: Pixels = np.sort(values, axis=0)[len(values) // 2]
    return middle


def outlined(picture: NDArray[np.uint8], boxes: Sequence[TextBox]) -> NDArray[np.uint8]:
    """Return a picture, shape (rows, columns, 3), with its boxes outlined for the report."""
    shown = picture.copy()
    for box in boxes:
        top, bottom, left, right = _with_margin(box, picture.shape)
        for rows, columns in _sides(top, bottom, left, right):
            shown[rows, columns] = _OUTLINE
    return shown


def _sides(top: int, bottom: int, left: int, right: int) -> Iterator[tuple[slice, slice]]:
    for row in (top, bottom - 1):
        yield slice(max(row, 0), max(row, 0) + 1), slice(left, right)
    for column in (left, right - 1):
        yield slice(top, bottom), slice(max(column, 0), max(column, 0) + 1)
