"""A case's steps as a durable run: kill it at any moment, give the same command, and it goes on.

Three things are ours and not DBOS's (`medviz.durable`): one process per case (`medviz.lease`), taking up what
a dead process left, and counting crashes. The steps run in the calling thread, so that Ctrl-C, drawing and
models stay where they belong.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from medviz.casefolder import full_disk_told
from medviz.core.errors import Cancelled, MedVizError, NotAllowed, Uncertain
from medviz.core.settings import Settings
from medviz.durable import Answer, Hand, History, durable, outcome
from medviz.lease import JobNote, lease, pid_started_ticks, read_note, this_boot, write_note

RunOne = Callable[[str, str], Any]
"""Runs one step of a case, given case number and step name; returns None or something JSON can hold."""

StillDone = Callable[[str, str], bool]
"""Whether what a step left on disk is still there and still fits its inputs."""

MOST_CRASHES = 5
_ONE_RUN = threading.Lock()  # DBOS is one object per process


def _trust_the_record(_case_id: str, _step: str) -> bool:
    return True


def run_case_durably(
    case_id: str,
    steps: Sequence[str],
    run_one: RunOne,
    settings: Settings,
    *,
    still_done: StillDone = _trust_the_record,
    despite_crashes: bool = False,
) -> dict[str, Any]:
    """Run the steps of a case that are not yet done, in order, and return what each step returned.

    A step runs again only if it did not end: the process died, the user stopped it, or it raised.
    A step that ended but is no longer `still_done` runs again, and so do the steps after it.
    A changed list of steps starts a new run from the first.

    Parameters
    ----------
    run_one : callable
        Does one step in the calling thread; called at least once for each step until it returns.
    still_done : callable
        Asked for recorded steps when a run is taken up again.
    despite_crashes : bool
        Try once more although the same step killed the process `MOST_CRASHES` times.

    Raises
    ------
    Cancelled
        After Ctrl-C, SIGTERM or a `run_one` that raised it; the run can be taken up again.
    NotAllowed
        If the case is already being run (``CASE_IS_RUNNING``).
    Uncertain
        If the same step killed the process too often (``STEP_KEEPS_CRASHING``).
    StorageFull, NotAvailable
        If the record of steps cannot be written.
    MedVizError
        What the step raised, as it raised it; the next call starts again at that step.
    """
    if not _ONE_RUN.acquire(blocking=False):
        raise NotAllowed("This process already runs a case.", reason="CASE_IS_RUNNING", mend="Wait for it.")
    try:
        with full_disk_told(), lease(case_id, settings.home), _sigterm_as_interrupt():
            notes = _Notes.begin(case_id, settings, despite_crashes=despite_crashes)
            return _noted(notes, lambda: _run(case_id, tuple(steps), run_one, still_done, notes, settings))
    finally:
        _ONE_RUN.release()


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C; signals can be caught in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Notes:
    """Keeps the case's `JobNote` up to date."""

    def __init__(self, note: JobNote, settings: Settings) -> None:
        self.note = note
        self._home = settings.home
        write_note(note, self._home)

    @classmethod
    def begin(cls, case_id: str, settings: Settings, *, despite_crashes: bool) -> _Notes:
        """Take up the note of the last run, counting its death if it died.

        Raises
        ------
        Uncertain
            If the same step killed the process `MOST_CRASHES` times in a row.
        """
        step, crashes = _crashes_of(read_note(case_id, settings.home))
        pid, started_at = os.getpid(), datetime.now(UTC).isoformat(timespec="seconds")
        ticks = pid_started_ticks(pid)
        note = JobNote(case_id, "starting", step, crashes, "", pid, this_boot(), ticks, started_at)
        if crashes >= MOST_CRASHES and not despite_crashes:
            write_note(replace(note, state="failed", reason="STEP_KEEPS_CRASHING"), settings.home)
            raise _keeps_crashing(note)
        return cls(note, settings)

    def starts(self, step: str) -> None:
        """Say that a step starts; the crash count stays only if it is the step that crashed."""
        crashes = self.note.crashes if step == self.note.step else 0
        self._write(replace(self.note, state="running", step=step, crashes=crashes))

    def ends(self, state: str, reason: str = "") -> None:
        """Say how the run ended; a full disk leaves it unsaid, so that the error itself comes through."""
        with suppress(OSError):
            self._write(replace(self.note, state=state, reason=reason, crashes=0))

    def _write(self, note: JobNote) -> None:
        write_note(note, self._home)
        self.note = note


def _crashes_of(last: JobNote | None) -> tuple[str, int]:
    """Return the step that killed the process, and how often in a row; a death between steps is no step's."""
    if last is None or last.state in ("stopped", "finished"):
        return "", 0
    if last.state == "failed" and last.reason != "STEP_KEEPS_CRASHING":
        return "", 0
    return last.step, last.crashes + (last.state == "running")


def _keeps_crashing(note: JobNote) -> Uncertain:
    return Uncertain(
        f"Case {note.case_id}: step {note.step} ended the process {note.crashes} times in a row.",
        reason="STEP_KEEPS_CRASHING",
        mend="Check memory and disk with `medviz doctor`, then try once more with --despite-crashes.",
    )


def _noted(notes: _Notes, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run, and write down how it ended."""
    try:
        outputs = run()
    except (KeyboardInterrupt, Cancelled):
        notes.ends("stopped")
        step = notes.note.step
        raise Cancelled(
            f"Stopped{f' in step {step}' if step else ''}; what was finished is kept.",
            mend="Give the same command to go on from here.",
        ) from None
    except Exception as error:
        notes.ends("failed", error.reason if isinstance(error, MedVizError) else type(error).__name__)
        raise
    notes.ends("finished")
    return outputs


def _run(
    case_id: str,
    steps: tuple[str, ...],
    run_one: RunOne,
    still_done: StillDone,
    notes: _Notes,
    settings: Settings,
) -> dict[str, Any]:
    hand = Hand()
    with durable(case_id, hand, settings) as workflow:
        history = History.of(case_id)
        kept = history.kept(steps, lambda step: still_done(case_id, step))
        if kept == len(steps):
            return history.outputs
        try:
            workflow_id = history.take_up(workflow, steps, kept)
            _do_what_is_asked(case_id, run_one, hand, notes)
            return outcome(workflow_id, hand)
        finally:
            hand.answer(Answer(stopped=True))  # whatever happened, nobody waits for us any more


def _do_what_is_asked(case_id: str, run_one: RunOne, hand: Hand, notes: _Notes) -> None:
    """Do the steps the workflow asks for; an error is passed to the workflow and raised as it is."""
    while (step := hand.next_step()) is not None:
        notes.starts(step)
        try:
            value = run_one(case_id, step)
            json.dumps(value)
        except (KeyboardInterrupt, Cancelled):
            raise
        except Exception as error:
            reason = error.reason if isinstance(error, MedVizError) else type(error).__name__
            hand.answer(Answer(failed=reason))
            hand.next_step()
            raise
        hand.answer(Answer(value=value))
