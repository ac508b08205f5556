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


def checked_face_reason(untrusted_reason: str) -> str:
    """Return a reason for keeping the face.

    Raises
    ------
    BadInput
        If it is none of `FACE_REASONS` (``REASON_UNKNOWN``): a free text could hold a name.
    """
    if untrusted_reason not in FACE_REASONS:
        listed = "; ".join(f"{code} ({meaning})" for code, meaning in FACE_REASONS.items())
        raise BadInput(
            "A face is kept for a listed reason only.", reason="REASON_UNKNOWN", mend=f"Give one of: {listed}"
        )
    return untrusted_reason


def record_kept_face(home: Path, reason: str, *, case_id: str = "") -> None:
    """Write into the audit log that a face is kept, by whom and why, before anything is made with it."""
    from review.audit import Action, write

    detail = {"reason": checked_face_reason(reason)}
    write(home, Action.FACE_KEPT, actor=getpass.getuser(), case_id=case_id, detail=detail)
