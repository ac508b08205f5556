"""The sound track, put together from one sound file per sentence."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medviz.core.errors import BadInput
from pipelines.film.timeline import Timeline

Samples = NDArray[np.float32]

_EDGE_S = 0.008


def read_sentence(path: Path) -> tuple[Samples, int]:
    """Return the samples (-1 to 1, mono) and the sample rate (Hz) of a sentence's WAV file.

    Raises
    ------
    BadInput
        If the file is missing or is not 16-bit PCM (``SPEECH_UNREADABLE``).
    """
    try:
        with wave.open(str(path), "rb") as sound:
            if sound.getsampwidth() != 2:
                raise _unreadable()
            data = np.frombuffer(sound.readframes(sound.getnframes()), dtype="<i2")
            channels, rate = sound.getnchannels(), sound.getframerate()
    except (OSError, EOFError, wave.Error):
        raise _unreadable() from None
    samples = data.reshape(-1, channels).astype(np.float32).mean(axis=1) / 32768.0
    return samples.astype(np.float32), rate


def _unreadable() -> BadInput:
    return BadInput(
        "A sentence's sound file is missing or is not 16-bit PCM.",
        reason="SPEECH_UNREADABLE",
        mend="Run the speech step again.",
    )


def read_sentences(folder: Path, count: int) -> tuple[list[Samples], int]:
    """Return the samples of sentences 0 to `count` - 1 and their one sample rate (Hz).

    The files are `folder`/000.wav and on, or `folder`/speech/000.wav and on, as the speech step leaves them.

    Raises
    ------
    BadInput
        If a file is missing, is not 16-bit PCM, or has another rate than the first.
    """
    inner = folder / "speech" if (folder / "speech").is_dir() else folder
    sounds = [read_sentence(inner / f"{index:03d}.wav") for index in range(count)]
    rates = {rate for _, rate in sounds}
    if len(rates) > 1:
        raise BadInput("The sentences' sound files differ in sample rate.", reason="SPEECH_UNREADABLE")
    return [samples for samples, _ in sounds], rates.pop() if rates else 24000


def track(timeline: Timeline, sounds: list[Samples], rate_hz: int) -> NDArray[np.int16]:
    """Return the film's sound, mono int16, exactly as long as its frames. The voice has its level already."""
    samples = np.zeros(round(timeline.length_s * rate_hz), dtype=np.float32)
    for shot in timeline.shots:
        for spoken in shot.spoken:
            sound = _soft_edges(sounds[spoken.sentence_index], rate_hz)
            start = round(spoken.start_s * rate_hz)
            end = min(start + len(sound), len(samples))
            samples[start:end] += sound[: end - start]
    return np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype(np.int16)


def _soft_edges(sound: Samples, rate_hz: int) -> Samples:
    n = min(round(_EDGE_S * rate_hz), len(sound) // 2)
    result = sound.copy()
    ramp = np.linspace(0.0, 1.0, n, endpoint=False, dtype=np.float32)
    result[:n] *= ramp
    result[len(result) - n :] *= ramp[::-1]
    return result
