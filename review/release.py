"""The only way out: the signed bytes, copied, checked again where they arrived, and made visible all at once.

Release believes the signature and the audit log, not the state column: whoever edits the database alone gets
nothing out. What is written down comes first ("release began"), so that nothing leaves unrecorded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from medviz.core.drafts import Approval, Release
from medviz.core.errors import MedVizError, NotAllowed
from medviz.core.manifest import Manifest, manifest_of
from medviz.core.records import SCHEMA_VERSION, from_plain, to_plain
from review import audit
from review.audit import Action, AuditEntry, AuditHead, Detail
from review.parcel import (
    appear,
    copy_checked,
    one_at_a_time,
    refuse_existing,
    refuse_inside,
    staging,
    told_if_full,
    write_paper,
)
from review.queue import (
    RESERVED_NAME,
    DraftState,
    QueuedDraft,
    checked_case_id,
    known_row,
    queued_draft,
    void,
)
from review.sign import fingerprint, not_approved, verify_approval
from review.store import DraftRow, ReleaseRow, as_text, transaction

_LEAVING = (Action.RELEASE_BEGAN, Action.RELEASED, Action.RELEASE_REFUSED)
_DECIDING = (Action.SUBMITTED, Action.APPROVED, Action.REJECTED, Action.VOIDED)
_FREE = (DraftState.APPROVED, DraftState.RELEASED)


@dataclass(frozen=True, slots=True)
class ReleasePaper:
    """What lies beside released files as APPROVAL.json: who signed what, and where the audit log was."""

    approval: Approval
    manifest: Manifest
    copy_number: int
    released_at: str
    audit_head: AuditHead


def release(
    case_id: str,
    target: Path,
    approval: Approval,
    *,
    home: Path,
    actor: str = "console",
    now: datetime | None = None,
) -> Release:
    """Copy an approved draft to ``target/CASE_ID`` and return the release.

    The folder appears whole or not at all. A second release goes to another target, recorded as another copy.

    Parameters
    ----------
    target : Path
        Folder that will hold the case's folder; made if missing.

    Raises
    ------
    NotAllowed
        If anything is unsigned, rejected, superseded or void (``NOT_APPROVED``), the signature is not that of
        an enrolled reviewer (``SIGNATURE_INVALID``), a byte changed (``BYTES_CHANGED``), the audit log is
        broken (``AUDIT_BROKEN``), or the folder exists (``TARGET_EXISTS``) or lies among the cases.
    StorageFull
        If the target has no room; nothing is left there.
    NotAvailable
        If the target cannot be written (``TARGET_UNWRITABLE``).
    """
    final = target / checked_case_id(case_id)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with one_at_a_time(home):
        draft = _allowed(case_id, approval, final, home=home, actor=actor, now=now)
        paper = _begin(draft, approval, home=home, actor=actor, now=now)
        try:
            _send(draft, paper, final)
        except MedVizError as error:
            _fail(draft, paper, error, home=home, actor=actor, now=now)
            raise
        _end(draft, paper, final, home=home, actor=actor, now=now)
    return Release(case_id, final, approval, paper.released_at)


def _send(draft: QueuedDraft, paper: ReleasePaper, final: Path) -> None:
    document = {"schema_version": SCHEMA_VERSION, "record": to_plain(paper)}
    with told_if_full(), staging(final) as folder:
        copy_checked(draft, folder)
        text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False)
        write_paper(folder / RESERVED_NAME, text + "\n")
        appear(folder, final)


def verify_release(folder: Path, *, public_key: str = "") -> ReleasePaper:
    """Check a released folder anywhere, without any database, and return its paper.

    Parameters
    ----------
    public_key : str
        The reviewer's key as known from elsewhere; without it the signature is only checked to be consistent.

    Raises
    ------
    NotAllowed
        If there is no readable paper (``NOT_A_RELEASE``), a file is changed, missing or added
        (``BYTES_CHANGED``), or the signature does not hold (``SIGNATURE_INVALID``).
    """
    paper = _read_paper(folder)
    found = manifest_of(folder).entries
    files = Manifest(tuple(entry for entry in found if entry.path != RESERVED_NAME))
    if files != paper.manifest or files.sha256 != paper.approval.manifest_sha256:
        raise NotAllowed(
            "The files are not the ones that were signed.", reason="BYTES_CHANGED", mend="Do not use them."
        )
    verify_approval(paper.approval, public_key=public_key)
    return paper


def unfinished_releases(home: Path, case_id: str = "") -> tuple[AuditEntry, ...]:
    """Return the audit rows of releases whose end was never written: look whether they left."""
    with transaction(home) as session:
        rows = audit.entries(session, case_id, acts=_LEAVING)
    ended = {
        row.detail.get("release") for row in rows if row.action in (Action.RELEASED, Action.RELEASE_REFUSED)
    }
    return tuple(
        row for row in rows if row.action == Action.RELEASE_BEGAN and row.detail.get("release") not in ended
    )


# --- may it leave? ------------------------------------------------------------------------------------------


def _allowed(
    case_id: str, approval: Approval, final: Path, *, home: Path, actor: str, now: datetime | None
) -> QueuedDraft:
    """Return the draft that may leave; a refusal is written down."""
    try:
        draft = _releasable(case_id, approval, home)
        refuse_existing(final)
        refuse_inside(final, home / "cases")
        refuse_inside(final, draft.folder)
    except NotAllowed as refusal:
        known = case_id if _is_known(case_id, home) else ""
        detail: Detail = {"reason": refusal.reason}
        audit.write(home, Action.RELEASE_REFUSED, actor=actor, case_id=known, detail=detail, now=now)
        raise
    return draft


def _releasable(case_id: str, approval: Approval, home: Path) -> QueuedDraft:
    """Return the draft that an approval lets out.

    Raises
    ------
    NotAllowed
        If it lets nothing out.
    """
    if approval.case_id != case_id:
        raise _forged("The approval belongs to another case.")
    verify_approval(approval)
    if not audit.verify_chain(home).is_whole:
        raise NotAllowed(
            "The audit log is broken; nothing leaves until that is explained.",
            reason="AUDIT_BROKEN",
            mend="`medviz audit verify` names the rows.",
        )
    with transaction(home) as session:
        row = known_row(session, case_id)
        if row.state not in _FREE:
            raise not_approved(row.state)
        draft = queued_draft(row, home)
        _believe_the_log(audit.entries(session, acts=(Action.ENROLLED, *_DECIDING)), row, approval)
    if draft.manifest.sha256 != approval.manifest_sha256:
        raise _forged("The approval is for other bytes.")
    return draft


def _believe_the_log(rows: tuple[AuditEntry, ...], draft: DraftRow, approval: Approval) -> None:
    """Refuse unless the log says that this key was enrolled and this very signature was the last word."""
    keys = {r.actor: r.detail.get("public_key") for r in rows if r.action == Action.ENROLLED}
    if keys.get(approval.reviewer) != approval.public_key:
        raise _forged("The signature is not that of an enrolled reviewer.")
    acts = [row for row in rows if row.case_id == draft.case_id and row.action in _DECIDING]
    last = acts[-1] if acts else None
    if last is None or last.action != Action.APPROVED or last.actor != approval.reviewer:
        raise not_approved(last.action if last else "unknown")
    if last.detail.get("signature") != fingerprint(approval) or last.detail.get("draft") != draft.id:
        raise _forged("The audit log knows no such approval.")


def _forged(message: str) -> NotAllowed:
    return NotAllowed(message, reason="SIGNATURE_INVALID", mend="Have the draft reviewed and signed again.")


def _read_paper(folder: Path) -> ReleasePaper:
    try:
        document = json.loads((folder / RESERVED_NAME).read_text(encoding="utf-8"))
        if document["schema_version"] != SCHEMA_VERSION:
            raise ValueError
        paper: ReleasePaper = from_plain(ReleasePaper, document["record"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise NotAllowed(
            f"The folder holds no {RESERVED_NAME} that can be read.",
            reason="NOT_A_RELEASE",
            mend="Ask for the folder that was released.",
        ) from None
    return paper


# --- writing it down ----------------------------------------------------------------------------------------


def _begin(
    draft: QueuedDraft, approval: Approval, *, home: Path, actor: str, now: datetime | None
) -> ReleasePaper:
    """Write down that a copy is about to leave, and return its paper."""
    with audit.recorded(home) as session:
        state = session.get_one(DraftRow, draft.number).state
        if state not in _FREE:  # somebody decided otherwise since we looked
            raise not_approved(state)
        copy_number = _copies(session, draft) + 1
        detail: Detail = {"release": _release_name(draft, copy_number, approval)} | _detail(
            draft, copy_number
        )
        entry = audit.append(
            session, Action.RELEASE_BEGAN, actor=actor, case_id=draft.case_id, detail=detail, now=now
        )
    head = AuditHead(entry.seq, entry.hash, entry.time)
    return ReleasePaper(approval, draft.manifest, copy_number, as_text(now), head)


def _end(
    draft: QueuedDraft, paper: ReleasePaper, final: Path, *, home: Path, actor: str, now: datetime | None
) -> None:
    name = _release_name(draft, paper.copy_number, paper.approval)
    with audit.recorded(home) as session:
        row = session.get_one(DraftRow, draft.number)
        if row.state in _FREE:  # a rejection that came meanwhile stands; that it left is written all the same
            row.state = DraftState.RELEASED.value
        session.add(
            ReleaseRow(
                draft_id=draft.number,
                case_id=draft.case_id,
                signature=paper.approval.signature,
                folder=final.resolve().as_posix(),
                copy_number=paper.copy_number,
                released_at=paper.released_at,
            )
        )
        detail: Detail = {"release": name} | _detail(draft, paper.copy_number)
        audit.append(session, Action.RELEASED, actor=actor, case_id=draft.case_id, detail=detail, now=now)


def _release_name(draft: QueuedDraft, copy_number: int, approval: Approval) -> str:
    return f"{draft.number}.{copy_number}.{fingerprint(approval)[:16]}"


def _detail(draft: QueuedDraft, copy_number: int) -> dict[str, str | int | float]:
    return {"manifest": draft.manifest.sha256, "draft": draft.number, "copy": copy_number}


def _copies(session: Session, draft: QueuedDraft) -> int:
    """Return how many copies of a draft began to leave."""
    began = audit.entries(session, draft.case_id, acts=(Action.RELEASE_BEGAN,))
    return sum(row.detail.get("draft") == draft.number for row in began)


def _fail(
    draft: QueuedDraft,
    paper: ReleasePaper,
    error: MedVizError,
    *,
    home: Path,
    actor: str,
    now: datetime | None,
) -> None:
    """Write down that nothing left, and void the draft if its bytes changed."""
    name = _release_name(draft, paper.copy_number, paper.approval)
    with audit.recorded(home) as session:
        if error.reason == "BYTES_CHANGED":
            void(session, session.get_one(DraftRow, draft.number), actor=actor, now=now)
        detail: Detail = {"release": name, "reason": error.reason}
        audit.append(
            session, Action.RELEASE_REFUSED, actor=actor, case_id=draft.case_id, detail=detail, now=now
        )


def _is_known(case_id: str, home: Path) -> bool:
    with transaction(home) as session:
        return session.scalar(sa.select(DraftRow.id).where(DraftRow.case_id == case_id).limit(1)) is not None
