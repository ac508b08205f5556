"""What every narrator and every voice must keep to, whoever wrote it."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medviz import plugins

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "monai", "vtkmodules", "xllamacpp", "hibari", "onnxruntime")


@pytest.mark.parametrize("name", plugins.names("narrators"))
def test_a_narrator_opens_a_writer_and_says_how_it_marks_its_sentences(name: str) -> None:
    narrator = plugins.load("narrators", name)
    assert narrator.TITLE
    assert narrator.SOURCE in {"model", "template"}
    assert set(inspect.signature(narrator.open_writer).parameters) == {"models", "threads"}
    assert narrator.record().name


@pytest.mark.parametrize("name", plugins.names("narrators"))
def test_a_narrator_that_uses_weights_pins_them(name: str) -> None:
    narrator = plugins.load("narrators", name)
    assert (narrator.SOURCE == "template") == (narrator.record().weights_sha256 == "")


@pytest.mark.parametrize("name", plugins.names("voices"))
def test_a_voice_speaks_mono_samples_that_repeat_themselves(name: str) -> None:
    voice = plugins.load("voices", name)
    speaker = voice.open_speaker()
    samples = speaker.say("The path is 62.4 millimetres long.", seed=3)
    assert samples.ndim == 1
    assert samples.dtype == np.float32
    assert 1.0 < len(samples) / voice.SAMPLE_RATE_HZ < 8.0
    assert np.array_equal(samples, speaker.say("The path is 62.4 millimetres long.", seed=3))
    assert voice.record().name
    assert isinstance(voice.IS_STAND_IN, bool)


def test_importing_narrators_and_voices_loads_no_heavy_library() -> None:
    script = (
        "import sys; from medviz import plugins\n"
        "[plugins.load(kind, name) for kind in ('narrators', 'voices') for name in plugins.names(kind)]\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
