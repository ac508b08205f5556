"""What is said, why it may be said, and when."""

from __future__ import annotations

from dataclasses import dataclass

from medviz.core.segmentation import ModelRecord


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of the narration.

    Parameters
    ----------
    shot_id : str
        Shot it belongs to.
    fact_ids : tuple of str
        Facts it tells; never empty.
    text : str
        As captioned.
    spoken : str
        As pronounced: units and abbreviations written out, the same numbers.
    source : str
        ``model`` or ``template``.
    attempts : int
        How often the model was asked.
    complaints : tuple of str
        Why the verifier turned earlier attempts down.
    """

    shot_id: str
    fact_ids: tuple[str, ...]
    text: str
    spoken: str
    source: str
    attempts: int
    complaints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Narration:
    """All sentences in film order, and the model that wrote them."""

    sentences: tuple[Sentence, ...]
    model: ModelRecord


@dataclass(frozen=True, slots=True)
class Utterance:
    """When a sentence is heard, in seconds from the start of its sound file."""

    sentence_index: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Speech:
    """The spoken narration: one utterance per sentence; samples lie in the sound file beside it."""

    sample_rate_hz: int
    utterances: tuple[Utterance, ...]
    voice: ModelRecord
    is_stand_in: bool = False
