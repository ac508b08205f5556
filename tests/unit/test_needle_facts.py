"""The ledger tells every number once, with its interval, in sentences that cannot be confused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medviz.core.facts import Fact, FactLedger, Grade
from medviz.core.plan import PlannedOperation
from medviz.core.records import read_record, write_record
from medviz.core.volume import GeometryReport, Outcome
from pipelines.plandocument import parse_plan
from pipelines.stages.facts import measure
from pipelines.stages.plan import plan_operation
from pipelines.stages.simulate import simulate
from tests.make_head import HEAD, Head, make_head

PLAN = b'schema_version = 1\nprocedure = "needle"\n[search]\ncandidates = 3000\n'
BIOPSY = b"""schema_version = 1
procedure = "needle"
target = { structure = "deep_grey", side = "left" }
needle.kind = "biopsy needle"
limits = { most_length_mm = 120, least_clearance_mm = 1 }
search.candidates = 3000
"""


def ledger_of(head: Head, plan: bytes) -> tuple[PlannedOperation, FactLedger]:
    operation = plan_operation(parse_plan(plan), head.volume, head.segmentation, seed=1)
    simulation = simulate(operation, head.segmentation)
    return operation, measure(head.volume, head.segmentation, (), operation, simulation)


@pytest.fixture(scope="module")
def head() -> Head:
    return make_head()


@pytest.fixture(scope="module")
def case(head) -> tuple[PlannedOperation, FactLedger]:
    return ledger_of(head, PLAN)


@pytest.fixture(scope="module", params=["catheter", "biopsy", "poor study"])
def ledger(request, head, case) -> FactLedger:
    if request.param == "catheter":
        return case[1]
    if request.param == "biopsy":
        return ledger_of(head, BIOPSY)[1]
    parts = [part for part in HEAD if part.name != "brainstem"]
    poor = make_head(parts, unreliable=("cerebellum", "deep_grey"), contrast="unknown")
    return ledger_of(poor, PLAN)[1]


def test_every_sentence_holds_its_literal_and_a_keyword(ledger):
    for fact in ledger:
        assert fact.literal in fact.sentence
        assert any(word.lower() in fact.sentence.lower() for word in fact.keywords), fact.id


def test_no_sentence_holds_a_keyword_of_another_fact(ledger):
    for fact in ledger:
        for other in ledger:
            if fact is not other:
                found = [word for word in fact.keywords if word.lower() in other.sentence.lower()]
                assert not found, (fact.id, other.id)


def test_every_sentence_is_short_and_complete(ledger):
    for fact in ledger:
        assert len(fact.sentence.split()) <= 18
        assert fact.sentence[0].isupper() or fact.sentence[0].isdigit()
        assert fact.sentence.endswith(".")


def test_every_sentence_has_no_number_but_its_own(ledger):
    for fact in ledger:
        rest = fact.sentence.replace(fact.literal, "", 1)
        assert not any(character.isdigit() for character in rest), fact.sentence


def test_every_measured_quantity_with_a_unit_has_an_interval_around_it(ledger):
    without = {"study.slices", "target.confidence"}
    for fact in ledger:
        if fact.grade is Grade.MEASURED and fact.unit and fact.id not in without:
            assert fact.interval is not None, fact.id
            assert fact.interval[0] <= fact.value <= fact.interval[1]
            assert fact.interval[0] < fact.interval[1]


def test_every_fact_has_method_and_evidence(ledger):
    for fact in ledger:
        assert fact.method
        assert fact.evidence


def test_volumes_agree_with_the_ellipsoids(case):
    ledger = case[1]
    horns = 2 * 4 / 3 * np.pi * 6 * 32 * 8 / 1000
    assert ledger["volume.ventricles"].value == pytest.approx(horns, rel=0.03)
    low, high = ledger["volume.ventricles"].interval
    assert low < horns < high


def test_length_and_midline_agree_with_the_points(head, case):
    operation, ledger = case
    entry, target = (np.array(p) for p in (operation.trajectory.entry_mm, operation.trajectory.target_mm))
    assert ledger["path.length"].value == pytest.approx(np.linalg.norm(entry - target))
    assert ledger["entry.midline"].value == pytest.approx(abs(entry[0] - head.centre_mm[0]), abs=1.0)
    assert ledger["entry.side"].value == "right"


def test_the_skull_along_the_needle_agrees_with_the_ellipsoids(head, case):
    operation, ledger = case
    entry = np.array(operation.trajectory.entry_mm) - head.centre_mm
    way = np.array(operation.trajectory.target_mm) - head.centre_mm - entry
    way /= np.linalg.norm(way)

    def depth(axes):
        a, b = entry / axes, way / axes
        half = a @ b
        return (-half - np.sqrt(half**2 - (b @ b) * (a @ a - 1))) / (b @ b)

    bone = depth(np.array([64, 84, 79])) - depth(np.array([71, 91, 86]))
    assert ledger["entry.bone"].value == pytest.approx(bone, abs=0.8)


def test_every_structure_at_risk_has_its_distance_nearest_first(case):
    operation, ledger = case
    told = [fact for fact in ledger if fact.id.startswith("clearance.")]
    assert {fact.id.removeprefix("clearance.") for fact in told} == {
        item.structure for item in operation.trajectory.clearances
    }
    assert [fact.value for fact in told] == sorted(fact.value for fact in told)


def test_what_cannot_be_known_stands_in_the_ledger_as_unknown():
    parts = [part for part in HEAD if part.name != "brainstem"]
    head = make_head(parts, unreliable=("cerebellum",), contrast="unknown")
    operation, ledger = ledger_of(head, PLAN)
    unknown = {fact.id for fact in ledger if fact.grade is Grade.UNKNOWN}
    assert unknown == {
        "unknown.blood_vessels",
        "unknown.structures_not_found",
        "unknown.unsure_outlines",
        "unknown.brain_shift",
    }
    assert len(unknown) == len(operation.unknowns)


def test_doubt_about_a_structure_widens_its_interval(head, case):
    unsure = make_head(unreliable=("deep_grey",))
    ledger = ledger_of(unsure, PLAN)[1]

    def width(fact: Fact) -> float:
        assert fact.interval is not None
        return fact.interval[1] - fact.interval[0]

    assert width(ledger["clearance.deep_grey"]) > 1.5 * width(case[1]["clearance.deep_grey"])
    assert width(ledger["volume.deep_grey"]) > 1.5 * width(case[1]["volume.deep_grey"])


def test_a_resampled_volume_is_said_to_be_resampled_with_its_displacement(head, case):
    report = GeometryReport(Outcome.RESAMPLED, "GANTRY_TILT", "Tilted.", max_displacement_mm=3.4)
    volume = replace(head.volume, report=report)
    operation = case[0]
    ledger = measure(volume, head.segmentation, (), operation, simulate(operation, head.segmentation))
    assert ledger["study.geometry"].value == "resampled"
    assert ledger["study.displacement"].literal == "3.4 mm"


def test_the_ledger_is_the_same_every_time_and_survives_being_saved(head, case, tmp_path):
    operation, ledger = case
    again = measure(head.volume, head.segmentation, (), operation, simulate(operation, head.segmentation))
    assert again == ledger
    write_record(tmp_path / "facts.json", ledger)
    assert read_record(tmp_path / "facts.json", FactLedger) == ledger
