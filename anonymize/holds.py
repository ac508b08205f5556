"""What could not be judged, kept where only its owner can read it, until a person has decided.

    quarantine/held/ID/file.dcm      the file as it came
    quarantine/held/ID/hold.json     why, when, of which new study and series; no patient data
    quarantine/held/ID/picture.png   its first frame, when it can be decoded

Letters and viewers that travel with studies are counted and not kept: they are no part of any study.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from anonymize import headers
from anonymize.deid import Orders, deidentify
from anonymize.elements import Encoding, ParsedFile, parse_file, readable_part
from anonymize.pixels import TextBox
from anonymize.profile import object_name
from anonymize.quarantine import mapped, sha256_of
from anonymize.report import (
    DISCARDED,
    PICTURES_NAME,
    StudyLine,
    read_archive_report,
    read_report,
    save_archive_report,
    save_report,
    with_judged_file,
)
from anonymize.verdicts import save_verdict
from medviz.core.errors import BadInput, StudyUnreadable
from medviz.core.records import read_record, write_record
from medviz.core.study import FileProblem, RawStudy

NOT_KEPT = frozenset({"NOT_DICOM", "DICOMDIR", "UNREADABLE", "CHANGED_WHILE_READ"})
"""Held files of which there is nothing to look at: no copy could be made, or it is no part of a study."""
_FILE, _RECORD, _PICTURE = "file.dcm", "hold.json", "picture.png"


@dataclass(frozen=True, slots=True)
class Hold:
    """A file that waits for a person.

    Parameters
    ----------
    id : str
        What it is called by: the start of the SHA-256 of the file.
    reason : str
        Stable code.
    kind : str
        Name of the object in PS3.3, such as ``us-image``; empty when the file does not say.
    ordinal : int
        Its place in the listing of the source; a second copy of the same file has a hold of its own.
    study_uid, series_uid : str
        New UIDs; the series is empty when the file does not say.
    profile : str
        Profile under which it was held.
    sha256 : str
        Of the file as it came, 64 hexadecimal digits.
    held_at : str
        When (ISO 8601, UTC).
    has_picture : bool
        Whether its first frame can be looked at.
    """

    id: str
    reason: str
    kind: str
    ordinal: int
    study_uid: str
    series_uid: str
    profile: str
    sha256: str
    held_at: str
    has_picture: bool = False


def held_folder(home: Path) -> Path:
    """Return where held files lie."""
    return home / "quarantine" / "held"


def keep_all(
    raw: RawStudy,
    problems: Sequence[FileProblem],
    *,
    home: Path,
    profile: str,
    study_uid: str,
    is_repeated: bool = False,
    now: datetime | None = None,
) -> None:
    """Move a study's held files from its quarantine to where a person can judge them.

    What an earlier run held of the same study and this one did not is no longer waited for.
    """
    by_ordinal = {int(path.stem): path for path in raw.raw_files}
    moment = (now or datetime.now(UTC)).isoformat(timespec="seconds")
    copies: Counter[str] = Counter()
    kept: set[str] = set()
    for problem in problems:
        path = by_ordinal.get(problem.ordinal)
        if path is None or problem.reason in NOT_KEPT:
            continue
        with mapped(path) as buffer:
            sha256 = sha256_of(buffer).hex()
        copies[sha256] += 1
        hold = Hold(
            id=sha256[:12] + (f"-{copies[sha256]}" if copies[sha256] > 1 else ""),
            reason=problem.reason,
            kind="",
            ordinal=problem.ordinal,
            study_uid=study_uid,
            series_uid=problem.series_uid,
            profile=profile,
            sha256=sha256,
            held_at=moment,
        )
        _keep(path, hold, home)
        kept.add(hold.id)
    if is_repeated:
        for hold in held_files(home):
            if (hold.study_uid, hold.profile) == (study_uid, profile) and hold.id not in kept:
                discard(home, hold)


def _keep(raw_path: Path, hold: Hold, home: Path) -> None:
    """Move a file to its hold; the record comes last, so that a hold that is listed is whole."""
    folder = held_folder(home) / hold.id
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    kind, picture = _look_at(raw_path)
    if picture:
        _write_owner_only(folder / _PICTURE, picture)
    raw_path.replace(folder / _FILE)
    write_record(folder / _RECORD, replace(hold, kind=kind, has_picture=bool(picture)))


def _look_at(raw_path: Path) -> tuple[str, bytes]:
    """Return what a file is and a PNG of its first frame; empty where it does not let itself be read."""
    from anonymize.pictures import preview

    try:
        with mapped(raw_path) as buffer:
            front = ParsedFile(b"", (), "", Encoding(True, True), readable_part(buffer), None, ())
            kind = object_name(headers.sop_class_of(front))
            try:
                return kind, preview(parse_file(buffer))
            except Exception:  # the door of one picture: a help for the person who judges; it may be missing
                return kind, b""
    except OSError:
        return "", b""


def _write_owner_only(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)


def held_files(home: Path) -> Iterator[Hold]:
    """Give every file that waits, by its name."""
    for path in sorted(held_folder(home).glob(f"*/{_RECORD}")):
        yield read_record(path, Hold)


def find_holds(home: Path, name: str) -> tuple[Hold, ...]:
    """Return the hold of that name, or all holds of a series or study by its new UID.

    Raises
    ------
    BadInput
        If there is none (``HOLD_UNKNOWN``).
    """
    found = tuple(
        hold for hold in held_files(home) if name in (hold.id, hold.sha256, hold.series_uid, hold.study_uid)
    )
    if not found or not name:
        raise BadInput(
            "No held file has this name.", reason="HOLD_UNKNOWN", mend="`medviz deid held` lists them."
        )
    return found


def raw_file_of(home: Path, hold: Hold) -> Path:
    """Return the held file as it came."""
    return held_folder(home) / hold.id / _FILE


def picture_of(home: Path, hold: Hold) -> Path:
    """Return the picture of a held file's first frame."""
    return held_folder(home) / hold.id / _PICTURE


