"""Reads text in pictures with rapidocr, whose models lie in its package; nothing is ever downloaded.

The text detector looks at several views of a picture (as it is, with its local contrast evened out, at half
its size where speckle averages out, smoothed and enlarged), because each of them misses lines that another
shows; what any view finds is read once, turned the way that reads best.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from anonymize.pixels import TextBox, TextFinder

_MODELS = ("PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx", "ch_ppocr_mobile_v2.0_cls_mobile.onnx")
_LEAST_SIDE = 16
_SMALL_SIDE, _TILE, _OVERLAP = 400, 1536, 192
_OVERVIEW_PX = 1280
_PIXEL_THRESHOLDS, _BOX_THRESHOLD = (0.2, 0.45), 0.25
_LEAST_LETTER_PX = 5.0
_LARGEST_LETTER_SHARE = 0.15
_SAME_SHARE = 0.7
_TALL = 1.5
_SURE_READ = 0.8
_SHORT_READ, _LONG_READ = 0.78, 0.75
_SURE_LINE = 0.55
_LEAST_STROKES = 3
_BAND_LETTERS, _BAND_LETTER_PX, _EVEN_SPREAD = 6, 26, 8.0

Picture = NDArray[np.uint8]
Corners = NDArray[np.float32]


class _Line(NamedTuple):
    """A line of text that was detected: its four corners in the picture, columns first, and how sure."""

    corners: Corners
    score: float


class RapidTextFinder:
    """Finds text with PP-OCRv6; unsure readings are returned too, with their low score.

    The models are loaded when the first picture is read: most archives hold none with text.

    Parameters
    ----------
    threads : int
        Processor threads; at least 1.
    """

    def __init__(self, *, threads: int = 1) -> None:
        self._threads = threads

    @cached_property
    def _engine(self) -> Any:
        from rapidocr import RapidOCR

        return RapidOCR(
            params={
                "Global.log_level": "critical",
                "Det.box_thresh": _BOX_THRESHOLD,
                "Det.limit_side_len": 32,  # the views are scaled here
                "EngineConfig.onnxruntime.intra_op_num_threads": self._threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    @cached_property
    def _detector(self) -> Any:
        return self._engine._load_det_model()

    @cached_property
    def _reader(self) -> Any:
        return self._engine._load_rec_model()

    def find(self, picture: Picture) -> list[TextBox]:
        """Return every text box of a picture, shape (rows, columns, 3), RGB."""
        if min(picture.shape[:2]) < _LEAST_SIDE or picture.min() == picture.max():
            return []
        whole = np.ascontiguousarray(picture[..., ::-1])  # it wants BGR
        lines = _merged([line for view, place in _views(whole) for line in self._detect(view, place)])
        texts = self._read(whole, [line for line in lines if _has_size_of_text(line, picture)])
        bands = [band for text in texts if (band := _band_on_tissue(whole, text)) is not None]
        more = [line for view, place in bands for line in self._detect(view, place)]
        more = [line for line in _merged(more) if _has_size_of_text(line, picture)]
        return texts + self._read(whole, more) if more else texts

    def _detect(self, view: Picture, place: tuple[float, int, int]) -> Iterator[_Line]:
        """Give the lines of a view; `place` is its scale and where its first row and column lie."""
        scale, top, left = place
        likely = self._detector.session(self._detector.get_preprocess()(view))
        rule = self._detector.postprocess_op
        for rule.thresh in _PIXEL_THRESHOLDS:  # the higher parts lines that tissue runs together
            for corners, score in zip(*rule(likely, view.shape[:2]), strict=True):
                where = np.asarray(corners, dtype=np.float32) / scale + np.array([left, top], np.float32)
                yield _Line(where, float(score))

    def _read(self, picture: Picture, lines: list[_Line]) -> list[TextBox]:
        """Return the lines with what they say; what cannot be read stays, if it looks like letters."""
        crops = [_crop(picture, line.corners) for line in lines]
        turned = [index for index, crop in enumerate(crops) if crop.shape[0] >= _TALL * crop.shape[1]]
        for index in turned:
            crops[index] = np.ascontiguousarray(np.rot90(crops[index]))
        readings = self._readings(crops)
        doubtful = [n for n, (_, score) in enumerate(readings) if score < _SURE_READ or n in turned]
        again = self._readings([np.ascontiguousarray(crops[n][::-1, ::-1]) for n in doubtful])
        for number, reading in zip(doubtful, again, strict=True):
            readings[number] = max(readings[number], reading, key=lambda told: told[1] * len(told[0]))
        is_text = [_is_text(*found) for found in zip(lines, readings, crops, strict=True)]
        texts = [line for line, is_one in zip(lines, is_text, strict=True) if is_one]
        return [
            _box(line, *told)
            for line, told, is_one in zip(lines, readings, is_text, strict=True)
            if is_one or any(_goes_on(line, text) for text in texts)
        ]

    def _readings(self, crops: list[Picture]) -> list[tuple[str, float]]:
        from rapidocr.ch_ppocr_rec.typings import TextRecInput

        if not crops:
            return []
        read = self._reader(TextRecInput(img=crops, return_word_box=False))
        return [(str(text), float(score)) for text, score in zip(read.txts, read.scores, strict=True)]


def _views(picture: Picture) -> Iterator[tuple[Picture, tuple[float, int, int]]]:
    """Give the pictures that the detector looks at, with their scale and first row and column."""
    small, large = min(picture.shape[:2]), max(picture.shape[:2])
    scale = min(_OVERVIEW_PX / large, 0.5)
    if small * scale >= _LEAST_SIDE:
        yield _scaled(picture, scale), (scale, 0, 0)
    if large <= _TILE:
        yield _scaled(picture, 0.7), (0.7, 0, 0)
    for top, left in _tiles(*picture.shape[:2]):
        tile = np.ascontiguousarray(picture[top : top + _TILE, left : left + _TILE])
        yield tile, (1.0, top, left)
        yield _evened(tile), (1.0, top, left)
        scale = 2.0 if small < _SMALL_SIDE else 1.5
        yield _scaled(_smoothed(tile), scale), (scale, top, left)


def _smoothed(picture: Picture) -> Picture:
    """Return the picture with speckle finer than a stroke averaged out."""
    import cv2

    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.6), np.uint8)


def _band_on_tissue(picture: Picture, text: TextBox) -> tuple[Picture, tuple[float, int, int]] | None:
    """Return the row around a text, scaled to the letters' best size, where its background is uneven.

    Tissue hides parts of a line; a second look at that size finds them. None on an even background.
    """
    height, width = text.bottom - text.top, text.right - text.left
    letter = min(height, width)
    aside, along = (letter, _BAND_LETTERS * letter) if width >= height else (_BAND_LETTERS * letter, letter)
    top, left = max(text.top - aside, 0), max(text.left - along, 0)
    band = picture[top : text.bottom + aside, left : text.right + along]
    ring = band.astype(np.float32).max(axis=-1)
    ring[text.top - top : text.bottom - top, text.left - left : text.right - left] = np.nan
    if not np.nanstd(ring) > _EVEN_SPREAD or min(band.shape[:2]) < _LEAST_SIDE:
        return None
    scale = float(np.clip(_BAND_LETTER_PX / letter, 0.4, 3.0))
    return _scaled(band, scale), (scale, top, left)


def _scaled(picture: Picture, scale: float) -> Picture:
    import cv2

    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=how), np.uint8)


def _tiles(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    """Give first row and column of overlapping tiles, so that no line is cut by all of them."""
    step = _TILE - _OVERLAP
    for top in range(0, max(rows - _OVERLAP, 1), step):
        for left in range(0, max(columns - _OVERLAP, 1), step):
            yield top, left


def _evened(picture: Picture) -> Picture:
    """Return the picture in grey with its brightness and contrast made the same everywhere."""
    import cv2

    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32)
    mean = cv2.GaussianBlur(grey, (0, 0), 24)
    spread = np.sqrt(cv2.GaussianBlur((grey - mean) ** 2, (0, 0), 24) + 36)
    even = np.clip(128 + (grey - mean) / spread * 40, 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(even, cv2.COLOR_GRAY2BGR), np.uint8)


def _edges(corners: Corners) -> tuple[float, float, float, float]:
    """Return top, bottom, left and right of the upright box around four corners."""
    columns, rows = corners.T
    return float(rows.min()), float(rows.max()), float(columns.min()), float(columns.max())


def _merged(lines: list[_Line]) -> list[_Line]:
    """Return the lines without those that another one covers; the larger and surer stays."""
    kept: list[_Line] = []
    for line in sorted(lines, key=lambda found: -found.score):
        if not any(_shared(line, other) > _SAME_SHARE for other in kept):
            kept.append(line)
    return kept


def _shared(line: _Line, other: _Line) -> float:
    """Return how much of a line's box lies in another's that is not much larger."""
    (top, bottom, left, right), (top2, bottom2, left2, right2) = _edges(line.corners), _edges(other.corners)
    rows = min(bottom, bottom2) - max(top, top2)
    columns = min(right, right2) - max(left, left2)
    area, other_area = (bottom - top) * (right - left), (bottom2 - top2) * (right2 - left2)
    if rows <= 0 or columns <= 0 or other_area > 4 * area:
        return 0.0
    return rows * columns / max(area, 1e-6)


def _sides(corners: Corners) -> tuple[float, float]:
    """Return the short and the long side of a line's box, in pixels."""
    first, second = (float(np.hypot(*(corners[n] - corners[n + 1]))) for n in (0, 1))
    return min(first, second), max(first, second)


