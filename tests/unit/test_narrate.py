"""Narration: whatever a narrator writes, only what passed the checks is told, marked by its source."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from medviz import plugins
from medviz.core.errors import BadInput, Uncertain
from medviz.core.facts import Fact, FactLedger
from medviz.core.segmentation import ModelRecord
from medviz.core.speech import Narration
from medviz.core.storyboard import Storyboard
from pipelines.narrators.embedded import anchors_of, grammar_of
from pipelines.stages.narrate import MOST_ATTEMPTS, narrate
from tests.make_ledger import make_fact, make_ledger, make_needle_ledger, make_shot, make_storyboard

LEDGER = make_ledger()


class ScriptedNarrator:
    """A narrator that answers with what the test tells it to."""

    TITLE, SOURCE = "Scripted", "model"

    def __init__(self, answer: Callable[[Fact, int], str]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, int]] = []

    @contextlib.contextmanager
    def open_writer(self, *, models: Path, threads: int) -> Iterator[ScriptedNarrator]:
        yield self

    def write(self, fact: Fact, *, attempt: int, seed: int) -> str:
        self.asked.append((fact.id, attempt))
        return self.answer(fact, attempt)

    def record(self) -> ModelRecord:
        return ModelRecord("scripted", "1")


def told(storyboard: Storyboard, ledger: FactLedger, narrator: str) -> Narration:
    return narrate(storyboard, ledger, narrator=narrator, models=Path("unused"), seed=1, threads=1)


def scripted(monkeypatch: pytest.MonkeyPatch, answer: Callable[[Fact, int], str]) -> ScriptedNarrator:
    narrator = ScriptedNarrator(answer)
    monkeypatch.setattr(plugins, "load", lambda kind, name: narrator)
    return narrator


def test_the_template_tells_every_fact_of_every_shot_once_and_in_order() -> None:
    storyboard = make_storyboard()
    narration = told(storyboard, LEDGER, "template")
    planned = [(shot.id, (fact_id,)) for shot in storyboard.shots for fact_id in shot.fact_ids]
    assert [(s.shot_id, s.fact_ids) for s in narration.sentences] == planned
    assert {s.source for s in narration.sentences} == {"template"}
    assert [s.text for s in narration.sentences] == [LEDGER[ids[0]].sentence for _, ids in planned]
    assert narration.model == ModelRecord("template", "1")


def test_the_caption_keeps_the_written_form_and_the_voice_gets_the_spoken_one() -> None:
    narration = told(Storyboard("t", (make_shot("a", "volume.brain"),)), LEDGER, "template")
    assert narration.sentences[0].text == "The volume of the brain is 1312 ml."
    assert narration.sentences[0].spoken == "The volume of the brain is 1,312 millilitres."


def test_a_lie_is_asked_again_and_the_truth_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [
        "The catheter runs 6.24 mm from the skin to its tip.",
        "The catheter is 62.4 mm from skin to tip.",
    ]
    narrator = scripted(monkeypatch, lambda fact, attempt: answers[attempt])
    sentence = told(Storyboard("t", (make_shot("a", "trajectory.length"),)), LEDGER, "x").sentences[0]
    assert sentence.text == answers[1]
    assert (sentence.source, sentence.attempts) == ("model", 2)
    assert any(complaint.startswith("VALUE") for complaint in sentence.complaints)
    assert narrator.asked == [("trajectory.length", 0), ("trajectory.length", 1)]


def test_a_narrator_that_only_lies_is_replaced_by_the_fact_s_own_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    narrator = scripted(monkeypatch, lambda fact, attempt: "The operation is perfectly safe.")
    narration = told(make_storyboard(), LEDGER, "x")
    assert len(narrator.asked) == MOST_ATTEMPTS * len(LEDGER.facts)
    for sentence in narration.sentences:
        assert sentence.text == LEDGER[sentence.fact_ids[0]].sentence
        assert (sentence.source, sentence.attempts) == ("template", MOST_ATTEMPTS)
        assert any("ASSURANCE: says safe" in complaint for complaint in sentence.complaints)


def test_a_fact_whose_own_sentence_gives_advice_stops_the_case(monkeypatch: pytest.MonkeyPatch) -> None:
    fact = make_fact("a.b", "The catheter should stop 3.0 mm deep.", 3.0, unit="mm", keywords=("catheter",))
    with pytest.raises(Uncertain) as error:
        told(Storyboard("t", (make_shot("a", "a.b"),)), FactLedger((fact,)), "template")
    assert error.value.reason == "NARRATION_UNVERIFIED"


def test_an_unknown_narrator_is_named_with_those_there_are() -> None:
    with pytest.raises(BadInput, match="embedded"):
        told(make_storyboard(), LEDGER, "telepathy")


def test_the_grammar_holds_each_amount_of_the_fact_once_and_no_digit_else() -> None:
    for ledger in (LEDGER, make_needle_ledger()):
        for fact in ledger:
            grammar = grammar_of(fact)
            anchors = anchors_of(fact)
            digits = sum(character.isdigit() for character in grammar.splitlines()[0])
            in_anchors = sum(character.isdigit() for anchor in anchors for character in anchor)
            bounds = 0 if anchors else len("8120")
            assert digits == in_anchors + bounds, fact.id
            if isinstance(fact.value, float):
                assert any(anchor.startswith(f"{fact.value:.{fact.decimals}f}") for anchor in anchors), (
                    fact.id
                )


def test_progress_ends_at_one() -> None:
    seen: list[float] = []
    narrate(
        make_storyboard(), LEDGER, narrator="template", models=Path("unused"), seed=1, threads=1,
        progress=lambda fraction, figure: seen.append(fraction),
    )  # fmt: skip
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
