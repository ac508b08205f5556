"""The audit log: who did what to which case, when; each row's hash covers the row before it.

Triggers refuse changes, but do not stop the owner of the file. The chain does: a changed, removed or
reordered row breaks it, and a shortened log no longer reaches the head that was mirrored beside it and
exported with every release. Someone who rewrites the whole log and all copies of its head is not found: keep
exported heads where the owner of the log cannot write.

Details hold codes, hashes and counts: never a patient's data, a remark or a path.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from medviz.core.errors import NotAllowed
from medviz.core.records import SCHEMA_VERSION, read_record, write_record, write_text_atomically
from review.store import AuditRow, as_text, transaction

Detail = Mapping[str, str | int | float]

FIRST_HASH = "0" * 64
_COLUMNS = (
    AuditRow.seq,
    AuditRow.time,
    AuditRow.actor,
    AuditRow.action,
    AuditRow.case_id,
    AuditRow.detail_json,
    AuditRow.previous_hash,
    AuditRow.hash,
)


class Action(StrEnum):
    """Everything that is written down."""

    ENROLLED = "enrolled"
    LOGIN_FAILED = "login failed"
    SUBMITTED = "submitted"
    LISTED = "listed"
    SHOWN = "shown"
    APPROVED = "approved"
    REJECTED = "rejected"
    VOIDED = "voided"
    RELEASE_BEGAN = "release began"
    RELEASED = "released"
    RELEASE_REFUSED = "release refused"
    EXPORTED = "exported"
    FACE_KEPT = "face kept"
    DEIDENTIFIED = "de-identified"
    HELD_JUDGED = "held file judged"
    HELD_PURGED = "held files purged"
    REIDENTIFIED = "re-identified"
    REIDENTIFY_REFUSED = "re-identification refused"
    ESCROW_MADE = "escrow made"
    ESCROW_VERIFIED = "escrow verified"
    ESCROW_EXPORTED = "escrow exported"
    ESCROW_PASSPHRASE = "escrow passphrase changed"
    ESCROW_REFUSED = "escrow refused"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row of the log; `seq` counts from 1 without gaps, times are ISO 8601 in UTC."""

    seq: int
    time: str
    actor: str
    action: str
    case_id: str
    detail: Mapping[str, str | int | float]
    previous_hash: str
    hash: str

    def computed_hash(self) -> str:
        """Return the hash the row must have: SHA-256 of the canonical JSON of all its other fields."""
        fields = {
            "schema_version": SCHEMA_VERSION,
            "seq": self.seq,
            "time": self.time,
            "actor": self.actor,
            "action": self.action,
            "case_id": self.case_id,
            "detail": dict(self.detail),
            "previous_hash": self.previous_hash,
        }
        return hashlib.sha256(canonical(fields)).hexdigest()


@dataclass(frozen=True, slots=True)
class AuditHead:
    """Where the log ended at a moment: the last row's number and hash."""

    seq: int
    hash: str
    time: str


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What a check of the log found.

    Parameters
    ----------
    rows : int
        Rows read.
    head : AuditHead
        The last row.
    problems : tuple of str
        What is broken, first row first; empty if the log is whole.
    notes : tuple of str
        What is odd but not broken: the clock went back.
    """

    rows: int
    head: AuditHead
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is broken."""
        return not self.problems


