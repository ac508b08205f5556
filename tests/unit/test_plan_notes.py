"""The surgeon's notes: free text that loses its people before anyone else reads it."""

from __future__ import annotations

import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from anonymize.deid import read_notes
from medviz.core.errors import PlanInvalid
from medviz.core.settings import Settings
from medviz.intake import open_case
from pipelines.plandocument import raw_plan_notes, read_plan
from tests import make_raw

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

PLAN = """schema_version = 1
procedure = "needle"
notes = '''
Catheter to the frontal horn of Gundula, away from the vein.
MRN PLX-480-1177, call Dr. Zwirbelbart.
'''
[target]
structure = "ventricles"
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def test_notes_keep_their_anatomy_and_lose_the_people_of_the_study(plan: Path, tmp_path: Path) -> None:
    make_raw.write_study(tmp_path / "in")
    orders = replace(make_raw.orders(), raw_notes=raw_plan_notes(plan))
    study = make_raw.deidentified(tmp_path / "in", tmp_path, orders)
    notes = read_notes(study.folder)
    assert "frontal horn" in notes
    assert "vein" in notes
    for name in ("Gundula", "PLX", "480", "1177", "Zwirbelbart"):
        assert name.lower() not in notes.lower()


def test_a_plan_without_notes_leaves_no_file(tmp_path: Path) -> None:
    make_raw.write_study(tmp_path / "in")
    assert read_notes(make_raw.deidentified(tmp_path / "in", tmp_path).folder) == ""


def test_notes_are_no_part_of_the_plans_values(plan: Path) -> None:
    assert "Gundula" not in repr(read_plan(plan))


def test_notes_that_are_no_text_are_refused_at_their_line(plan: Path) -> None:
    plan.write_text(PLAN.replace("'''", "").replace(PLAN.split("'''")[1], " 3\n"), encoding="utf-8")
    with pytest.raises(PlanInvalid, match="notes must be text") as refused:
        read_plan(plan)
    assert refused.value.line == 3


def test_the_plan_as_written_lies_in_quarantine_only(plan: Path, tmp_path: Path) -> None:
    make_raw.write_study(tmp_path / "in")
    settings = Settings(home=tmp_path / "home", models=tmp_path / "models")
    case = open_case(tmp_path / "in", plan, settings, now=datetime.now(UTC))
    holders = [
        path for path in settings.home.rglob("*") if path.is_file() and b"Gundula" in path.read_bytes()
    ]
    assert holders == [case.plan_path]
    assert stat.S_IMODE(case.plan_path.stat().st_mode) == 0o600
    assert case.quarantine in case.plan_path.parents
