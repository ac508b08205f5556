"""Approve or reject: a fresh authentication, a meaning, a signature over the very bytes that were shown."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy.orm import Session

from medviz.core.drafts import Approval, Rejection
from medviz.core.errors import BadInput, NotAllowed
from medviz.core.records import SCHEMA_VERSION
from review.audit import Action, Detail, append, canonical, recorded
from review.queue import (
    DraftState,
    bytes_changed,
    checked_case_id,
    is_unchanged,
    known_row,
    queued_draft,
    void,
)
from review.reasons import reason_of
from review.reviewers import unlock
from review.store import DecisionRow, DraftRow, as_text, transaction

DEFAULT_MEANING = "I have looked at the film, the plan and every finding, and I approve their release."
_LONGEST_TEXT = 1000


def approve(
    case_id: str,
    reviewer: str,
    passphrase: str,
    *,
    home: Path,
    meaning: str = DEFAULT_MEANING,
    now: datetime | None = None,
) -> Approval:
    """Sign the newest draft of a case and return the approval.

    Parameters
    ----------
    meaning : str
        What the signature means, in the reviewer's words; it is signed too. No patient data.

    Raises
    ------
    NotAllowed
        If reviewer or passphrase is wrong (``NOT_AUTHENTICATED``), the draft's bytes changed
        (``BYTES_CHANGED``), or it does not wait for a decision (``ALREADY_DECIDED``).
    BadInput
        If the case has no draft, or the meaning is empty (``MEANING_MISSING``).
    """
    text = _checked_text(meaning, "MEANING_MISSING", "Say what the signature means.")
    moment = datetime.now(UTC) if now is None else now
    key = unlock(reviewer, passphrase, home=home, case_id=checked_case_id(case_id), now=moment)
    draft = _unchanged_row(case_id, (DraftState.QUEUED,), actor=reviewer, home=home, now=moment)
    approval = _signed(key, case_id, draft.manifest_sha256, reviewer, text, as_text(moment))
    detail: Detail = {
        "manifest": draft.manifest_sha256,
        "draft": draft.id,
        "signature": fingerprint(approval),
    }
    with recorded(home) as session:
        _move(session, draft.id, (DraftState.QUEUED,), DraftState.APPROVED)
        session.add(_approval_row(draft.id, approval))
        append(session, Action.APPROVED, actor=reviewer, case_id=case_id, detail=detail, now=moment)
    return approval


def reject(
    case_id: str,
    reviewer: str,
    passphrase: str,
    *,
    reason: str,
    home: Path,
    remark: str = "",
    now: datetime | None = None,
) -> Rejection:
    """Refuse the newest draft of a case, also one that was approved and has not left, and return the refusal.

    Parameters
    ----------
    reason : str
        A code of `review.reasons.REASONS`; it names the step that must run again.
    remark : str
        For whoever mends it. No patient data.

    Raises
    ------
    NotAllowed, BadInput
        As `approve` does; ``REASON_UNKNOWN`` if there is no such reason.
    """
    because = reason_of(reason)
    moment = datetime.now(UTC) if now is None else now
    unlock(reviewer, passphrase, home=home, case_id=checked_case_id(case_id), now=moment)
    refusable = (DraftState.QUEUED, DraftState.APPROVED)
    with recorded(home) as session:
        row = known_row(session, case_id)
        rejection = Rejection(
            case_id,
            row.manifest_sha256,
            reviewer,
            reason,
            remark[:_LONGEST_TEXT],
            because.rerun_from,
            as_text(moment),
        )
        _move(session, row.id, refusable, DraftState.REJECTED)
        session.add(_rejection_row(row.id, rejection))
        detail: Detail = {"manifest": row.manifest_sha256, "draft": row.id, "reason": reason}
        append(session, Action.REJECTED, actor=reviewer, case_id=case_id, detail=detail, now=moment)
    return rejection


def approval_of(case_id: str, *, home: Path) -> Approval:
    """Return the approval of the newest draft of a case.

    Raises
    ------
    NotAllowed
        If it is not approved (``NOT_APPROVED``); the message says what it is instead.
    """
    with transaction(home) as session:
        row = known_row(session, checked_case_id(case_id))
        decision = _decision(session, row.id, "approval")
        if decision is None or row.state not in (DraftState.APPROVED.value, DraftState.RELEASED.value):
            raise not_approved(row.state)
        return _approval(decision)


def rejection_of(case_id: str, *, home: Path) -> Rejection | None:
    """Return the rejection of the newest draft of a case, or None if it was not rejected."""
    with transaction(home) as session:
        row = known_row(session, checked_case_id(case_id))
        decision = _decision(session, row.id, "rejection")
        return _rejection(decision) if decision and row.state == DraftState.REJECTED.value else None


def verify_approval(approval: Approval, *, public_key: str = "") -> None:
    """Check a signature, without any database.

    Parameters
    ----------
    public_key : str
        The reviewer's key as known from elsewhere, raw Ed25519 in hexadecimal; by default the approval's own.

    Raises
    ------
    NotAllowed
        If the signature does not fit the text or the key (``SIGNATURE_INVALID``).
    """
    if public_key and public_key != approval.public_key:
        raise _invalid()
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(approval.public_key))
        key.verify(bytes.fromhex(approval.signature), signed_bytes(approval))
    except (InvalidSignature, ValueError):
        raise _invalid() from None


def signed_bytes(approval: Approval) -> bytes:
    """Return what is signed: canonical JSON of case, manifest hash, reviewer, meaning and time."""
    return canonical(
        {
            "kind": "medviz approval",
            "schema_version": SCHEMA_VERSION,
            "case_id": approval.case_id,
            "manifest_sha256": approval.manifest_sha256,
            "reviewer": approval.reviewer,
            "meaning": approval.meaning,
            "signed_at": approval.signed_at,
        }
    )


def fingerprint(approval: Approval) -> str:
    """Return the SHA-256 of the signature, as the audit log names it."""
    return hashlib.sha256(approval.signature.encode()).hexdigest()


def not_approved(state: str) -> NotAllowed:
    """Return the refusal for a draft in any state but approved."""
    mends = {
        "queued": "Review it: `medviz review show`, then `medviz review approve` or `reject`.",
        "rejected": "Run the case again from the step the rejection names.",
        "voided": "Run the case again and review the new draft.",
    }
    return NotAllowed(
        f"The draft is not approved: it is {state}.", reason="NOT_APPROVED", mend=mends.get(state, "")
    )


def _signed(
    key: Ed25519PrivateKey, case_id: str, manifest_sha256: str, reviewer: str, meaning: str, signed_at: str
) -> Approval:
    public_key = key.public_key().public_bytes_raw().hex()
    bare = Approval(case_id, manifest_sha256, reviewer, meaning, signed_at, public_key, "")
    signature = key.sign(signed_bytes(bare)).hex()
    return Approval(case_id, manifest_sha256, reviewer, meaning, signed_at, public_key, signature)


def _unchanged_row(
    case_id: str, states: tuple[DraftState, ...], *, actor: str, home: Path, now: datetime
) -> DraftRow:
    """Return the newest draft in one of the states, its bytes checked; void it if they changed."""
    with transaction(home) as session:
        row = known_row(session, case_id)
    if row.state not in states:
        raise _already(row.state)
    if is_unchanged(queued_draft(row, home)):
        return row
    with recorded(home) as session:
        found = session.get_one(DraftRow, row.id)
        if found.state in states:
            void(session, found, actor=actor, now=now)
    raise bytes_changed()


def _move(session: Session, draft_id: int, sources: tuple[DraftState, ...], target: DraftState) -> None:
    """Change a draft's state, unless somebody else did so first."""
    row = session.get_one(DraftRow, draft_id)
    if row.state not in sources:
        raise _already(row.state)
    row.state = target.value


