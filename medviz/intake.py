"""Opens a case for a study and a plan, or finds the one that was opened for the same before."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from medviz.casefolder import CaseFolder, CaseShelf
from medviz.core.errors import BadInput, StudyUnreadable
from medviz.core.records import write_text_atomically
from medviz.core.settings import Settings

if TYPE_CHECKING:
    from anonymize.keys import ProjectKeys


def open_case(
    source: Path,
    plan: Path,
    settings: Settings,
    *,
    now: datetime,
    series_uid: str = "",
    keeps_face: bool = False,
) -> CaseFolder:
    """Return the case of this study, plan and settings: the one begun before, or a new one.

    Parameters
    ----------
    source : Path
        A folder, a zip, a DICOMDIR or one file.
    plan : Path
        Plan document; it is checked before anything is written.
    series_uid : str
        The series to take, as the raw study names it.
    keeps_face : bool
        Whether the face stays, because the operation is planned on it; everything made then says so.

    Raises
    ------
    StudyUnreadable
        If there is nothing at `source`.
    PlanInvalid
        If the plan breaks its schema; names the line.
    """
    from anonymize.keys import project_keys
    from anonymize.uids import new_uid
    from pipelines.plandocument import raw_plan_notes, read_plan

    if not source.exists():
        raise StudyUnreadable(
            "There is nothing at the given path.",
            reason="SOURCE_MISSING",
            mend="Check the path of the study.",
        )
    document = read_plan(plan)
    keys = project_keys(settings.home)
    notes = raw_plan_notes(plan)
    request: dict[str, object] = {
        "source_hmac": keys.digest("case source", _listing(source.resolve())).hex(),
        "plan_sha256": document.sha256,
        "procedure": document.procedure,
        "profile": settings.profile,
        "segmenter": settings.segmenter,
        "narrator": settings.narrator,
        "voice": settings.voice,
        "seed": settings.seed,
        "frames_per_second": settings.frames_per_second,
        "captions_burnt_in": settings.captions_burnt_in,
        "series_uid": new_uid(keys, series_uid) if series_uid else "",
    }
    request |= {"notes_hmac": _hmac_of(notes, keys)} if notes else {}
    request |= {"keeps_face": True} if keeps_face else {}
    fingerprint = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    shelf = CaseShelf(settings.home)
    known = shelf.find(fingerprint)
    if known is not None:
        return known
    moment = now.isoformat(timespec="seconds")
    return shelf.open(request | {"fingerprint": fingerprint, "created_at": moment}, source, plan.read_bytes())


def change_plan(case: CaseFolder, plan: Path, *, home: Path) -> None:
    """Give a case another plan document.

    Raises
    ------
    PlanInvalid
        If it breaks its schema; the case keeps the one it had.
    """
    from anonymize.keys import project_keys
    from pipelines.plandocument import raw_plan_notes, read_plan

    document, notes = read_plan(plan), raw_plan_notes(plan)
    write_text_atomically(case.plan_path, plan.read_text(encoding="utf-8"))
    hmac = _hmac_of(notes, project_keys(home)) if notes else ""
    case.amend(plan_sha256=document.sha256, procedure=document.procedure, notes_hmac=hmac)


def _hmac_of(notes: str, keys: ProjectKeys) -> str:
    return keys.digest("plan notes", notes.encode()).hex()


def _listing(source: Path) -> bytes:
    """Return the source's path and its files' names, sizes and times: what tells one source from another."""
    try:
        paths = sorted(source.rglob("*")) if source.is_dir() else [source]
        stats = [(path, path.stat()) for path in paths if path.is_file()]
    except PermissionError:
        raise BadInput(
            "The study cannot be read with this user's rights.",
            reason="SOURCE_FORBIDDEN",
            mend="Give the user that runs MedViz the right to read it.",
        ) from None
    lines = [f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}" for path, stat in stats]
    return "\n".join([str(source), *lines]).encode()
