"""The record of steps: DBOS (the MIT core, on SQLite) remembers which steps of a run are done.

Its workflow runs in a thread of its own and asks the calling thread to do each step. Nothing here opens a
network socket: no Conductor, no telemetry, no automatic upgrade, no sharding.
"""

from __future__ import annotations

import logging
import os
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medviz.core.errors import MedVizError, NotAvailable, StorageFull
from medviz.core.settings import Settings

if TYPE_CHECKING:
    from dbos import WorkflowStatus
    from sqlalchemy.exc import DBAPIError

Workflow = Callable[[str, list[str]], dict[str, Any]]

_APPLICATION_VERSION = "1"  # never DBOS's own, a hash of the source: an upgrade must resume what it finds
_LONGEST_SILENCE_S = 300.0  # between two questions of the workflow: only database writes happen there


class _StepFailed(Exception):
    """What DBOS records of a failed step: the reason code, nothing else."""


class _Stopped(BaseException):
    """Ends the workflow's thread without an outcome, so that DBOS keeps the run resumable."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a step ended: a value, the reason code of a failure, or stopped by the user."""

    value: Any = None
    failed: str = ""
    stopped: bool = False


class Hand:
    """Passes steps from the workflow's thread to the calling thread, and answers back."""

    def __init__(self) -> None:
        self._asked: queue.Queue[str | None] = queue.Queue()
        self._answers: queue.Queue[Answer] = queue.Queue()
        self.trouble: BaseException | None = None

    def ask(self, step: str) -> Any:
        """Have a step done (workflow's thread)."""
        self._asked.put(step)
        answer = self._answers.get()
        if answer.stopped:
            raise _Stopped
        if answer.failed:
            raise _StepFailed(answer.failed)
        return answer.value

    def end(self, trouble: BaseException | None) -> None:
        """Say that no more is asked, and what went wrong, if anything (workflow's thread)."""
        self.trouble = trouble
        self._asked.put(None)

    def next_step(self) -> str | None:
        """Return the step that is asked for; None at the end (calling thread)."""
        try:
            return self._asked.get(timeout=_LONGEST_SILENCE_S)
        except queue.Empty:
            raise NotAvailable(
                "The record of steps does not answer.", reason="JOBS_DATABASE", mend="Give the command again."
            ) from None

    def answer(self, answer: Answer) -> None:
        """Answer what was asked (calling thread)."""
        self._answers.put(answer)


def outcome(workflow_id: str, hand: Hand) -> dict[str, Any]:
    """Return what the steps returned, once DBOS has written that the run is over."""
    from dbos import DBOS

    if hand.trouble is not None:
        raise hand.trouble
    deadline_s = time.monotonic() + 60.0
    while time.monotonic() < deadline_s:
        status = DBOS.get_workflow_status(workflow_id)
        if status is not None and status.status == "SUCCESS":
            return dict(status.output or {})
        time.sleep(0.01)
    raise NotAvailable(
        "The record of steps was not closed.", reason="JOBS_DATABASE", mend="Give the command again."
    )


@contextmanager
def durable(case_id: str, hand: Hand, settings: Settings) -> Iterator[Workflow]:
    """Launch DBOS for one case, hand over the workflow that asks `hand`, and take DBOS down again.

    The executor is new each time: DBOS then finds nothing to recover by itself, and what a dead process left
    is taken up by us, who hold the lease. The queue is the case's own: no other process empties it.
    """
    _silence()
    _deafen()
    from dbos import DBOS, DBOSPortableJSONSerializer
    from sqlalchemy.exc import DBAPIError

    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    (settings.home / "jobs.sqlite").touch(mode=0o600, exist_ok=True)
    DBOS(
        config={
            "name": "medviz",
            "system_database_url": f"sqlite:///{settings.home / 'jobs.sqlite'}",
            "application_version": _APPLICATION_VERSION,
            "executor_id": f"{case_id}-{os.getpid()}-{time.time_ns()}",
            "serializer": DBOSPortableJSONSerializer(),
            "enable_otlp": False,
            "log_level": "CRITICAL",
            "notification_listener_polling_interval_sec": 0.25,
        }
    )
    try:
        workflow: Workflow = DBOS.workflow(name="case")(_workflow_that_asks(hand))
        DBOS.listen_queues([_queue_of(case_id)])
        DBOS.launch()
        DBOS.register_queue(_queue_of(case_id), polling_interval_sec=0.25, on_conflict="never_update")
        yield workflow
    except DBAPIError as error:
        raise _storage_error(error) from None
    finally:
        DBOS.destroy(destroy_registry=True)


