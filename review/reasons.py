"""Why a draft may be rejected: one line per reason, with the step of the case that must run again.

Steps are named as in `medviz.casework.STEPS` (a contract test holds it).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medviz.core.errors import BadInput


@dataclass(frozen=True, slots=True)
class Reason:
    """What is wrong, as a reviewer reads it, and the first step that must run again."""

    sentence: str
    rerun_from: str


REASONS: Mapping[str, Reason] = {
    "IDENTITY_VISIBLE": Reason("A name, a date or another identifier can be read.", "deidentify"),
    "WRONG_SERIES": Reason("Another series of the study should have been taken.", "volume"),
    "WRONG_ORIENTATION": Reason("Left and right, or up and down, are wrong.", "volume"),
    "FACE_VISIBLE": Reason("The face can be recognised.", "deidentify"),
    "STRUCTURE_WRONG": Reason("A structure is missing, misplaced or has the wrong name.", "segment"),
    "SURFACE_WRONG": Reason("A surface does not follow the images.", "mesh"),
    "TARGET_WRONG": Reason("The target or the entry is not the intended one.", "plan"),
    "PATH_UNSAFE": Reason("The path comes too near to something, or crosses it.", "plan"),
    "MOTION_WRONG": Reason("The operation is not shown as it would be done.", "simulate"),
    "NUMBER_WRONG": Reason("A number does not agree with the images.", "measure"),
    "STORY_UNCLEAR": Reason("The order of the shots misleads, or something is not shown.", "storyboard"),
    "SENTENCE_WRONG": Reason("A sentence is wrong or can be misunderstood.", "narrate"),
    "SPEECH_WRONG": Reason("Something is pronounced so that it can be misunderstood.", "speak"),
    "PICTURE_WRONG": Reason("A picture, label or caption is wrong or cannot be read.", "film"),
}


def reason_of(code: str) -> Reason:
    """Return a reason by its code.

    Raises
    ------
    BadInput
        If there is no such code (``REASON_UNKNOWN``).
    """
    if code not in REASONS:
        raise BadInput(
            "There is no such reason.", reason="REASON_UNKNOWN", mend=f"Choose one of: {', '.join(REASONS)}."
        )
    return REASONS[code]
