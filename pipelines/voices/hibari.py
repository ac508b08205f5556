"""The hibari engine with its built-in voice "heart": American English, on the processor, without a network.

The package offers other voices that it would download at first use; they are not offered here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviz.core.segmentation import ModelRecord
from pipelines.models import locate
from pipelines.models import record as record_of

TITLE = "Hibari, voice heart (American English)"
SAMPLE_RATE_HZ = 24000
IS_STAND_IN = False
MODEL_ID = "hibari-heart"


class HibariSpeaker:
    """Speaks one sentence at a time; the same text and seed give the same samples."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def say(self, text: str, *, seed: int) -> NDArray[np.float32]:
        """Return the sound of `text`: mono, -1 to 1, `SAMPLE_RATE_HZ` samples a second."""
        samples: NDArray[np.float32] = np.asarray(self._engine(text, seed=seed), dtype=np.float32)
        return samples


def open_speaker() -> HibariSpeaker:
    """Return a speaker with the voice loaded from the checked file.

    Raises
    ------
    WeightsMissing
        If the package's voice file is missing or not the pinned bytes.
    """
    weights = locate(MODEL_ID, Path())
    from hibari import Hibari

    return HibariSpeaker(Hibari(voice="heart", model=str(weights), threads=1))


def record() -> ModelRecord:
    """Return what a case says about this voice."""
    return record_of(MODEL_ID)
