"""What a user may decide against the default: by name, from a list, and never without an audit entry."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from pathlib import Path

from medviz.core.errors import BadInput

FACE_REASONS: Mapping[str, str] = {
    "maxillofacial": "The operation is on the facial skeleton or the jaws.",
    "orbit": "The operation is on the eye or the orbit.",
    "nose": "The operation is on the nose or the sinuses.",
    "skin": "The operation is on the skin of the face or needs it as an entry.",
}


DISCARD_REASONS: Mapping[str, str] = {
    "names-people": "It names people in places that cannot be cleaned.",
    "not-needed": "The study does without it.",
    "broken": "It is damaged, and was or will be sent again.",
    "not-judgeable": "Nobody here can tell what is in it.",
}
REIDENTIFY_REASONS: Mapping[str, str] = {
    "care": "A finding matters for the patient's care.",
    "withdrawal": "The patient withdrew consent, or asked for erasure or access.",
    "data-error": "Two records must be told apart, or a wrong one corrected.",
    "legal": "A court or an authority demands it.",
    "audit": "The data protection officer checks the escrow.",
}


def checked_face_reason(untrusted_reason: str) -> str:
    """Return a reason for keeping the face.

    Raises
    ------
    BadInput
        If it is none of `FACE_REASONS` (``REASON_UNKNOWN``): a free text could hold a name.
    """
    return checked_reason(untrusted_reason, FACE_REASONS)


def checked_reason(untrusted_reason: str, reasons: Mapping[str, str]) -> str:
    """Return a reason that is listed; a free text could hold a name, and the audit log holds none.

    Raises
    ------
    BadInput
        If it is none of `reasons` (``REASON_UNKNOWN``).
    """
    if untrusted_reason not in reasons:
        listed = "; ".join(f"{code} ({meaning})" for code, meaning in reasons.items())
        raise BadInput("This needs a listed reason.", reason="REASON_UNKNOWN", mend=f"Give one of: {listed}")
    return untrusted_reason


def record_kept_face(home: Path, reason: str, *, case_id: str = "") -> None:
    """Write into the audit log that a face is kept, by whom and why, before anything is made with it."""
    from review.audit import Action, write

    detail = {"reason": checked_face_reason(reason)}
    write(home, Action.FACE_KEPT, actor=getpass.getuser(), case_id=case_id, detail=detail)