def discard(home: Path, hold: Hold) -> None:
    """Delete a held file for good."""
    shutil.rmtree(held_folder(home) / hold.id)


def purge(home: Path, *, days: int, now: datetime | None = None) -> int:
    """Delete what has waited longer than `days`, and copies that stopped runs left; return how many files."""
    limit = (now or datetime.now(UTC)) - timedelta(days=days)
    old = [hold for hold in held_files(home) if datetime.fromisoformat(hold.held_at) < limit]
    for hold in old:
        discard(home, hold)
    for folder in (home / "quarantine" / "archives").glob("*/"):
        if datetime.fromtimestamp(folder.stat().st_mtime, UTC) < limit:
            shutil.rmtree(folder, ignore_errors=True)
    return len(old)


# --- what a person decided ---


def judge(hold: Hold, out: Path, orders: Orders, *, home: Path, boxes: Sequence[TextBox] | None) -> Path:
    """De-identify a held file as a person decided, put it beside its study and return where it lies.

    Parameters
    ----------
    orders : Orders
        As for the study; with `keeps_face` the file says that a face may be recognised.
    boxes : sequence of TextBox or None
        What to fill on every frame, may be empty; None to decide nothing about the picture.

    Raises
    ------
    StudyUnreadable
        If something else still speaks against it; it stays held.
    BadInput
        If `out` does not hold the study (``STUDY_UNKNOWN``).
    """
    folder = out / hold.study_uid
    _check_study(folder)
    if boxes is not None:
        tools = replace(orders.tools, verdicts={**orders.tools.verdicts, hold.sha256: tuple(boxes)})
        orders = replace(orders, tools=tools)
    staged = out / f".{hold.study_uid}.new"
    shutil.rmtree(staged, ignore_errors=True)
    try:
        placed = _judged_alone(hold, staged, orders, home=home)
        target = _join(hold, placed, staged, folder, out)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    if boxes is not None:
        save_verdict(home, hold.sha256, boxes)
    discard(home, hold)
    return target


def _check_study(folder: Path) -> None:
    if not (folder / "deidentification.json").is_file():
        raise BadInput(
            "The output folder does not hold the study of this file.",
            reason="STUDY_UNKNOWN",
            mend="Give with --out the folder that the study was de-identified into.",
        )


def _judged_alone(hold: Hold, staged: Path, orders: Orders, *, home: Path) -> Path:
    """De-identify a held file; the other held files of its study help to know whom it speaks of."""
    copies = held_folder(home) / hold.id / "judging"
    shutil.rmtree(copies, ignore_errors=True)
    copies.mkdir(mode=0o700)
    try:
        path = copies / f"{hold.ordinal:06d}.dcm"
        os.link(raw_file_of(home, hold), path)
        others = [raw_file_of(home, other) for other in find_holds(home, hold.study_uid) if other != hold]
        raw = RawStudy(copies, (path,))
        study = deidentify(raw, staged, orders, keeps_empty=True, also_learn_from=others)
    finally:
        shutil.rmtree(copies, ignore_errors=True)
    if not study.files:
        reason = study.problems[0].reason if study.problems else hold.reason
        raise StudyUnreadable(
            "Something else speaks against this file.",
            reason=reason,
            mend="It stays held. Discard it, or ask the sender for it again.",
        )
    return study.files[0]


def _join(hold: Hold, placed: Path, staged: Path, folder: Path, out: Path) -> Path:
    """Move a judged file into its study's folder, and say so in the study's report and the index."""
    report, judged = read_report(folder), read_report(staged)
    name = _free_name(placed.name, {file.name for file in report.files})
    judged = replace(judged, files=tuple(replace(file, name=name) for file in judged.files))
    placed.replace(folder / name)
    for picture in (staged / PICTURES_NAME).glob("*.png"):
        (folder / PICTURES_NAME).mkdir(exist_ok=True)
        picture.replace(folder / PICTURES_NAME / picture.name)
    save_report(folder, with_judged_file(report, judged, ordinal=hold.ordinal))
    update_index(out, hold.study_uid, hold.reason, written=1)
    return folder / name


def _free_name(name: str, taken: set[str]) -> str:
    stem, number = name.removesuffix(".dcm"), 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}.dcm"
    return name


def forget(hold: Hold, out: Path, *, home: Path) -> None:
    """Discard a held file and say in its study's report that it was discarded."""
    folder = out / hold.study_uid
    _check_study(folder)
    report = read_report(folder)
    problems = tuple(
        replace(problem, reason=DISCARDED) if problem.ordinal == hold.ordinal else problem
        for problem in report.problems
    )
    save_report(folder, replace(report, problems=problems))
    update_index(out, hold.study_uid, hold.reason, written=0)
    discard(home, hold)


def update_index(out: Path, study_uid: str, reason: str, *, written: int) -> None:
    """Change the index of an archive after one held file was judged: written, or discarded."""
    report = read_archive_report(out)
    lines = tuple(
        _changed(line, reason, written) if line.study_uid == study_uid else line for line in report.studies
    )
    save_archive_report(out, replace(report, studies=lines))


def _changed(line: StudyLine, reason: str, written: int) -> StudyLine:
    held = dict(line.held)
    held[reason] = held.get(reason, 0) - 1
    if not written:
        held[DISCARDED] = held.get(DISCARDED, 0) + 1
    left = tuple(sorted((name, count) for name, count in held.items() if count > 0))
    return replace(line, written=line.written + written, held=left)
