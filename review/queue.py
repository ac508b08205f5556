"""What waits for a clinician. A newer draft of a case takes the place of the older one.

queued ── approve ──> approved ── release ──> released
  │                      │
  ├── reject ────────────┴──> rejected
  ├── a newer draft ────────> superseded
  └── a changed byte ───────> voided
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from medviz.core.drafts import Draft
from medviz.core.errors import BadInput, NotAllowed
from medviz.core.manifest import Manifest, manifest_of
from medviz.core.records import from_plain, to_plain
from review.audit import Action, Detail, append, canonical, recorded
from review.store import DraftRow, as_text, transaction

RESERVED_NAME = "APPROVAL.json"
_CASE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


class DraftState(StrEnum):
    """Where a draft is on its way."""

    QUEUED = "queued"
    APPROVED = "approved"
    REJECTED = "rejected"
    RELEASED = "released"
    SUPERSEDED = "superseded"
    VOIDED = "voided"


_ALIVE = (DraftState.QUEUED, DraftState.APPROVED, DraftState.REJECTED, DraftState.RELEASED)
_GIVES_WAY = (DraftState.QUEUED, DraftState.APPROVED)


@dataclass(frozen=True, slots=True)
class QueuedDraft:
    """A draft as the queue knows it: what was submitted, and its state.

    Parameters
    ----------
    number : int
        Grows with every submission; names the draft among those of its case.
    """

    number: int
    case_id: str
    folder: Path
    manifest: Manifest
    findings: tuple[str, ...]
    state: DraftState
    submitted_at: str


@dataclass(frozen=True, slots=True)
class DraftLine:
    """One line of the queue: enough to choose by, without the manifest."""

    number: int
    case_id: str
    state: DraftState
    submitted_at: str
    manifest_sha256: str
    findings: tuple[str, ...]


def submit(draft: Draft, *, home: Path, actor: str = "medviz", now: datetime | None = None) -> QueuedDraft:
    """Put a draft into the queue, in place of an older one of its case, and return it.

    The same bytes of the same case are one draft, however often they are submitted.

    Raises
    ------
    NotAllowed
        If the folder does not hold exactly the manifest's bytes (``BYTES_CHANGED``), or nothing at all.
    BadInput
        If the case number could hold a name (``CASE_ID_INVALID``).
    """
    case_id = checked_case_id(draft.case_id)
    _check_bytes(draft)
    with recorded(home) as session:
        newest = newest_row(session, case_id)
        if newest and newest.manifest_sha256 == draft.manifest.sha256 and newest.state in _ALIVE:
            return queued_draft(newest, home)
        superseded = _supersede(session, case_id)
        row = _row_of(draft, home, as_text(now))
        session.add(row)
        session.flush()
        detail: Detail = {"manifest": row.manifest_sha256, "draft": row.id, "supersedes": superseded}
        append(session, Action.SUBMITTED, actor=actor, case_id=case_id, detail=detail, now=now)
        return queued_draft(row, home)


def waiting(home: Path) -> tuple[QueuedDraft, ...]:
    """Return the drafts that wait for a decision, oldest first."""
    return drafts(home, states=(DraftState.QUEUED,))


def drafts(home: Path, *, states: Sequence[DraftState] = tuple(DraftState)) -> tuple[QueuedDraft, ...]:
    """Return all drafts in some of the states, oldest first."""
    query = sa.select(DraftRow).where(DraftRow.state.in_([state.value for state in states]))
    with transaction(home) as session:
        return tuple(queued_draft(row, home) for row in session.scalars(query.order_by(DraftRow.id)))


def lines(home: Path, *, states: Sequence[DraftState] = tuple(DraftState)) -> tuple[DraftLine, ...]:
    """Return the lines of all drafts in some of the states, oldest first."""
    columns = (
        DraftRow.id,
        DraftRow.case_id,
        DraftRow.state,
        DraftRow.submitted_at,
        DraftRow.manifest_sha256,
        DraftRow.findings_json,
    )
    query = sa.select(*columns).where(DraftRow.state.in_([state.value for state in states]))
    with transaction(home) as session:
        return tuple(
            DraftLine(number, case_id, DraftState(state), submitted_at, sha256, tuple(json.loads(findings)))
            for number, case_id, state, submitted_at, sha256, findings in session.execute(
                query.order_by(DraftRow.id)
            )
        )


def current_draft(case_id: str, *, home: Path) -> QueuedDraft:
    """Return the newest draft of a case.

    Raises
    ------
    BadInput
        If the case has none (``DRAFT_UNKNOWN``).
    """
    with transaction(home) as session:
        return queued_draft(known_row(session, case_id), home)


def newest_row(session: Session, case_id: str) -> DraftRow | None:
    """Return the newest row of a case, or None."""
    query = sa.select(DraftRow).where(DraftRow.case_id == case_id).order_by(DraftRow.id.desc())
    return session.scalars(query.limit(1)).first()


def known_row(session: Session, case_id: str) -> DraftRow:
    """Return the newest row of a case.

    Raises
    ------
    BadInput
        If the case has none (``DRAFT_UNKNOWN``).
    """
    row = newest_row(session, case_id)
    if row is None:
        raise BadInput(
            "No draft of such a case was submitted.",
            reason="DRAFT_UNKNOWN",
            mend="`medviz review list` names them.",
        )
    return row


def void(session: Session, row: DraftRow, *, actor: str, now: datetime | None) -> None:
    """Mark a draft whose bytes are no longer those of its manifest: nobody can sign or release it."""
    row.state = DraftState.VOIDED.value
    detail: Detail = {"manifest": row.manifest_sha256, "draft": row.id}
    append(session, Action.VOIDED, actor=actor, case_id=row.case_id, detail=detail, now=now)


def bytes_changed() -> NotAllowed:
    """Return the refusal for a draft that is not what was submitted."""
    return NotAllowed(
        "The draft's files are no longer the ones that were submitted; it is void.",
        reason="BYTES_CHANGED",
        mend="Run the case again and review the new draft.",
    )


def is_unchanged(draft: QueuedDraft) -> bool:
    """Whether the draft's folder still holds exactly the manifest's bytes, no file more or less."""
    try:
        return draft.folder.is_dir() and manifest_of(draft.folder) == draft.manifest
    except (NotAllowed, OSError):
        return False


def queued_draft(row: DraftRow, home: Path) -> QueuedDraft:
    """Return a row as the type that the desk shows."""
    return QueuedDraft(
        number=row.id,
        case_id=row.case_id,
        folder=home / row.folder,
        manifest=from_plain(Manifest, json.loads(row.manifest_json)),
        findings=tuple(json.loads(row.findings_json)),
        state=DraftState(row.state),
        submitted_at=row.submitted_at,
    )


def checked_case_id(untrusted_case_id: str) -> str:
    """Return a case number that is only letters, digits, ``-`` and ``_``.

    Raises
    ------
    BadInput
        If it is anything else (``CASE_ID_INVALID``): it could be a path, or a name.
    """
    if not _CASE_ID.fullmatch(untrusted_case_id):
        raise BadInput(
            "This is not a case number.", reason="CASE_ID_INVALID", mend="Case numbers look like C0001."
        )
    return untrusted_case_id


def _check_bytes(draft: Draft) -> None:
    names = {entry.path for entry in draft.manifest.entries}
    if not names:
        raise NotAllowed("The draft holds no file.", reason="DRAFT_EMPTY", mend="Run the case again.")
    if RESERVED_NAME in names:
        raise NotAllowed(f"A draft may not hold a file named {RESERVED_NAME}.", reason="NAME_RESERVED")
    if not draft.folder.is_dir() or manifest_of(draft.folder) != draft.manifest:
        raise bytes_changed()


def _supersede(session: Session, case_id: str) -> int:
    """Mark the older drafts of a case that were not decided for good, and return how many they were."""
    older = sa.update(DraftRow).where(
        DraftRow.case_id == case_id, DraftRow.state.in_([state.value for state in _GIVES_WAY])
    )
    ids = session.scalars(older.values(state=DraftState.SUPERSEDED.value).returning(DraftRow.id)).all()
    return len(ids)


def _row_of(draft: Draft, home: Path, submitted_at: str) -> DraftRow:
    folder = draft.folder.resolve()
    inside = folder.is_relative_to(home.resolve())
    return DraftRow(
        case_id=draft.case_id,
        manifest_sha256=draft.manifest.sha256,
        manifest_json=canonical(to_plain(draft.manifest)).decode(),
        findings_json=json.dumps(list(draft.findings), ensure_ascii=False),
        folder=(folder.relative_to(home.resolve()) if inside else folder).as_posix(),
        state=DraftState.QUEUED.value,
        submitted_at=submitted_at,
    )