def canonical(value: object) -> bytes:
    """Return the one JSON text of a value that is hashed and signed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


@contextmanager
def recorded(home: Path) -> Iterator[Session]:
    """Open a transaction on the review database; its audit rows are mirrored once it is committed."""
    with transaction(home) as session:
        yield session
    mirror_head(home)


def append(
    session: Session,
    action: Action,
    *,
    actor: str,
    case_id: str = "",
    detail: Detail | None = None,
    now: datetime | None = None,
) -> AuditEntry:
    """Add a row to the log, in the caller's transaction, and return it.

    A clock that went back is noted in the row: order is by number, never by time.
    """
    last = _last(session)
    time = as_text(now)
    noted = dict(detail or {})
    if last is not None and time < last.time:
        noted["clock_went_back_s"] = round(_seconds_between(time, last.time), 3)
    seq, previous = (last.seq + 1, last.hash) if last else (1, FIRST_HASH)
    bare = AuditEntry(seq, time, actor, action.value, case_id, noted, previous, "")
    entry = AuditEntry(seq, time, actor, action.value, case_id, noted, previous, bare.computed_hash())
    session.add(_row_of(entry))
    session.flush()
    return entry


def write(
    home: Path,
    action: Action,
    *,
    actor: str,
    case_id: str = "",
    detail: Detail | None = None,
    now: datetime | None = None,
) -> None:
    """Add a row to the log in a transaction of its own."""
    with recorded(home) as session:
        append(session, action, actor=actor, case_id=case_id, detail=detail, now=now)


def entries(session: Session, case_id: str = "", *, acts: Sequence[Action] = ()) -> tuple[AuditEntry, ...]:
    """Return the log in order, or what concerns one case, or only some acts."""
    query = sa.select(*_COLUMNS).order_by(AuditRow.seq)
    if case_id:
        query = query.where(AuditRow.case_id == case_id)
    if acts:
        query = query.where(AuditRow.action.in_([act.value for act in acts]))
    return tuple(_entry_of(*row) for row in session.execute(query))


def verify_chain(home: Path, *, known_heads: Sequence[AuditHead] = ()) -> ChainReport:
    """Read the whole log and return what is broken in it.

    Parameters
    ----------
    known_heads : sequence of AuditHead
        Heads kept elsewhere (exports, releases); the mirrored head is always among them.
    """
    with transaction(home) as session:
        rows = entries(session)
    heads = [*known_heads, *([mirrored] if (mirrored := mirrored_head(home)) else [])]
    missing = () if mirrored or not rows else ("The mirrored head of the log is missing.",)
    problems = (*_broken_links(rows), *_unreached(rows, heads), *missing)
    notes = tuple(
        f"Row {row.seq}: the clock had gone back {row.detail['clock_went_back_s']} s."
        for row in rows
        if "clock_went_back_s" in row.detail
    )
    return ChainReport(len(rows), _head_of(rows), problems, notes)


def export_log(home: Path, target: Path, *, actor: str, now: datetime | None = None) -> AuditHead:
    """Write the log as JSON Lines, its head on the last line, and return the head.

    Raises
    ------
    NotAllowed
        If the file exists (``TARGET_EXISTS``).
    """
    if target.exists():
        raise NotAllowed("The file exists already.", reason="TARGET_EXISTS", mend="Choose another name.")
    write(home, Action.EXPORTED, actor=actor, now=now)
    with transaction(home) as session:
        rows = entries(session)
    head = _head_of(rows)
    lines = [canonical(asdict(row)).decode() for row in rows]
    write_text_atomically(target, "\n".join([*lines, canonical({"head": asdict(head)}).decode()]) + "\n")
    return head


def mirror_head(home: Path) -> None:
    """Write the number and hash of the last row beside the database, holding its write lock meanwhile."""
    with transaction(home) as session:
        last = _last(session)
        if last is not None:
            write_record(head_path(home), AuditHead(last.seq, last.hash, last.time))


def head_path(home: Path) -> Path:
    """Return where the head of the log is mirrored."""
    return home / "audit.head"


def mirrored_head(home: Path) -> AuditHead | None:
    """Return the mirrored head, or None if there is none that can be read."""
    try:
        return read_record(head_path(home), AuditHead)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _broken_links(rows: Iterable[AuditEntry]) -> Iterator[str]:
    expected_seq, previous = 1, FIRST_HASH
    for row in rows:
        if row.seq != expected_seq:
            yield f"Row {expected_seq} is missing."
        elif row.previous_hash != previous:
            yield f"Row {row.seq} does not follow the row before it."
        if row.computed_hash() != row.hash:
            yield f"Row {row.seq} was changed."
        expected_seq, previous = row.seq + 1, row.hash


def _unreached(rows: Sequence[AuditEntry], heads: Iterable[AuditHead]) -> Iterator[str]:
    hashes = {row.seq: row.hash for row in rows}
    for head in heads:
        if hashes.get(head.seq) != head.hash:
            yield f"The log no longer holds row {head.seq} as it was on {head.time}."


def _head_of(rows: Sequence[AuditEntry]) -> AuditHead:
    return AuditHead(rows[-1].seq, rows[-1].hash, rows[-1].time) if rows else AuditHead(0, FIRST_HASH, "")


def _last(session: Session) -> AuditRow | None:
    return session.scalars(sa.select(AuditRow).order_by(AuditRow.seq.desc()).limit(1)).first()


def _row_of(entry: AuditEntry) -> AuditRow:
    fields = asdict(entry)
    return AuditRow(**{k: v for k, v in fields.items() if k != "detail"}, detail_json=_text(entry.detail))


def _text(detail: Detail) -> str:
    return canonical(dict(detail)).decode()


def _entry_of(
    seq: int, time: str, actor: str, action: str, case_id: str, detail_json: str, previous: str, own: str
) -> AuditEntry:
    try:
        detail = json.loads(detail_json)
    except ValueError:
        detail = {"unreadable": 1}
    return AuditEntry(seq, time, actor, action, case_id, detail, previous, own)


def _seconds_between(earlier: str, later: str) -> float:
    try:
        return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
    except ValueError:
        return -1.0  # the last row's time was tampered with: the chain says so
