"""What waits for a clinician, and what the clinician said.

Only `review` may construct `Approval` and `Release` (held by a contract test).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medviz.core.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Draft:
    """A finished, unsigned result.

    Parameters
    ----------
    case_id : str
        Case number, such as ``C0001``; never derived from the patient.
    folder : Path
        Holds exactly the files of the manifest.
    manifest : Manifest
        Hashes of those files.
    findings : tuple of str
        What the reviewer must look at first.
    """

    case_id: str
    folder: Path
    manifest: Manifest
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Approval:
    """A clinician's signature over exactly the bytes that were shown."""

    case_id: str
    manifest_sha256: str
    reviewer: str
    meaning: str
    signed_at: str
    public_key: str
    signature: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """A clinician's refusal: a coded reason, a remark, and the stage that must change."""

    case_id: str
    manifest_sha256: str
    reviewer: str
    reason: str
    remark: str
    rerun_from: str
    rejected_at: str


@dataclass(frozen=True, slots=True)
class Release:
    """What left, where to (a folder), when, under which approval."""

    case_id: str
    folder: Path
    approval: Approval
    released_at: str