def _already(state: str) -> NotAllowed:
    return NotAllowed(
        f"The draft does not wait for a decision: it is {state}.",
        reason="ALREADY_DECIDED",
        mend="`medviz review list` names the drafts that wait.",
    )


def _invalid() -> NotAllowed:
    return NotAllowed(
        "The signature is not valid.", reason="SIGNATURE_INVALID", mend="Do not use these files."
    )


def _checked_text(text: str, reason: str, mend: str) -> str:
    plain = text.strip()
    if not 3 <= len(plain) <= _LONGEST_TEXT:
        raise BadInput("The text is empty or too long.", reason=reason, mend=mend)
    return plain


def _decision(session: Session, draft_id: int, kind: str) -> DecisionRow | None:
    query = sa.select(DecisionRow).where(DecisionRow.draft_id == draft_id, DecisionRow.kind == kind)
    return session.scalars(query.order_by(DecisionRow.id.desc()).limit(1)).first()


def _approval_row(draft_id: int, approval: Approval) -> DecisionRow:
    return DecisionRow(
        draft_id=draft_id,
        kind="approval",
        case_id=approval.case_id,
        manifest_sha256=approval.manifest_sha256,
        reviewer=approval.reviewer,
        decided_at=approval.signed_at,
        meaning=approval.meaning,
        public_key=approval.public_key,
        signature=approval.signature,
    )


def _approval(row: DecisionRow) -> Approval:
    return Approval(
        row.case_id,
        row.manifest_sha256,
        row.reviewer,
        row.meaning,
        row.decided_at,
        row.public_key,
        row.signature,
    )


def _rejection_row(draft_id: int, rejection: Rejection) -> DecisionRow:
    return DecisionRow(
        draft_id=draft_id,
        kind="rejection",
        case_id=rejection.case_id,
        manifest_sha256=rejection.manifest_sha256,
        reviewer=rejection.reviewer,
        decided_at=rejection.rejected_at,
        reason=rejection.reason,
        remark=rejection.remark,
        rerun_from=rejection.rerun_from,
    )


def _rejection(row: DecisionRow) -> Rejection:
    return Rejection(
        row.case_id,
        row.manifest_sha256,
        row.reviewer,
        row.reason,
        row.remark,
        row.rerun_from,
        row.decided_at,
    )
