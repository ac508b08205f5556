"""Reads text in pictures with rapidocr, whose models lie in its package; nothing is ever downloaded."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anonymize.pixels import TextBox, TextFinder

_MODELS = ("PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx", "ch_ppocr_mobile_v2.0_cls_mobile.onnx")
_LEAST_SIDE = 32


class RapidTextFinder:
    """Finds text with PP-OCRv6; unsure readings are returned too, with their low score.

    Parameters
    ----------
    threads : int
        Processor threads; at least 1.
    """

    def __init__(self, *, threads: int = 1) -> None:
        from rapidocr import RapidOCR

        self._engine: Any = RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.text_score": 0.0,  # what is found but cannot be read must be filled, so keep it
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def find(self, picture: NDArray[np.uint8]) -> list[TextBox]:
        """Return every text box of a picture, shape (rows, columns, 3), RGB."""
        if min(picture.shape[:2]) < _LEAST_SIDE:
            return []
        result = self._engine(np.ascontiguousarray(picture[..., ::-1]))  # it wants BGR
        if result.boxes is None:
            return []
        return [_box(*found) for found in zip(result.boxes, result.txts, result.scores, strict=True)]


def _box(corners: Any, text: str, score: float) -> TextBox:
    columns, rows = np.asarray(corners, dtype=np.float64).T
    edges = (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
    top, bottom, left, right = (int(edge) for edge in edges)
    return TextBox(max(top, 0), bottom, max(left, 0), right, str(text), float(score))


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
