"""The real language model: true, repeatable, and reachable by nobody."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from medviz.core.settings import load_settings
from medviz.core.storyboard import Storyboard
from pipelines.narrators import embedded
from pipelines.narrators.embedded import EmbeddedWriter
from pipelines.stages.narrate import narrate
from pipelines.verification import verify_narration, verify_sentence
from tests.make_ledger import make_ledger, make_shot, make_storyboard

pytestmark = [pytest.mark.model, pytest.mark.slow]

LEDGER = make_ledger()


@pytest.fixture(scope="module")
def models() -> Path:
    """Fails, and says the command that gets the weights, when they are not here."""
    folder = load_settings().models
    embedded.locate(embedded.MODEL_ID, folder)
    return folder


@pytest.fixture(scope="module")
def writer(models: Path) -> Iterator[EmbeddedWriter]:
    with embedded.open_writer(models=models, threads=1) as opened:
        yield opened


def test_a_sentence_does_not_depend_on_what_was_asked_before(writer: EmbeddedWriter) -> None:
    asked = [LEDGER[one] for one in ("trajectory.length", "entry.side", "clearance.brainstem")]
    forward = [writer.write(fact, attempt=1, seed=1) for fact in asked]
    backward = [writer.write(fact, attempt=1, seed=1) for fact in reversed(asked)]
    assert forward == backward[::-1]


def test_no_digit_comes_out_but_the_fact_s_own(writer: EmbeddedWriter) -> None:
    for fact_id in ("volume.brain", "trajectory.angle_skull", "unknown.vessels"):
        text = writer.write(LEDGER[fact_id], attempt=4, seed=7)
        wanted = [c for c in LEDGER[fact_id].sentence if c.isdigit()]
        assert [c for c in text if c.isdigit()] == wanted


def test_the_model_listens_on_no_port_and_its_socket_has_no_name(writer: EmbeddedWriter) -> None:
    own = {str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()}
    for table in ("tcp", "tcp6", "udp", "udp6"):
        rows = Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]
        assert not {f"socket:[{row.split()[9]}]" for row in rows} & own
    rows = Path("/proc/self/net/unix").read_text().splitlines()
    paths = [row.split()[-1] for row in rows if "narrator.sock" in row]
    assert not any(Path(path).exists() for path in paths)


def test_a_whole_narration_is_true_and_mostly_the_model_s_own(models: Path) -> None:
    storyboard = make_storyboard()
    narration = narrate(storyboard, LEDGER, narrator="embedded", models=models, seed=1, threads=1)
    assert verify_narration(narration, storyboard, LEDGER) == ()
    for sentence in narration.sentences:
        fact = LEDGER[sentence.fact_ids[0]]
        assert verify_sentence(sentence.text, fact, LEDGER) == ()
        assert sentence.source == "model" or sentence.text == fact.sentence
    by_model = sum(sentence.source == "model" for sentence in narration.sentences)
    assert by_model >= 0.7 * len(narration.sentences)
    assert narration.model.weights_sha256.startswith("cc324af0")


SCRIPT = """
import sys
from pathlib import Path
from tests.make_ledger import make_ledger, make_shot
from medviz.core.storyboard import Storyboard
from pipelines.stages.narrate import narrate
from pipelines.stages.speak import speak
board = Storyboard("t", (make_shot("a", "trajectory.length", "entry.side"),))
told = narrate(board, make_ledger(), narrator="embedded", models=Path(sys.argv[1]), seed=1, threads=1)
speak(told, Path(sys.argv[2]), voice="hibari", seed=1)
print(*(sentence.text for sentence in told.sentences), sep="|")
"""


def test_narration_and_speech_work_without_any_network(models: Path, tmp_path: Path) -> None:
    """In a network namespace in which even the loopback interface is down."""
    if subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine allows no network namespaces")
    command = ["unshare", "-rn", sys.executable, "-c", SCRIPT, str(models), str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    board = Storyboard("t", (make_shot("a", "trajectory.length", "entry.side"),))
    here = narrate(board, LEDGER, narrator="embedded", models=models, seed=1, threads=1)
    assert done.stdout.strip() == "|".join(sentence.text for sentence in here.sentences)
    assert (tmp_path / "speech" / "001.wav").is_file()
