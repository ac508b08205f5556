"""When each shot, sentence and caption comes. Frames are counted, so that nothing drifts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from medviz.core.errors import BadInput
from medviz.core.speech import Narration, Speech
from medviz.core.storyboard import Shot, Storyboard
from pipelines.film.captions import Cue, cues_of

LEAD_S = 0.5
"""Silence before the first sentence of a shot."""

PAUSE_S = 0.4
"""Silence between two sentences of a shot."""

TAIL_S = 0.7
"""Silence after the last sentence of a shot."""

TITLE_ID, END_ID = "film-title", "film-end"


@dataclass(frozen=True, slots=True)
class Spoken:
    """When a sentence's sound starts and ends in the film, in seconds."""

    sentence_index: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class ShotTime:
    """A shot with its frames and its sentences; times are seconds of the film."""

    shot: Shot
    first_frame: int
    frames: int
    spoken: tuple[Spoken, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """All shots in order, title and end card included."""

    frames_per_second: int
    shots: tuple[ShotTime, ...]

    @property
    def frames(self) -> int:
        """Number of frames of the film."""
        return sum(item.frames for item in self.shots)

    @property
    def length_s(self) -> float:
        """Length of the film in seconds."""
        return self.frames / self.frames_per_second


def make_timeline(
    storyboard: Storyboard,
    narration: Narration,
    speech: Speech,
    sound_s: list[float],
    *,
    frames_per_second: int,
) -> Timeline:
    """Return when everything comes.

    Parameters
    ----------
    sound_s : list of float
        Length of each sentence's sound file in seconds, by sentence index.

    Raises
    ------
    BadInput
        If a sentence belongs to no shot (``SHOT_UNKNOWN``) or is not spoken (``SPEECH_INCOMPLETE``).
    """
    _check(storyboard, narration, speech)
    first, shots = 0, []
    for shot in with_cards(storyboard):
        start = first / frames_per_second
        at, spoken = start + LEAD_S, []
        for index, sentence in enumerate(narration.sentences):
            if sentence.shot_id == shot.id:
                spoken.append(Spoken(index, at, at + sound_s[index]))
                at += sound_s[index] + PAUSE_S
        length_s = max(shot.least_s, at - PAUSE_S + TAIL_S - start if spoken else 0.0)
        frames = max(math.ceil(length_s * frames_per_second), 2)
        shots.append(ShotTime(shot, first, frames, tuple(spoken)))
        first += frames
    return Timeline(frames_per_second, tuple(shots))


def with_cards(storyboard: Storyboard) -> tuple[Shot, ...]:
    """Return the shots with a title card before and an end card behind, where the story has none."""
    shots = storyboard.shots
    if not shots or not _is_plain_card(shots[0]):
        shots = (_card(TITLE_ID, storyboard.title, 3.0), *shots)
    if len(shots) == 1 or not _is_plain_card(shots[-1]):
        shots = (*shots, _card(END_ID, "Awaiting a clinician's signature", 4.0))
    return shots


def _is_plain_card(shot: Shot) -> bool:
    """Return whether a shot is a card that tells no facts: the story's own title or end."""
    return shot.kind == "card" and not shot.fact_ids


def _card(shot_id: str, title: str, least_s: float) -> Shot:
    return Shot(shot_id, title, "card", None, None, (), (), least_s=least_s)


def _check(storyboard: Storyboard, narration: Narration, speech: Speech) -> None:
    known = {shot.id for shot in storyboard.shots}
    if len(known) != len(storyboard.shots):
        raise BadInput("Two shots of the storyboard share a name.", reason="SHOT_TWICE")
    if any(sentence.shot_id not in known for sentence in narration.sentences):
        raise BadInput(
            "A sentence belongs to a shot that the storyboard does not have.", reason="SHOT_UNKNOWN"
        )
    if {item.sentence_index for item in speech.utterances} != set(range(len(narration.sentences))):
        raise BadInput(
            "The speech does not hold every sentence of the narration.",
            reason="SPEECH_INCOMPLETE",
            mend="Run the speech step again.",
        )


def cues_in(shot: ShotTime, narration: Narration) -> list[Cue]:
    """Return the captions of a shot, in seconds of the film."""
    cues = []
    for spoken in shot.spoken:
        text = narration.sentences[spoken.sentence_index].text
        cues += cues_of(text, spoken.start_s, spoken.end_s, spoken.sentence_index)
    return cues
