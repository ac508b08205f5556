"""Durable runs inside this process: what the caller sees. Kills are in tests/integration/test_jobs.py."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from medviz.core.errors import Cancelled, MedVizError, Uncertain
from medviz.core.settings import Settings
from medviz.jobs import run_case_durably
from medviz.lease import JobNote, lease, read_note, this_boot, write_note

STEPS = ("first", "second")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", models=tmp_path / "models")


def test_steps_run_in_order_in_the_calling_thread_and_their_answers_come_back(settings: Settings) -> None:
    seen: list[tuple[str, str, bool]] = []

    def run_one(case_id: str, step: str) -> object:
        seen.append((case_id, step, threading.current_thread() is threading.main_thread()))
        return {"made": step}

    outputs = run_case_durably("C0001", STEPS, run_one, settings)
    assert seen == [("C0001", "first", True), ("C0001", "second", True)]
    assert outputs == {"first": {"made": "first"}, "second": {"made": "second"}}
    note = read_note("C0001", settings.home)
    assert note is not None
    assert (note.state, note.step) == ("finished", "second")


def test_an_error_comes_out_as_the_very_object_the_step_raised(settings: Settings) -> None:
    error = Uncertain("The head is not whole.", reason="HEAD_CUT", mend="Take a longer series.")

    def run_one(_case_id: str, _step: str) -> object:
        raise error

    with pytest.raises(Uncertain) as caught:
        run_case_durably("C0001", STEPS, run_one, settings)
    assert caught.value is error


def test_a_step_that_cancels_leaves_the_run_to_be_taken_up(settings: Settings) -> None:
    seen: list[str] = []

    def run_one(_case_id: str, step: str) -> object:
        seen.append(step)
        if step == "second" and seen.count("second") == 1:
            raise Cancelled("The window was closed.")
        return None

    with pytest.raises(Cancelled, match="second"):
        run_case_durably("C0001", STEPS, run_one, settings)
    run_case_durably("C0001", STEPS, run_one, settings)
    assert seen == ["first", "second", "second"]


def test_an_answer_that_json_cannot_hold_is_an_error_of_the_step(settings: Settings) -> None:
    with pytest.raises(TypeError, match="JSON"):
        run_case_durably("C0001", STEPS, lambda _case, _step: object(), settings)
    assert run_case_durably("C0001", STEPS, lambda _case, _step: 1, settings) == {"first": 1, "second": 1}


def test_a_run_inside_a_run_is_refused(settings: Settings) -> None:
    def run_one(case_id: str, _step: str) -> object:
        run_case_durably(case_id, STEPS, run_one, settings)
        return None

    with pytest.raises(MedVizError) as caught:
        run_case_durably("C0001", STEPS, run_one, settings)
    assert caught.value.reason == "CASE_IS_RUNNING"


def test_a_case_held_by_this_process_is_refused_and_free_afterwards(settings: Settings) -> None:
    with lease("C0001", settings.home):
        with pytest.raises(MedVizError) as caught, lease("C0001", settings.home):
            pass
        assert caught.value.reason == "CASE_IS_RUNNING"
        with lease("C0002", settings.home):
            pass
    with lease("C0001", settings.home):
        pass


@pytest.mark.parametrize(("boot", "ticks"), [("another boot", 0), (this_boot(), 1)])
def test_a_note_of_a_process_that_is_gone_or_was_reused_is_not_alive(boot: str, ticks: int) -> None:
    note = JobNote("C0001", "running", "film", 0, "", 1, boot, ticks - 5, "2026-03-04T09:30:00+00:00")
    assert not note.is_alive


def test_a_death_while_starting_is_no_step_s_crash(settings: Settings) -> None:
    (settings.home / "jobs").mkdir(parents=True)
    dead = JobNote("C0001", "starting", "first", 4, "", 1, "boot", 0, "2026-03-04T09:30:00+00:00")
    write_note(dead, settings.home)
    assert run_case_durably("C0001", STEPS, lambda _case, _step: None, settings)
