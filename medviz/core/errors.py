"""Every error a user can meet, as a tree.


    MedVizError
    ├── BadInput            the study, plan or argument cannot be used as it is
    │   ├── StudyUnreadable     no usable DICOM in what was given
    │   ├── GeometryRefused     the series cannot be placed in the patient without guessing
    │   ├── PlanInvalid         the plan document breaks its schema (names the line)
    │   └── FrameMismatch       two things do not share a patient coordinate system
    ├── NotAvailable        something this machine lacks
    │   ├── WeightsMissing      a model's weights are not here, or not the pinned bytes
    │   └── RenderingMissing    nothing to draw or encode with
    ├── Uncertain           a check failed, so the case stops instead of guessing
    ├── NotAllowed          review, signature or role forbids it
    ├── StorageFull         the disk ran out; nothing finished was lost
    └── Cancelled           the user stopped it

A message says what to do next and never holds a patient's data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medviz.core.volume import GeometryReport


class MedVizError(Exception):
    """An error a clinician or administrator can act on.

    Parameters
    ----------
    message : str
        What happened, in one sentence, without any patient data.
    reason : str
        A stable upper-case code such as ``GANTRY_TILT``; scripts match on it.
    mend : str
        What to do next, in one sentence.
    """

    exit_code = 1
    default_reason = "ERROR"

    def __init__(self, message: str, *, reason: str = "", mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.message} {self.mend}".strip()


class BadInput(MedVizError):
    """What was given cannot be used as it is."""

    exit_code = 2
    default_reason = "BAD_INPUT"


class StudyUnreadable(BadInput):
    """No usable DICOM was found, or the archive is unsafe to open."""

    default_reason = "STUDY_UNREADABLE"


class GeometryRefused(BadInput):
    """The series cannot be placed in the patient without guessing.

    Parameters
    ----------
    report : GeometryReport or None
        What was found, with every series and its reason.
    """

    exit_code = 3
    default_reason = "GEOMETRY_REFUSED"

    def __init__(
        self, message: str, *, reason: str = "", mend: str = "", report: GeometryReport | None = None
    ) -> None:
        super().__init__(message, reason=reason, mend=mend)
        self.report = report


class PlanInvalid(BadInput):
    """The plan document breaks its schema.

    Parameters
    ----------
    line : int
        1-based line in the plan document; 0 when the whole document is meant.
    """

    default_reason = "PLAN_INVALID"

    def __init__(self, message: str, *, line: int = 0, reason: str = "", mend: str = "") -> None:
        super().__init__(f"Plan, line {line}: {message}" if line else message, reason=reason, mend=mend)
        self.line = line


class FrameMismatch(BadInput):
    """Two things that should lie in one patient coordinate system do not."""

    default_reason = "FRAME_MISMATCH"


class NotAvailable(MedVizError):
    """Something is missing on this machine; `mend` names the line that gets it."""

    exit_code = 4
    default_reason = "NOT_AVAILABLE"


class WeightsMissing(NotAvailable):
    """A model's weights are not here, or are not the pinned bytes."""

    default_reason = "WEIGHTS_MISSING"


class RenderingMissing(NotAvailable):
    """This machine has nothing to draw or encode with."""

    default_reason = "RENDERING_MISSING"


class Uncertain(MedVizError):
    """A check failed, so the case stops instead of guessing."""

    exit_code = 5
    default_reason = "UNCERTAIN"


class NotAllowed(MedVizError):
    """Review, signature or role forbids it."""

    exit_code = 6
    default_reason = "NOT_ALLOWED"


class StorageFull(MedVizError):
    """The disk ran out of room; what was finished before is kept."""

    exit_code = 7
    default_reason = "STORAGE_FULL"


class Cancelled(MedVizError):
    """The user stopped the run; the same command goes on from here."""

    exit_code = 130
    default_reason = "CANCELLED"
