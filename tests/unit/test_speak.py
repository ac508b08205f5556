"""Speech: the real built-in voice, the same bytes for the same seed, exact times, and an even level."""

from __future__ import annotations

import hashlib
import json
import socket
import wave
from pathlib import Path

import numpy as np
import pytest

from medviz.core.errors import BadInput
from medviz.core.records import read_record
from medviz.core.segmentation import ModelRecord
from medviz.core.speech import Narration, Sentence, Speech
from pipelines.loudness import HIGHEST_PEAK, TARGET_LUFS, levelled, loudness_lufs, trimmed
from pipelines.stages.speak import PAUSE_S, read_wav, sound_file, speak

RATE = 24000
TEXTS = ("The ventricles hold 38.4 millilitres.", "The catheter meets the skull at an angle of 84 degrees.")


def narration_of(*texts: str) -> Narration:
    sentences = tuple(Sentence("a", ("f",), text, text, "template", 1) for text in texts)
    return Narration(sentences, ModelRecord("template", "1"))


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Speech]:
    folder = tmp_path_factory.mktemp("speech")
    return folder, speak(narration_of(*TEXTS), folder, voice="hibari", seed=1)


def digests(folder: Path) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("speech/*.wav"))]


def test_each_sentence_is_a_mono_16_bit_file(spoken: tuple[Path, Speech]) -> None:
    folder, _ = spoken
    assert [path.name for path in sorted((folder / "speech").iterdir())] == ["000.wav", "001.wav"]
    with wave.open(str(sound_file(folder, 0)), "rb") as stream:
        assert (stream.getframerate(), stream.getnchannels(), stream.getsampwidth()) == (RATE, 1, 2)


def test_times_are_those_of_the_files_with_a_pause_between(spoken: tuple[Path, Speech]) -> None:
    folder, speech = spoken
    first, second = speech.utterances
    for utterance in speech.utterances:
        length_s = len(read_wav(sound_file(folder, utterance.sentence_index))) / RATE
        assert utterance.end_s - utterance.start_s == pytest.approx(length_s, abs=1e-9)
    assert first.start_s == 0.0
    assert second.start_s == pytest.approx(first.end_s + PAUSE_S)
    assert 1.0 < first.end_s < 6.0
    assert read_record(folder / "speech.json", Speech) == speech


def test_speech_is_even_in_level_and_never_clips(spoken: tuple[Path, Speech]) -> None:
    folder, _ = spoken
    for index in range(len(TEXTS)):
        samples = read_wav(sound_file(folder, index))
        assert loudness_lufs(samples, RATE) == pytest.approx(TARGET_LUFS, abs=0.5)
        assert np.abs(samples).max() <= HIGHEST_PEAK + 1e-3


def test_the_same_seed_gives_the_same_bytes_alone_or_in_company(
    spoken: tuple[Path, Speech], tmp_path: Path
) -> None:
    folder, _ = spoken
    speak(narration_of(TEXTS[1]), tmp_path, voice="hibari", seed=1)
    assert digests(tmp_path) == digests(folder)[1:]


def test_speaking_opens_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    speech = speak(narration_of(TEXTS[0]), tmp_path, voice="hibari", seed=1)
    assert not speech.is_stand_in


def test_a_voice_that_would_be_downloaded_is_not_offered(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="hibari"):
        speak(narration_of(TEXTS[0]), tmp_path, voice="emma", seed=1)


def test_the_voice_names_its_weights(spoken: tuple[Path, Speech]) -> None:
    _, speech = spoken
    assert speech.voice.name == "hibari-heart"
    assert len(speech.voice.weights_sha256) == 64


def tone(level: float, seconds: float = 2.0, hz: float = 997.0) -> np.ndarray:
    time_s = np.arange(round(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * hz * time_s)).astype(np.float32)


def test_loudness_follows_the_standard_s_reference_tone() -> None:
    # ITU-R BS.1770-5: a 997 Hz sine of full scale in one channel reads -3.01 LUFS.
    assert loudness_lufs(tone(1.0), RATE) == pytest.approx(-3.01, abs=0.05)
    assert loudness_lufs(tone(0.1), RATE) == pytest.approx(-23.01, abs=0.05)


def test_silence_stays_silent_and_ends_are_trimmed() -> None:
    silence = np.zeros(RATE, dtype=np.float32)
    assert np.array_equal(levelled(silence, RATE), silence)
    padded = np.concatenate([silence, tone(0.5, 1.0), silence])
    assert len(trimmed(padded, RATE)) == pytest.approx(1.08 * RATE, abs=0.01 * RATE)
    assert trimmed(padded, RATE)[0] == 0.0


def test_the_record_has_a_schema_version(spoken: tuple[Path, Speech]) -> None:
    folder, _ = spoken
    assert json.loads((folder / "speech.json").read_text())["schema_version"] == 1