def _storage_error(error: DBAPIError) -> MedVizError:
    text = str(error.orig).lower()
    if "full" in text or "i/o" in text:
        return StorageFull("The record of steps could not be written.", mend="Free some disk space.")
    return NotAvailable(
        f"The record of steps cannot be used: {text}.",
        reason="JOBS_DATABASE",
        mend="Check that jobs.sqlite in MEDVIZ_HOME can be written.",
    )


def _queue_of(case_id: str) -> str:
    return f"case-{case_id}"


def _silence() -> None:
    """Keep DBOS from writing to the terminal: it adds its own handler only where there is none."""
    logger = logging.getLogger("dbos")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def _deafen() -> None:
    """Take away the variables by which an environment could send DBOS to its makers' cloud or rename us."""
    for name in [name for name in os.environ if name.startswith(("DBOS_", "OTEL_"))]:
        del os.environ[name]


def _workflow_that_asks(hand: Hand) -> Workflow:
    from dbos import DBOS

    def case(_case_id: str, steps: list[str]) -> dict[str, Any]:
        """Ask for each step; DBOS answers by itself for those it has seen done."""
        try:
            outputs = {step: DBOS.run_step({"name": step}, hand.ask, step) for step in steps}
        except BaseException as error:
            hand.end(error)
            raise
        hand.end(None)
        return outputs

    return case


@dataclass(frozen=True, slots=True)
class History:
    """The newest run of a case: its number (0: none), steps, and what the finished ones returned."""

    case_id: str
    generation: int
    state: str
    steps: tuple[str, ...]
    outputs: dict[str, Any]

    @classmethod
    def of(cls, case_id: str) -> History:
        """Read it from DBOS."""
        from dbos import DBOS

        runs = DBOS.list_workflows(workflow_id_prefix=f"{case_id}.", load_output=False)
        if not runs:
            return cls(case_id, 0, "", (), {})
        newest = max(runs, key=_generation)
        done = [step for step in DBOS.list_workflow_steps(newest.workflow_id) if step["error"] is None]
        outputs = {step["function_name"]: step["output"] for step in done}
        steps = tuple(newest.input["args"][1]) if newest.input else ()
        return cls(case_id, _generation(newest), newest.status, steps, outputs)

    def kept(self, steps: tuple[str, ...], still_done: Callable[[str], bool]) -> int:
        """Return how many of the first steps need not run again."""
        if steps != self.steps:
            return 0
        count = 0
        while count < len(steps) and steps[count] in self.outputs and still_done(steps[count]):
            count += 1
        return count

    def take_up(self, workflow: Workflow, steps: tuple[str, ...], kept: int) -> str:
        """Start, resume or fork the run so that only the steps after the kept ones are asked for.

        Returns the workflow's id: case number, point, generation.
        """
        from dbos import DBOS, SetWorkflowID

        last_id, next_id = f"{self.case_id}.{self.generation}", f"{self.case_id}.{self.generation + 1}"
        if self.state in _UNFINISHED:
            if steps == self.steps and kept == len(self.outputs):
                DBOS.resume_workflow(last_id, queue_name=_queue_of(self.case_id))
                return last_id
            DBOS.cancel_workflow(last_id)
        with SetWorkflowID(next_id):
            if kept:
                DBOS.fork_workflow(
                    last_id,
                    kept + 1,
                    queue_name=_queue_of(self.case_id),
                    application_version=_APPLICATION_VERSION,
                )
            else:
                DBOS.start_workflow(workflow, self.case_id, list(steps))
        return next_id


_UNFINISHED = ("PENDING", "ENQUEUED", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


def _generation(run: WorkflowStatus) -> int:
    return int(run.workflow_id.rpartition(".")[2])