def _has_size_of_text(line: _Line, picture: Picture) -> bool:
    short, _ = _sides(line.corners)
    most: float = max(_LARGEST_LETTER_SHARE * picture.shape[0], 40.0)
    return _LEAST_LETTER_PX <= short <= most


def _crop(picture: Picture, corners: Corners) -> Picture:
    """Return the upright line of text, its grey values stretched."""
    import cv2

    width = max(np.hypot(*(corners[0] - corners[1])), np.hypot(*(corners[2] - corners[3])), 1.0)
    height = max(np.hypot(*(corners[0] - corners[3])), np.hypot(*(corners[1] - corners[2])), 1.0)
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    turn = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
    size = max(round(float(width)), 1), max(round(float(height)), 1)
    crop = np.asarray(
        cv2.warpPerspective(picture, turn, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    )
    low, high = np.percentile(crop, (2, 99.5))
    stretched = (crop.astype(np.float32) - low) * (255 / max(high - low, 16.0))
    return np.asarray(np.clip(stretched, 0, 255), dtype=np.uint8)


def _is_text(line: _Line, reading: tuple[str, float], crop: Picture) -> bool:
    """Return whether a line is text: it can be read, or it surely is one that nobody can read.

    Speckle reads as a few letters, unsurely; a depth mark as one stroke, a vessel as one round letter.
    """
    text, score = reading
    letters = sum(mark.isalnum() for mark in text)
    if letters >= 2 and score >= (_LONG_READ if letters >= 4 else _SHORT_READ):
        return True
    is_long = crop.shape[1] >= 2 * crop.shape[0]
    return line.score >= _SURE_LINE and is_long and _strokes(crop) >= _LEAST_STROKES


def _goes_on(line: _Line, text: _Line) -> bool:
    """Return whether a line stands beside a text in its row, as large as it: a part that is not read."""
    (top, bottom, left, right), (top2, bottom2, left2, right2) = _edges(line.corners), _edges(text.corners)
    height, height2 = bottom - top, bottom2 - top2
    shared = min(bottom, bottom2) - max(top, top2)
    gap = max(left, left2) - min(right, right2)
    is_alike = 0.5 <= height / max(height2, 1) <= 2 and shared >= 0.6 * min(height, height2)
    return is_alike and gap <= max(height, height2) and right2 - left2 > height2


def _strokes(crop: Picture) -> int:
    """Return how many separate strokes stand side by side in a line."""
    grey = crop.max(axis=-1).astype(np.float32)
    low, high = np.percentile(grey, (20, 98))
    ink = grey > (low + high) / 2
    columns = ink.any(axis=0).astype(np.int8)
    return int((np.diff(columns, prepend=0) == 1).sum())


def _box(line: _Line, text: str, score: float) -> TextBox:
    top, bottom, left, right = _edges(line.corners)
    return TextBox(max(int(top), 0), int(bottom) + 1, max(int(left), 0), int(right) + 1, text, score)


@lru_cache(maxsize=4)
def text_finder(*, threads: int = 1) -> TextFinder | None:
    """Return the finder, or None when the package or one of its models is missing."""
    spec = find_spec("rapidocr")
    if spec is None or spec.origin is None:
        return None
    models = Path(spec.origin).parent / "models"
    if not all((models / name).is_file() for name in _MODELS):
        return None  # rapidocr would try to download it
    return RapidTextFinder(threads=threads)
