"""What is saved is read back equal; unknown versions are refused; half-written files are never seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medviz.core.facts import Fact, FactLedger, Grade
from medviz.core.plan import Clearance, Crossing, Trajectory
from medviz.core.records import from_plain, read_record, to_plain, write_record

FACT = Fact(
    "a.b",
    "the path",
    "length",
    62.4,
    "mm",
    1,
    (61.0, 63.0),
    "line",
    ("plan",),
    Grade.MEASURED,
    ("path",),
    "x",
)
WORD = Fact("a.c", "the side", "side", "left", "", 0, None, "plan", (), Grade.ASSUMED, ("side",), "y")


def test_a_ledger_comes_back_equal(tmp_path: Path) -> None:
    ledger = FactLedger((FACT, WORD))
    write_record(tmp_path / "l.json", ledger)
    assert read_record(tmp_path / "l.json", FactLedger) == ledger


def test_nested_records_come_back_equal() -> None:
    clearance = Clearance("brainstem", 12.0, 0.5, (1.0, 2.0, 3.0), 40.0)
    path = Trajectory(
        (0, 0, 0), (1, 1, 1), 50.0, 80.0, 75.0, (Crossing("skull", 2.0, 9.0),), (clearance,), 0.7
    )
    assert from_plain(Trajectory, json.loads(json.dumps(to_plain(path)))) == path


def test_a_version_this_release_does_not_know_is_refused(tmp_path: Path) -> None:
    (tmp_path / "l.json").write_text('{"schema_version": 99, "record": {"facts": []}}')
    with pytest.raises(ValueError, match="schema version"):
        read_record(tmp_path / "l.json", FactLedger)


def test_the_oldest_ledger_ever_written_can_be_read() -> None:
    ledger = read_record(Path(__file__).parent / "records" / "ledger-v1.json", FactLedger)
    assert ledger["a.b"].literal == "62.4 mm"
    assert ledger["a.c"].literal == "left"


def test_a_fact_cannot_stand_twice_in_a_ledger() -> None:
    with pytest.raises(ValueError, match="twice"):
        FactLedger((FACT, FACT))
