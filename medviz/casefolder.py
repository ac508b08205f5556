"""A case on disk: what was asked, which steps are done, and where their outputs lie.

    cases/C0001/
        case.json            what was asked, without a name in it
        quarantine/          owner-only; the raw study, where it came from, and the plan document as given
        steps/NAME.json      one record per finished step
        shots/               rendered shots, kept so that an amended film renders only what changed
        work/NAME/KEY/       the outputs of a step, under the key of everything it was made from

A step is done when its record's key matches its present inputs and every output still has its hash.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medviz.core.errors import BadInput, StorageFull
from medviz.core.manifest import manifest_of
from medviz.core.records import read_record, write_record, write_text_atomically


@dataclass(frozen=True, slots=True)
class CaseRequest:
    """What was asked of a case. Holds no path and no name of the source: those stay in quarantine."""

    case_id: str
    fingerprint: str
    source_hmac: str
    plan_sha256: str
    procedure: str
    created_at: str
    profile: str
    segmenter: str
    narrator: str
    voice: str
    seed: int
    frames_per_second: int
    captions_burnt_in: bool
    series_uid: str = ""
    notes_hmac: str = ""
    keeps_face: bool = False


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One finished step.

    Parameters
    ----------
    step : str
        Its name.
    key : str
        SHA-256 over the step, its version, its options and the outputs of the steps it needs.
    outputs_sha256 : str
        Hash of the manifest of its output folder.
    sentence : str
        What it did, with which version and weights: its part of the methods text.
    length_s, peak_mb : float
        Wall time in seconds; largest resident memory of the process and its children, MiB.
    """

    step: str
    key: str
    outputs_sha256: str
    sentence: str
    length_s: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class CaseFolder:
    """One case's folder."""

    folder: Path

    @property
    def case_id(self) -> str:
        """The case number."""
        return self.folder.name

    @property
    def quarantine(self) -> Path:
        """Owner-only folder that holds the raw study."""
        return self.folder / "quarantine"

    @property
    def plan_path(self) -> Path:
        """The plan document; kept in quarantine because its notes may hold a name."""
        return self.quarantine / "plan.toml"

    @property
    def request(self) -> CaseRequest:
        """What was asked."""
        return read_record(self.folder / "case.json", CaseRequest)

    def source(self) -> Path:
        """Where the study came from; kept in quarantine because a path may hold a name."""
        return Path((self.quarantine / "source.txt").read_text(encoding="utf-8"))

    def record(self, step: str) -> StepRecord | None:
        """Return the record of a finished step, or None."""
        path = self.folder / "steps" / f"{step}.json"
        return read_record(path, StepRecord) if path.is_file() else None

    def records(self) -> tuple[StepRecord, ...]:
        """Return the records of all finished steps, oldest first."""
        paths = sorted((self.folder / "steps").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        return tuple(read_record(path, StepRecord) for path in paths)

    def output(self, step: str) -> Path:
        """Return the output folder of a finished step.

        Raises
        ------
        BadInput
            If the step has not been run.
        """
        record = self.record(step)
        if record is None:
            raise BadInput(
                f"Case {self.case_id} has no step '{step}' yet.",
                reason="STEP_MISSING",
                mend=f"Run `medviz resume {self.case_id}`.",
            )
        return self._home(step, record.key)

    def amend(self, **changes: object) -> None:
        """Change what was asked; the steps that depend on it run again."""
        write_record(self.folder / "case.json", replace(self.request, **changes))  # type: ignore[arg-type]  # fields by name

    def forget(self, step: str) -> None:
        """Let a step run again, though nothing it was made from has changed."""
        (self.folder / "steps" / f"{step}.json").unlink(missing_ok=True)

    def _home(self, step: str, key: str) -> Path:
        return self.folder / "work" / step / key[:16]

    def finished(self, step: str, key: str) -> StepRecord | None:
        """Return the record when the step was done from the same inputs and its bytes are intact."""
        record = self.record(step)
        if record is None or record.key != key or not self._home(step, key).is_dir():
            return None
        intact = manifest_of(self._home(step, key)).sha256 == record.outputs_sha256
        return record if intact else None

    def partial(self, step: str, key: str) -> Path:
        """Return the empty folder a step writes into; what an interrupted run left in it is gone."""
        folder = self.folder / "work" / step / f".partial-{key[:16]}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def finish(self, record: StepRecord, partial: Path, *, keep_old: bool) -> StepRecord:
        """Put a step's outputs in their place, then write its record: in this order, so a record is true."""
        home = self._home(record.step, record.key)
        shutil.rmtree(home, ignore_errors=True)
        partial.rename(home)
        done = replace(record, outputs_sha256=manifest_of(home).sha256)
        (self.folder / "steps").mkdir(exist_ok=True)
        write_record(self.folder / "steps" / f"{record.step}.json", done)
        if not keep_old:
            _remove_all_but(home)
        return done


@dataclass(frozen=True, slots=True)
class CaseShelf:
    """All cases of a site."""

    home: Path

    @property
    def folder(self) -> Path:
        """Folder that holds the cases."""
        return self.home / "cases"

    def cases(self) -> tuple[CaseFolder, ...]:
        """Return every case, by number."""
        found = sorted(path.parent for path in self.folder.glob("C*/case.json"))
        return tuple(CaseFolder(path) for path in found)

    def case(self, case_id: str) -> CaseFolder:
        """Return a case.

        Raises
        ------
        BadInput
            If there is none of that number.
        """
        folder = self.folder / Path(case_id).name
        if not (folder / "case.json").is_file():
            raise BadInput("There is no such case.", reason="CASE_UNKNOWN", mend="`medviz cases` lists them.")
        return CaseFolder(folder)

    def find(self, fingerprint: str) -> CaseFolder | None:
        """Return the case that was opened for the same source, plan and options."""
        pointer = self.folder / ".by-fingerprint" / fingerprint[:32]
        return self.case(pointer.read_text(encoding="utf-8")) if pointer.is_file() else None

    def open(self, request: Mapping[str, object], source: Path, plan: bytes) -> CaseFolder:
        """Make a new case under the next free number and return it."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(self.folder / ".lock"):
            numbers = [int(path.name[1:]) for path in self.folder.glob("C[0-9]*")]
            case_id = f"C{max(numbers, default=0) + 1:04d}"
            case = CaseFolder(self.folder / case_id)
            case.quarantine.mkdir(parents=True, mode=0o700)
            _write_private(case.quarantine / "source.txt", str(source.resolve()))
            _write_private(case.plan_path, plan.decode("utf-8-sig"))
            record = CaseRequest(case_id=case_id, **request)  # type: ignore[arg-type]  # fields by name
            write_record(case.folder / "case.json", record)
            pointers = self.folder / ".by-fingerprint"
            pointers.mkdir(exist_ok=True)
            write_text_atomically(pointers / record.fingerprint[:32], case_id)
        return case


def _remove_all_but(home: Path) -> None:
    for stale in home.parent.iterdir():
        if stale != home:
            shutil.rmtree(stale, ignore_errors=True)


def step_key(step: str, version: int, options: Mapping[str, object], needs: Sequence[StepRecord]) -> str:
    """Return the key of a step: SHA-256 over everything that its outputs depend on."""
    made_from = {
        "step": step,
        "version": version,
        "options": dict(options),
        "needs": {record.step: record.outputs_sha256 for record in needs},
    }
    return hashlib.sha256(json.dumps(made_from, sort_keys=True, default=str).encode()).hexdigest()


@contextlib.contextmanager
def full_disk_told() -> Iterator[None]:
    """Turn the system's "no space left" into an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageFull(
            "The disk is full; every finished step is kept.",
            mend="Free some room (`medviz doctor` says how much) and run the same command again.",
        ) from None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
