"""The binder turns hostile sentences down and lets every fact's own sentence pass."""

# ruff: noqa: E501 - a table of sentences reads as rows
from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from medviz.core.anatomy import STRUCTURES
from medviz.core.facts import Fact, FactLedger, Grade
from medviz.core.segmentation import ModelRecord
from medviz.core.speech import Narration, Sentence
from pipelines.verification import verify_narration, verify_sentence
from pipelines.verification.quantities import Quantity, quantities
from pipelines.verification.vocabulary import english
from tests.make_ledger import make_fact, make_ledger, make_needle_ledger, make_storyboard

LEDGER = make_ledger()


def codes(fact_id: str, text: str) -> set[str]:
    return {complaint.code for complaint in verify_sentence(text, LEDGER[fact_id], LEDGER)}


FAITHFUL = [
    ("trajectory.length", "From the skin to its tip, the catheter measures 62.4 mm."),
    ("trajectory.length", "The catheter, which extends from the skin to its tip, is 62.4 mm long."),
    ("volume.brain", "The brain has a volume of 1312 ml."),
    ("volume.ventricles", "The ventricles contain 38.4 ml."),
    ("entry.side", "The entry point is on the right."),
    ("clearance.brainstem", "At its closest, the catheter is 31.7 mm from the brainstem."),
    ("clearance.deep_grey", "The shortest distance from the catheter to the deep grey nuclei is 6.2 mm."),
    ("trajectory.crossed", "The catheter passes through the skin, the skull and the cerebrum."),
    ("trajectory.angle_skull", "The angle between the catheter and the skull is 84 degrees."),
    ("unknown.vessels", "This scan cannot show blood vessels without contrast."),
    ("search.candidates", "The search looked at 4212 candidate entry points."),
    ("search.feasible", "Of these candidates, 317 maintain every distance of the plan."),
    ("target.depth", "The tip is 9.5 mm inside the ventricles."),
]


def test_every_sentence_of_the_ledgers_passes() -> None:
    for ledger in (LEDGER, make_needle_ledger()):
        for fact in ledger:
            assert verify_sentence(fact.sentence, fact, ledger) == ()


@pytest.mark.parametrize(("fact_id", "text"), FAITHFUL)
def test_a_faithful_sentence_passes(fact_id: str, text: str) -> None:
    assert verify_sentence(text, LEDGER[fact_id], LEDGER) == ()


