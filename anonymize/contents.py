"""What a file holds besides its header, made clean: pictures, and later films and documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from anonymize import headers
from anonymize.elements import ParsedFile, broken
from anonymize.pixels import TextBox, TextFinder, without_burned_in_text
from anonymize.profile import Profile
from anonymize.text import TextCleaner
from anonymize.unseen import without_unseen


@dataclass(frozen=True, slots=True)
class Tools:
    """What the caller brings to judge contents with.

    Parameters
    ----------
    finder : TextFinder or None
        Finds text in pictures; without it, every picture that may carry text is held.
    verdicts : mapping of str to tuple of TextBox
        What a person decided about files that had been held, by the SHA-256 of the file as it came
        (hexadecimal): exactly these boxes are filled on every frame, and nothing is read.
    """

    finder: TextFinder | None = None
    verdicts: Mapping[str, tuple[TextBox, ...]] = field(default_factory=dict)


class ContentProof(NamedTuple):
    """What was done to a file's content.

    Parameters
    ----------
    frames_read, boxes_filled : int
        Frames searched for text, and text boxes painted over.
    is_cleaned : bool
        Whether the content was searched for text at all.
    notes : tuple of str
        What an officer must know, such as "stored without compression"; never a value.
    picture : bytes
        PNG of the first frame that was changed, after the change, its boxes outlined; empty when none was.
    """

    frames_read: int = 0
    boxes_filled: int = 0
    is_cleaned: bool = False
    notes: tuple[str, ...] = ()
    picture: bytes = b""


def cleaned(
    parsed: ParsedFile, kind: str, *, profile: Profile, cleaner: TextCleaner, tools: Tools, sha256: str
) -> tuple[ParsedFile, ContentProof]:
    """Return the file with its content clean, and what that took.

    Parameters
    ----------
    sha256 : str
        Hexadecimal SHA-256 of the file as it came; a person's verdict is found by it.

    Raises
    ------
    StudyUnreadable
        When the content cannot be judged: ``HELD_FOR_REVIEW`` when the profile does not clean it,
        ``NO_TEXT_FINDER``, ``TEXT_REMAINS``, ``PIXELS_UNREADABLE``, ``TOO_LARGE``.
    """
    parsed, notes = without_unseen(parsed)
    if not headers.may_carry_text(parsed, kind):
        return parsed, ContentProof(notes=notes)
    verdict = tools.verdicts.get(sha256)
    if not profile.cleans_pixels and verdict is None:
        raise broken("HELD_FOR_REVIEW")
    redaction = without_burned_in_text(parsed, tools.finder, cleaner.deny, verdict=verdict)
    proof = ContentProof(
        redaction.frames,
        redaction.boxes,
        is_cleaned=True,
        notes=(*notes, *redaction.notes),
        picture=redaction.picture,
    )
    return redaction.parsed, proof
