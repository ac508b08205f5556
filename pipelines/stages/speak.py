"""From checked sentences to sound: one file for each sentence, with exact times."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from medviz import plugins
from medviz.core.progress import Progress, silent
from medviz.core.records import write_record
from medviz.core.segmentation import ModelRecord
from medviz.core.speech import Narration, Speech, Utterance
from pipelines.loudness import levelled, trimmed

PAUSE_S = 0.35


class Speaker(Protocol):
    """What a voice opens: it says one sentence at a time."""

    def say(self, text: str, *, seed: int) -> NDArray[np.float32]:
        """Return the sound of `text`: mono, -1 to 1."""
        ...


class Voice(Protocol):
    """A file of `pipelines/voices`."""

    TITLE: str
    SAMPLE_RATE_HZ: int
    IS_STAND_IN: bool

    def open_speaker(self) -> Speaker:
        """Return a speaker that is ready to speak."""
        ...

    def record(self) -> ModelRecord:
        """Return what a case says about the voice."""
        ...


def speak(
    narration: Narration, folder: Path, *, voice: str, seed: int, progress: Progress = silent
) -> Speech:
    """Return when each sentence is heard; its sound goes to ``folder/speech/000.wav`` and on.

    Each file holds one sentence: mono, 16 bit, trimmed of silence, at -16 LUFS. Times in the result are those
    of all sentences one after the other with a pause of 0.35 s between; ``end_s - start_s`` is a file's
    length. The result is also written to ``folder/speech.json``.

    Raises
    ------
    BadInput
        If there is no such voice.
    WeightsMissing
        If the voice's file is missing or not the pinned bytes.
    """
    chosen = cast("Voice", plugins.load("voices", voice))
    speaker = chosen.open_speaker()
    (folder / "speech").mkdir(parents=True, exist_ok=True)
    utterances: list[Utterance] = []
    start_s = 0.0
    for index, sentence in enumerate(narration.sentences):
        samples = trimmed(speaker.say(sentence.spoken, seed=seed), chosen.SAMPLE_RATE_HZ)
        samples = levelled(samples, chosen.SAMPLE_RATE_HZ)
        write_wav(sound_file(folder, index), samples, chosen.SAMPLE_RATE_HZ)
        end_s = start_s + len(samples) / chosen.SAMPLE_RATE_HZ
        utterances.append(Utterance(index, start_s, end_s))
        start_s = end_s + PAUSE_S
        progress((index + 1) / len(narration.sentences), f"sentence {index + 1}, {end_s:.0f} s of speech")
    speech = Speech(chosen.SAMPLE_RATE_HZ, tuple(utterances), chosen.record(), chosen.IS_STAND_IN)
    write_record(folder / "speech.json", speech)
    return speech


def sound_file(folder: Path, sentence_index: int) -> Path:
    """Return where the sound of a sentence lies."""
    return folder / "speech" / f"{sentence_index:03d}.wav"


def read_wav(path: Path) -> NDArray[np.float32]:
    """Return the samples of a mono 16-bit file, -1 to 1."""
    with wave.open(str(path), "rb") as stream:
        raw = stream.readframes(stream.getnframes())
    return (np.frombuffer(raw, dtype="<i2") / 32768.0).astype(np.float32)


def write_wav(path: Path, samples: NDArray[np.float32], sample_rate_hz: int) -> None:
    """Write mono samples, -1 to 1, as 16-bit PCM."""
    pcm = np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2")
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(sample_rate_hz)
        stream.writeframes(pcm.tobytes())
