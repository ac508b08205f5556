"""From a storyboard and its facts to checked sentences, one for each fact of each shot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, cast

from medviz import plugins
from medviz.core.errors import Uncertain
from medviz.core.facts import Fact, FactLedger
from medviz.core.progress import Progress, silent
from medviz.core.segmentation import ModelRecord
from medviz.core.speech import Narration, Sentence
from medviz.core.storyboard import Storyboard
from pipelines.spoken import spoken_form
from pipelines.verification import Complaint, verify_narration, verify_sentence

MOST_ATTEMPTS = 5


class Writer(Protocol):
    """What a narrator opens: it restates one fact at a time."""

    def write(self, fact: Fact, *, attempt: int, seed: int) -> str:
        """Return one sentence about `fact`; another one for another `attempt` (0, 1, ...)."""
        ...


class Narrator(Protocol):
    """A file of `pipelines/narrators`."""

    TITLE: str
    SOURCE: str

    def open_writer(self, *, models: Path, threads: int) -> AbstractContextManager[Writer]:
        """Yield a writer that is ready to write."""
        ...

    def record(self) -> ModelRecord:
        """Return what a case says about the narrator."""
        ...


def narrate(
    storyboard: Storyboard,
    ledger: FactLedger,
    *,
    narrator: str,
    models: Path,
    seed: int,
    threads: int,
    progress: Progress = silent,
) -> Narration:
    """Return the narration: one verified sentence for each fact of each shot, in film order.

    A sentence that the verifier turns down is asked for again with another seed, five times in all; then the
    fact's own plain sentence is taken and marked ``template``, with the complaints kept.

    Parameters
    ----------
    narrator : str
        A file of `pipelines/narrators`.
    models : Path
        The models folder.
    seed : int
        The same seed, facts and model give the same text.
    threads : int
        Threads for the language model; one is fastest on a shared machine.

    Raises
    ------
    BadInput
        If there is no such narrator.
    WeightsMissing
        If the narrator's weights are not here; `mend` is the command that gets them.
    Uncertain
        If even a fact's own sentence does not pass the verifier.
    """
    chosen = cast("Narrator", plugins.load("narrators", narrator))
    told = [(shot.id, ledger[fact_id]) for shot in storyboard.shots for fact_id in shot.fact_ids]
    sentences: list[Sentence] = []
    with chosen.open_writer(models=models, threads=threads) as writer:
        for number, (shot_id, fact) in enumerate(told, start=1):
            sentences.append(_told(writer, chosen.SOURCE, shot_id, fact, ledger, seed))
            progress(number / len(told), f"sentence {number} of {len(told)}")
    narration = Narration(tuple(sentences), chosen.record())
    _require(verify_narration(narration, storyboard, ledger))
    return narration


def _told(writer: Writer, source: str, shot_id: str, fact: Fact, ledger: FactLedger, seed: int) -> Sentence:
    """Return a sentence about `fact` that passed, or the fact's own."""
    refused: list[str] = []
    attempts = 0
    for text, found in _tries(writer, source, fact, ledger, seed):
        attempts += 1
        if not found:
            return Sentence(
                shot_id, (fact.id,), text, spoken_form(text), source, attempts, tuple(dict.fromkeys(refused))
            )
        refused += [str(complaint) for complaint in found]
    _require(verify_sentence(fact.sentence, fact, ledger), fact)
    spoken = spoken_form(fact.sentence)
    complaints = tuple(dict.fromkeys(refused))
    return Sentence(shot_id, (fact.id,), fact.sentence, spoken, "template", attempts, complaints)


def _tries(
    writer: Writer, source: str, fact: Fact, ledger: FactLedger, seed: int
) -> Iterator[tuple[str, tuple[Complaint, ...]]]:
    for attempt in range(MOST_ATTEMPTS if source == "model" else 1):
        text = writer.write(fact, attempt=attempt, seed=seed)
        yield text, verify_sentence(text, fact, ledger)


def _require(complaints: tuple[Complaint, ...], fact: Fact | None = None) -> None:
    if not complaints:
        return
    what = f"The plain sentence of {fact.id}" if fact else "The narration"
    raise Uncertain(
        f"{what} did not pass the checks: {'; '.join(map(str, complaints))}.",
        reason="NARRATION_UNVERIFIED",
        mend="Report this; the film was not made, because it would have said something unproven.",
    )