HOSTILE = {
    "another fact's number": ("clearance.brainstem", "The least distance between the catheter and the brainstem is 6.2 mm.", "VALUE"),
    "a shifted point": ("trajectory.length", "The catheter runs 6.24 mm from the skin to its tip.", "VALUE"),
    "a lost point": ("trajectory.length", "The catheter runs 624 mm from the skin to its tip.", "VALUE"),
    "a rounded number": ("trajectory.length", "The catheter runs 62 mm from the skin to its tip.", "VALUE"),
    "false precision": ("trajectory.length", "The catheter runs 62.40 mm from the skin to its tip.", "VALUE"),
    "no number": ("trajectory.length", "The catheter runs from the skin to its tip.", "VALUE"),
    "a number in words": ("clearance.deep_grey", "The least distance between the catheter and the deep grey nuclei is six mm.", "NUMBER_WORD"),
    "another unit of length": ("trajectory.length", "The catheter runs 62.4 cm from the skin to its tip.", "UNIT"),
    "a unit of volume": ("trajectory.length", "The catheter runs 62.4 ml from the skin to its tip.", "UNIT"),
    "no unit": ("trajectory.length", "The catheter runs 62.4 from the skin to its tip.", "UNIT"),
    "percent for degrees": ("trajectory.angle_skull", "The catheter meets the skull at an angle of 84%.", "UNIT"),
    "the other side": ("entry.side", "The entry point lies on the left side.", "SIDE"),
    "both sides": ("entry.side", "The entry point lies on the right side and the left side.", "SIDE"),
    "no side": ("entry.side", "The entry point lies on this side.", "SIDE"),
    "a negated fact": ("trajectory.crossed", "The catheter never crosses skin, skull and cerebrum.", "NEGATION"),
    "a lost negation": ("unknown.vessels", "Blood vessels can be seen in this scan without contrast.", "NEGATION"),
    "noted for not": ("unknown.vessels", "Blood vessels are noted in this scan without contrast.", "NEGATION"),
    "a doubled negation": ("unknown.vessels", "Blood vessels cannot be unseen in this scan without contrast.", "NEGATION"),
    "a lost doubt": ("unsure.cerebellum", "The outline of the cerebellum is shown.", "HEDGE"),
    "an added doubt": ("trajectory.length", "The catheter may run 62.4 mm from the skin to its tip.", "HEDGE"),
    "an added about": ("trajectory.length", "The catheter runs about 62.4 mm from the skin to its tip.", "HEDGE"),
    "an added at least": ("trajectory.length", "The catheter runs at least 62.4 mm from the skin to its tip.", "MEANING"),
    "a lost least": ("clearance.brainstem", "The distance between the catheter and the brainstem is 31.7 mm.", "MEANING"),
    "most for least": ("clearance.brainstem", "The largest distance between the catheter and the brainstem is 31.7 mm.", "MEANING"),
    "within for is": ("clearance.brainstem", "The catheter comes within 31.7 mm of the brainstem at its least distance.", "MEANING"),
    "avoids for crosses": ("trajectory.crossed", "The catheter avoids skin, skull and cerebrum.", "MEANING"),
    "part for whole": ("volume.brain", "The volume of a part of the brain is 1312 ml.", "MEANING"),
    "each for all together": ("volume.ventricles", "The ventricles each hold 38.4 ml.", "MEANING"),
    "depth for length": ("trajectory.length", "The catheter runs 62.4 mm deep from the skin to its tip.", "MEANING"),
    "a dropped structure": ("trajectory.crossed", "The catheter crosses skin and cerebrum.", "VALUE"),
    "an added structure": ("trajectory.crossed", "The catheter crosses skin, skull, dura and cerebrum.", "STRUCTURE"),
    "an invented vessel": ("trajectory.length", "The catheter runs 62.4 mm from the skin to its tip along the carotid artery.", "STRUCTURE"),
    "an unheard-of vessel": ("trajectory.length", "The catheter runs 62.4 mm from the skin to its tip along the vena galeni.", "WORD"),
    "another structure of the ledger": ("trajectory.length", "The catheter runs 62.4 mm from the skin to its tip in the brainstem.", "STRUCTURE"),
    "another subject": ("trajectory.length", "The brainstem runs 62.4 mm from the skin to its tip.", "BINDING"),
    "no subject": ("trajectory.angle_skin", "The angle is 79 degrees.", "BINDING"),
    "merged facts": ("trajectory.angle_skull", "The catheter meets the skull at an angle of 84 degrees and the skin at 79 degrees.", "VALUE"),
    "merged without a number": ("trajectory.length", "The catheter runs 62.4 mm from the skin to its tip and crosses the skull.", "MEANING"),
    "two sentences": ("trajectory.length", "The catheter runs 62.4 mm. It runs from the skin to its tip.", "FORM"),
    "a fragment": ("trajectory.length", "The catheter, 62.4 mm from the skin to its tip", "FORM"),
    "a count of other things": ("search.candidates", "The search compared entry points of 4212 searches and a candidate.", "BINDING"),
    "a verb that is gone": ("search.feasible", "Of these candidates, 317 are every distance of the plan.", "MEANING"),
    "crosser and crossed swapped": ("trajectory.crossed", "Skin, skull and cerebrum pass through the catheter.", "BINDING"),
    "a wrong article": ("trajectory.angle_skull", "The catheter has a 84 degrees angle with the skull.", "FORM"),
    "no verb": ("trajectory.length", "The catheter of 62.4 mm from the skin to its tip.", "FORM"),
    "an invented surgeon": ("trajectory.length", "Dr Miller runs the catheter 62.4 mm from the skin to its tip.", "NAME"),
    "a bare name": ("trajectory.length", "Here Okonkwo runs the catheter 62.4 mm from the skin to its tip.", "NAME"),
    "a first name at the start": ("trajectory.length", "Maria runs the catheter 62.4 mm from the skin to its tip.", "WORD"),
    "advice": ("trajectory.length", "The catheter should run 62.4 mm from the skin to its tip.", "ADVICE"),
    "an assurance": ("trajectory.length", "The catheter runs safely 62.4 mm from the skin to its tip.", "ASSURANCE"),
    "no risk": ("clearance.brainstem", "The least distance between the catheter and the brainstem is 31.7 mm without risk.", "RISK"),
    "prognosis": ("volume.brain", "The volume of the brain is 1312 ml and the patient recovers.", "PROGNOSIS"),
    "a diagnosis": ("volume.ventricles", "The enlarged ventricles hold 38.4 ml.", "DIAGNOSIS"),
    "malignancy": ("volume.brain", "The volume of the malignant brain is 1312 ml.", "DIAGNOSIS"),
    "certainty": ("trajectory.length", "The catheter certainly runs 62.4 mm from the skin to its tip.", "CERTAINTY"),
    "a segment": ("trajectory.length", "The catheter runs 62.4 mm from the skin to its tip in segment VI.", "ROMAN_NUMERAL"),
    "a vertebra": ("trajectory.length", "The catheter runs 62.4 mm from the skin to its tip at C2.", "VALUE"),
    "front for nothing": ("target.depth", "The tip lies 9.5 mm inside the front of the ventricles.", "MEANING"),
    "a letter that cannot be captioned": ("trajectory.length", "The catheter runs 62.4 mm from the skin to its tip…", "FORM"),
    "a loop": ("trajectory.length", "The catheter runs runs 62.4 mm from the skin to its tip.", "FORM"),
    "rambling": ("trajectory.length", "The catheter runs 62.4 mm from the skin to its tip" + " from the skin to its tip" * 8 + ".", "FORM"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_sentence_is_turned_down_for_its_reason(name: str) -> None:
    fact_id, text, code = HOSTILE[name]
    assert code in codes(fact_id, text)


def test_every_other_fact_s_sentence_is_turned_down() -> None:
    for fact in LEDGER:
        for other in LEDGER:
            if other.id != fact.id:
                assert verify_sentence(other.sentence, fact, LEDGER), (fact.id, other.id)


def test_advice_is_refused_even_when_a_fact_s_own_sentence_gives_it() -> None:
    fact = make_fact("a", "The catheter should stop 3.0 mm deep.", 3.0, unit="mm", keywords=("catheter",))
    found = verify_sentence(fact.sentence, fact, FactLedger((fact,)))
    assert {complaint.code for complaint in found} == {"ADVICE"}


def test_a_unit_may_be_written_out_and_a_second_may_not_be_a_millimetre() -> None:
    ledger = make_needle_ledger()
    fact = ledger["simulation.duration"]
    assert verify_sentence("The simulated operation lasts 145 seconds.", fact, ledger) == ()
    assert verify_sentence("The simulated operation lasts 145 minutes.", fact, ledger)[0].code == "UNIT"


def test_numbers_of_an_interval_keep_their_order() -> None:
    sentence = "The catheter runs 62.4 mm, plus or minus 1.5 mm."
    fact = make_fact("a", sentence, 62.4, unit="mm", keywords=("catheter",))
    swapped = "The catheter runs 1.5 mm, plus or minus 62.4 mm."
    ledger = FactLedger((fact,))
    assert not verify_sentence(sentence, fact, ledger)
    assert verify_sentence(swapped, fact, ledger)[0].code == "VALUE"


def test_every_title_of_the_anatomy_table_is_refused_where_the_fact_does_not_name_it() -> None:
    fact = make_fact("a", "The path runs 3.0 mm.", 3.0, unit="mm", keywords=("path",), subject="the path")
    for structure in STRUCTURES.values():
        text = f"The path runs 3.0 mm to the {structure.title}."
        assert verify_sentence(text, fact, FactLedger((fact,))), structure.title


def test_no_neutral_word_has_a_meaning_or_is_refused() -> None:
    vocabulary = english()
    assert vocabulary.neutral & set(vocabulary.meanings) == set()
    assert vocabulary.neutral & set(vocabulary.refusals) == set()


def test_a_quantity_is_read_with_its_unit() -> None:
    assert quantities("From -3.5 mm to 1,312 ml, 84 degrees, 12% and 7 of 9.") == (
        Quantity("-3.5", "mm"),
        Quantity("1,312", "ml"),
        Quantity("84", "deg"),
        Quantity("12", "%"),
        Quantity("7", ""),
        Quantity("9", ""),
    )


def narration_of(*pairs: tuple[str, str]) -> Narration:
    sentences = tuple(
        Sentence(shot_id, (fact_id,), LEDGER[fact_id].sentence, "", "template", 1)
        for shot_id, fact_id in pairs
    )
    return Narration(sentences, ModelRecord("template", "1"))


def test_a_narration_that_leaves_a_fact_out_or_tells_it_twice_is_turned_down() -> None:
    storyboard = make_storyboard()
    pairs = [(shot.id, fact_id) for shot in storyboard.shots for fact_id in shot.fact_ids]
    assert not verify_narration(narration_of(*pairs), storyboard, LEDGER)
    for wrong in (pairs[1:], [*pairs, pairs[-1]], [pairs[1], pairs[0], *pairs[2:]]):
        found = verify_narration(narration_of(*wrong), storyboard, LEDGER)
        assert [complaint.code for complaint in found] == ["COVERAGE"]


TITLES = sorted({structure.title for structure in STRUCTURES.values()})
AMOUNTS = st.floats(0.1, 3000, allow_nan=False)


@st.composite
def facts(draw: st.DrawFn) -> Fact:
    """A fact as a procedure would write it, about any structure, with any value."""
    title, decimals = draw(st.sampled_from(TITLES)), draw(st.integers(0, 2))
    value = draw(AMOUNTS)
    number = f"{value:.{decimals}f}"
    form, unit = draw(
        st.sampled_from(
            [
                (f"The volume of the {title} is {number} ml.", "ml"),
                (f"The least distance from the needle to the {title} is {number} mm.", "mm"),
                (f"The needle meets the {title} at {number} degrees.", "deg"),
                (f"The needle runs {number} mm through the {title}.", "mm"),
                (f"{number}% of the {title} lies to the left.", "%"),
                (f"The needle passes no closer than {number} mm to the {title}.", "mm"),
                (f"The distance to the {title} is {number} mm, plus or minus 1.5 mm.", "mm"),
                (f"Of all candidates, {number} cross the {title}.", ""),
            ]
        )
    )
    fact_id = draw(st.uuids()).hex
    return Fact(
        fact_id,
        f"the {title}",
        "measure",
        value,
        unit,
        decimals,
        None,
        "measured",
        (),
        Grade.MEASURED,
        (title,),
        form,
    )


@settings(max_examples=120, deadline=None)
@given(st.lists(facts(), min_size=1, max_size=6, unique_by=lambda fact: fact.id))
def test_every_fact_s_own_sentence_passes_in_any_ledger(found: list[Fact]) -> None:
    ledger = FactLedger(tuple(found))
    for fact in ledger:
        assert verify_sentence(fact.sentence, fact, ledger) == ()


@settings(max_examples=120, deadline=None)
@given(facts(), AMOUNTS, st.sampled_from(["mm", "ml", "cm", "degrees", "HU"]))
def test_no_other_number_or_unit_ever_passes(fact: Fact, wrong: float, unit: str) -> None:
    ledger = FactLedger((fact,))
    other = f"{wrong:.{fact.decimals}f}"
    number = f"{fact.value:.{fact.decimals}f}"
    assume(other != number)
    assert verify_sentence(fact.sentence.replace(number, other, 1), fact, ledger)
    assume(unit not in fact.literal)
    assert (
        verify_sentence(fact.sentence.replace(fact.literal, f"{number} {unit}", 1), fact, ledger)
        or not fact.unit
    )


@settings(max_examples=120, deadline=None)
@given(facts(), st.sampled_from(TITLES))
def test_no_other_structure_ever_passes(fact: Fact, title: str) -> None:
    own = fact.subject.removeprefix("the ")
    assume(not set(title.split()) <= set(own.split()) and title != own)
    assert verify_sentence(fact.sentence.replace(own, title), fact, FactLedger((fact,)))
