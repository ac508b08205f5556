"""Who runs a case: one process at a time, and what a dead one left behind.

The lock is a POSIX record lock: the kernel takes it away with its process, even after ``kill -9`` or a power
cut, and a child of that process does not inherit it. So a dead run's lease never has to be guessed stale.
The note beside it (process, boot, start time, step) is for people and for the count of crashes.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from medviz.core.errors import NotAllowed
from medviz.core.records import read_record, write_record

_CASES_OF_THIS_PROCESS: set[str] = set()
_GUARD = threading.Lock()


@dataclass(frozen=True, slots=True)
class JobNote:
    """Where a case's run is, or was when it ended.

    Parameters
    ----------
    case_id : str
        Case number.
    state : str
        ``starting``, ``running`` (`step`), ``stopped`` by the user, ``failed`` (`reason`) or ``finished``.
    step : str
        Step that runs, or that ran last; empty before the first.
    crashes : int
        How often in a row the process died while `step` ran.
    reason : str
        Code of the error that failed the step; empty otherwise.
    pid, boot_id, pid_started_ticks : int, str, int
        The process, named so that a reused process number is not mistaken for it.
    started_at : str
        When this run began (ISO 8601 with offset).
    """

    case_id: str
    state: str
    step: str
    crashes: int
    reason: str
    pid: int
    boot_id: str
    pid_started_ticks: int
    started_at: str

    @property
    def is_alive(self) -> bool:
        """Whether the process that wrote the note still runs."""
        if self.boot_id != this_boot():
            return False
        return pid_started_ticks(self.pid) == self.pid_started_ticks


def this_boot() -> str:
    """Return the kernel's identifier of this boot; empty where there is none."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text(encoding="ascii").strip() if path.exists() else ""


def pid_started_ticks(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; -1 if it is gone.

    Field 22 of ``/proc/PID/stat``, counted after the command's closing bracket.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return -1
    fields = text.rpartition(")")[2].split()
    return -1 if fields[0] == "Z" else int(fields[19])


def note_path(case_id: str, home: Path) -> Path:
    """Return where the note of a case lies."""
    return home / "jobs" / f"{case_id}.json"


def read_note(case_id: str, home: Path) -> JobNote | None:
    """Return the note of a case, or None if it never ran here."""
    path = note_path(case_id, home)
    return read_record(path, JobNote) if path.exists() else None


def write_note(note: JobNote, home: Path) -> None:
    """Write the note of a case, whole or not at all."""
    write_record(note_path(note.case_id, home), note)


@contextmanager
def lease(case_id: str, home: Path) -> Iterator[None]:
    """Hold a case: nobody else runs it until the block, or this process, ends.

    Raises
    ------
    NotAllowed
        If another run holds the case (``CASE_IS_RUNNING``).
    """
    path = note_path(case_id, home).with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _held_once(case_id, home), path.open("a") as stream:
        try:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise _is_running(case_id, home) from None
        yield


@contextmanager
def _held_once(case_id: str, home: Path) -> Iterator[None]:
    """Refuse a second run in this process: record locks are between processes only."""
    with _GUARD:
        if case_id in _CASES_OF_THIS_PROCESS:
            raise _is_running(case_id, home)
        _CASES_OF_THIS_PROCESS.add(case_id)
    try:
        yield
    finally:
        _CASES_OF_THIS_PROCESS.discard(case_id)


def _is_running(case_id: str, home: Path) -> NotAllowed:
    note = read_note(case_id, home)
    holder = f" by process {note.pid} since {note.started_at}" if note and note.is_alive else ""
    return NotAllowed(
        f"Case {case_id} is already being run{holder}.",
        reason="CASE_IS_RUNNING",
        mend=f"Wait for it, or stop it with: kill {note.pid if holder and note else os.getpid()}"
        if holder
        else "Wait for it to end, then give the command again.",
    )
