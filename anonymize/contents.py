"""What a file holds besides its header, made clean: pictures, overlays, films and documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from anonymize import documents, headers, pictures, video
from anonymize.elements import ParsedFile, broken
from anonymize.overlays import CleanOverlays, without_text_in_overlays
from anonymize.pictures import png_of
from anonymize.pixels import TextBox, TextFinder, without_burned_in_text
from anonymize.profile import Profile, holds_document
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
        ``NO_TEXT_FINDER``, ``TEXT_REMAINS``, ``VIDEO_TEXT``, ``PIXELS_UNREADABLE``, ``DOCUMENT_UNREADABLE``,
        ``DOCUMENT_REFUSED``, ``TOO_LARGE``.
    """
    verdict = tools.verdicts.get(sha256)
    overlays = without_text_in_overlays(
        parsed, tools.finder, cleaner.deny, keeps_graphics="clean_graphics" in profile.options
    )
    parsed, notes = overlays.parsed, _overlay_notes(overlays)
    if holds_document(kind):
        _check_may_clean(profile, verdict, kind=kind)
        clean = documents.without_identity(
            parsed, kind, finder=tools.finder, cleaner=cleaner, verdict=verdict
        )
        return clean.parsed, ContentProof(
            clean.pages, clean.boxes, True, (*notes, *clean.notes), clean.picture
        )
    if parsed.pixels is not None and parsed.pixels.is_encapsulated and video.is_film(parsed.syntax):
        _check_may_clean(profile, verdict, kind=kind)
        film = video.without_identity(parsed, tools.finder, cleaner.deny, verdict=verdict)
        return film.parsed, ContentProof(film.frames, film.boxes, True, (*notes, *film.notes), film.picture)
    parsed, hidden = without_unseen(parsed)
    notes = (*notes, *hidden)
    if not headers.may_carry_text(parsed, kind):
        return parsed, ContentProof(overlays.frames, overlays.boxes, notes=notes)
    _check_may_clean(profile, verdict, kind=kind)
    redaction = without_burned_in_text(parsed, tools.finder, cleaner.deny, verdict=verdict)
    proof = ContentProof(
        overlays.frames + redaction.frames,
        overlays.boxes + redaction.boxes,
        is_cleaned=True,
        notes=(*notes, *redaction.notes),
        picture=redaction.picture,
    )
    return redaction.parsed, proof


def _overlay_notes(overlays: CleanOverlays) -> tuple[str, ...]:
    return ("an overlay that could not be judged was left out",) if overlays.dropped else ()


def _check_may_clean(profile: Profile, verdict: tuple[TextBox, ...] | None, *, kind: str) -> None:
    """Hold what may carry text when the profile does not clean it; meshes are numbers only."""
    is_numbers = kind in ("encapsulated-stl", "encapsulated-obj", "encapsulated-mtl")
    if not (profile.cleans_pixels or verdict is not None or is_numbers):
        raise broken("HELD_FOR_REVIEW")


def preview(parsed: ParsedFile, frame: int = 0) -> bytes:
    """Return what a person needs to see of a held file: a frame or page as PNG in its own pixels.

    Raises
    ------
    StudyUnreadable
        ``PIXELS_UNREADABLE`` or ``DOCUMENT_UNREADABLE`` when there is nothing to show.
    """
    if parsed.pixels is None:
        return png_of(documents.page_picture(documents.document_of(parsed), frame), widest_px=None)
    if parsed.pixels.is_encapsulated and video.is_film(parsed.syntax):
        return png_of(video.picture_of(parsed, frame), widest_px=None)
    return pictures.preview(parsed, frame)
