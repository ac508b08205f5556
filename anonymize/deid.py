"""A study loses its name: raw files in, de-identified files and the proof out.

Two readings: the first learns from all headers whom the study speaks of, the second judges every element.
A file that cannot be judged is held with a reason and never stops the rest.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Protocol

from anonymize import contents, headers
from anonymize.contents import Tools
from anonymize.denylist import DenyList
from anonymize.elements import Buffer, Element, ParsedFile, encode_element, parse_file, readable_part
from anonymize.escrow import SealedEscrow, has_escrow
from anonymize.faces import BrainFinder, Face, FaceProof, Faces, look_for_faces
from anonymize.judge import Judge, Person, Place
from anonymize.keys import ProjectKeys, project_keys
from anonymize.ocr import text_finder
from anonymize.profile import Profile, load_profile
from anonymize.prose import PresidioReader, ProseReader
from anonymize.quarantine import admit, mapped, sha256_of
from anonymize.report import (
    MOST_PICTURES,
    PICTURES_NAME,
    REPORT_NAME,
    FaceLine,
    FileProof,
    build_report,
    read_report,
    save_report,
)
from anonymize.text import TextCleaner
from anonymize.uids import new_uid
from anonymize.verdicts import read_verdicts
from medviz.core.errors import BadInput, MedVizError, StorageFull, StudyUnreadable
from medviz.core.progress import Progress, silent
from medviz.core.records import write_text_atomically
from medviz.core.study import DeidentifiedStudy, FileProblem, RawStudy

NOTES_NAME = "notes.txt"
_MOST_SEEN = 100_000


class Escrow(Protocol):
    """Takes down what became of what, for those who may re-identify."""

    def note(self, kind: str, raw_original: str, new: str) -> None:
        """Remember that `raw_original` became `new`; the kinds are patient, days, study, series, instance."""

    def seal(self) -> None:
        """Put what was noted on disk; called before the files that it speaks of appear."""


@dataclass(frozen=True, slots=True)
class Orders:
    """How a study is to be de-identified, and with what.

    Parameters
    ----------
    profile : Profile
        What happens to which attribute.
    keys : ProjectKeys
        What new UIDs, pseudonyms and date shifts are made with.
    tools : Tools
        What contents are judged with.
    prose : ProseReader or None
        Finds names in sentences; presidio when None.
    brain : BrainFinder or None
        Finds the brain in MR; without it, an MR series that may show a face is held.
    keeps_face : bool
        Whether faces stay because the operation is planned on them; every file then says so.
    faces : Path or None
        Folder in which faces found are remembered, for objects of the same head that come later.
    escrow : Escrow or None
        Takes down what became of what.
    raw_notes : str
        Free text of the plan; what is left of it without people is written beside the study.
    """

    profile: Profile
    keys: ProjectKeys
    tools: Tools = field(default_factory=Tools)
    prose: ProseReader | None = None
    brain: BrainFinder | None = None
    keeps_face: bool = False
    faces: Path | None = None
    escrow: Escrow | None = None
    raw_notes: str = field(default="", repr=False)


def make_orders(
    profile_name: str,
    *,
    settings_home: Path,
    threads: int = 1,
    brain: BrainFinder | None = None,
    keeps_face: bool = False,
) -> Orders:
    """Return the orders for a profile with this house's keys, escrow, verdicts and what is installed here.

    Raises
    ------
    BadInput
        If there is no such profile, or the key is damaged.
    """
    keys = project_keys(settings_home)
    return Orders(
        load_profile(profile_name),
        keys,
        tools=Tools(text_finder(threads=threads), read_verdicts(settings_home)),
        brain=brain,
        keeps_face=keeps_face,
        faces=settings_home / "faces",
        escrow=SealedEscrow(settings_home, keys) if has_escrow(settings_home) else None,
    )


@dataclass(slots=True)
class _Work:
    """What grows while a study is de-identified."""

    orders: Orders
    judge: Judge
    faces: Faces | None
    folder: Path
    actions: Counter[tuple[int, str]] = field(default_factory=Counter)
    proofs: list[FileProof] = field(default_factory=list)
    problems: list[FileProblem] = field(default_factory=list)
    pictures: int = 0


def deidentify(
    raw: RawStudy,
    folder: Path,
    orders: Orders,
    *,
    progress: Progress = silent,
    keeps_empty: bool = False,
    also_learn_from: Sequence[Path] = (),
) -> DeidentifiedStudy:
    """Write the de-identified files and the report into `folder`; the same input gives the same bytes.

    Parameters
    ----------
    keeps_empty : bool
        Whether a study of which nothing is left still gets its folder and report.
    also_learn_from : sequence of Path
        Raw files of the same study that only help to know whom it speaks of.

    Raises
    ------
    StudyUnreadable
        If no object is left (``NOTHING_LEFT``); the folder is then not made.
    BadInput
        If the folder holds something else (``FOLDER_IN_USE``).
    StorageFull
        If the disk ran out; the half copy is gone again.
    """
    heard = replace(raw, raw_files=(*raw.raw_files, *also_learn_from))
    deny = learn(heard, progress=_part(progress, 0.0, 0.2))
    faces = _faces(raw, orders, _part(progress, 0.2, 0.3))
    cleaner = TextCleaner(deny, orders.prose or PresidioReader(), orders.profile.text)
    judge = Judge(orders.profile, orders.keys, cleaner)
    with _fresh_folder(folder) as partial:
        work = _Work(orders, judge, faces, partial, problems=list(raw.problems))
        tell = _part(progress, 0.3, 1.0)
        for index, path in enumerate(raw.raw_files):
            tell(index / len(raw.raw_files), f"file {index + 1} of {len(raw.raw_files)}")
            _deidentify_file(path, work)
        if not keeps_empty:
            _check_something_left(work)
        _save_notes(work)
        _save_report(work)
        if orders.escrow is not None:
            orders.escrow.seal()
    progress(1.0, f"{len(work.proofs)} files")
    return read_deidentified(folder)


def _part(progress: Progress, start: float, end: float) -> Progress:
    """Return a listener for one part of the work, from `start` to `end` of the whole."""
    return lambda done, figure: progress(start + (end - start) * done, figure)


def _faces(raw: RawStudy, orders: Orders, progress: Progress) -> Faces | None:
    if orders.keeps_face or not orders.profile.cleans_faces:
        return None
    return look_for_faces(
        raw.raw_files,
        brain=orders.brain,
        keys=orders.keys,
        memory=orders.faces,
        removes_ears=orders.profile.removes_ears,
        progress=progress,
    )


def _save_notes(work: _Work) -> None:
    lines = [work.judge.cleaner.cleaned(line) for line in work.orders.raw_notes.splitlines()]
    if any(lines):
        write_text_atomically(work.folder / NOTES_NAME, "\n".join(lines) + "\n")


def read_notes(folder: Path) -> str:
    """Return the plan's notes without people, as `deidentify` wrote them; empty when there were none."""
    path = folder / NOTES_NAME
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def _save_report(work: _Work) -> None:
    problems = sorted(work.problems, key=lambda problem: problem.ordinal)
    found = work.faces.proofs() if work.faces else ()
    faces = [_face_line(proof, number, work) for number, proof in enumerate(found)]
    save_report(
        work.folder, build_report(work.orders.profile, work.actions, work.proofs, problems, faces=faces)
    )


def _face_line(proof: FaceProof, number: int, work: _Work) -> FaceLine:
    """Return what was done about a series' face, under its new UID, its picture saved beside the report."""
    uid = new_uid(work.orders.keys, proof.raw_series_uid) if proof.raw_series_uid else ""
    picture = _save_picture(f"face-{number + 1}", proof.picture, work)
    return FaceLine(uid, proof.face, proof.told, proof.removed_ml, proof.moved_mm, picture)


def _save_picture(name: str, picture: bytes, work: _Work) -> str:
    """Keep a picture for the report and return its path there; empty when there is none, or enough."""
    folder = work.folder / PICTURES_NAME
    if not picture or work.pictures >= MOST_PICTURES:
        return ""
    work.pictures += 1
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.png").write_bytes(picture)
    return f"{PICTURES_NAME}/{name}.png"


def read_deidentified(folder: Path) -> DeidentifiedStudy:
    """Return the study that `deidentify` wrote into `folder`.

    Raises
    ------
    BadInput
        If there is none (``NOT_DEIDENTIFIED``).
    """
    if not (folder / REPORT_NAME).is_file():
        raise BadInput(
            "This folder holds no de-identified study.",
            reason="NOT_DEIDENTIFIED",
            mend="Run the de-identification first.",
        )
    report = read_report(folder)
    files = tuple(folder / file.name for file in report.files)
    return DeidentifiedStudy(folder, files, report.profile, report.problems)


def faces_told(folder: Path) -> str:
    """Return in one sentence what was done about the faces of the study in `folder`."""
    report = read_report(folder)
    cut = [line for line in report.faces if line.face == Face.REMOVED]
    if any(file.face == Face.IN_VIEW for file in report.files):
        return "A face can be recognised in them."
    if not cut:
        return "No face is in view."
    return (
        f"The face was taken off {len(cut)} series ({max(line.removed_ml for line in cut):.0f} ml at most)."
    )


def deidentify_path(
    source: Path,
    out: Path,
    orders: Orders,
    *,
    settings_home: Path,
    most_unpacked_gb: float = 20.0,
    progress: Progress = silent,
) -> DeidentifiedStudy:
    """De-identify whatever lies at `source` into `out`; the quarantine is deleted afterwards.

    Raises
    ------
    StudyUnreadable, BadInput, StorageFull
        As `admit` and `deidentify` do.
    """
    quarantine = settings_home / "quarantine"
    quarantine.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=quarantine) as place:
        raw = admit(
            source,
            Path(place) / "raw",
            most_unpacked_gb=most_unpacked_gb,
            progress=_part(progress, 0.0, 0.2),
        )
        return deidentify(raw, out, orders, progress=_part(progress, 0.2, 1.0))


def learn(raw: RawStudy, *, progress: Progress = silent) -> DenyList:
    """Return what all headers of a study say about people, numbers, dates and places."""
    deny, seen = DenyList(), set[Element]()
    for index, path in enumerate(raw.raw_files):
        progress(index / len(raw.raw_files), f"header {index + 1} of {len(raw.raw_files)}")
        if len(seen) > _MOST_SEEN:
            seen.clear()
        try:
            with mapped(path) as buffer:
                headers.collect(parse_file(buffer), deny, seen)
        except StudyUnreadable:
            continue  # the second reading says why
    return deny


def _deidentify_file(path: Path, work: _Work) -> None:
    ordinal = int(path.stem)
    with mapped(path) as buffer:
        try:
            parsed = parse_file(buffer)
            kind = headers.check_kind(parsed)
            _write_file(parsed, kind, sha256_of(buffer), work)
        except StudyUnreadable as error:
            _hold(error.reason, ordinal, buffer, work)
        except (MedVizError, OSError):
            raise
        except Exception:  # the door of one file: what nobody foresaw holds it and never stops the rest
            _hold("UNFORESEEN", ordinal, buffer, work)


def _hold(reason: str, ordinal: int, buffer: Buffer, work: _Work) -> None:
    series = _series_of(readable_part(buffer), work.orders.keys)
    work.problems.append(FileProblem(reason, ordinal, series))


def _series_of(elements: tuple[Element, ...], keys: ProjectKeys) -> str:
    value = next((element.value for element in elements if element.tag == headers.SERIES), b"")
    text = value.decode("utf-8", "surrogateescape").strip(" \0")
    return new_uid(keys, text) if text else ""


def _write_file(parsed: ParsedFile, kind: str, content: bytes, work: _Work) -> None:
    profile, keys = work.orders.profile, work.orders.keys
    person = headers.person_of(parsed, keys)
    uids = headers.fixed_uids(parsed, keys, profile)
    _take_down(parsed, person, uids, work.orders.escrow)
    parsed, proof = contents.cleaned(
        parsed,
        kind,
        profile=profile,
        cleaner=work.judge.cleaner,
        tools=work.orders.tools,
        sha256=content.hex(),
    )
    parsed, face = work.faces.without_face(parsed, kind) if work.faces else (parsed, Face.IN_VIEW)
    place = Place(kind, 0, parsed.encoding, headers.character_set_of(parsed), person)
    kept, actions = work.judge.judged_all(parsed.elements, place)
    actions.update((tag, "removed") for tag in parsed.trailing_tags)
    sop_class = headers.sop_class_of(parsed)
    replaced = headers.statement(
        profile, parsed.encoding, pixels_cleaned=proof.is_cleaned, shows_face=face is Face.IN_VIEW
    )
    for tag, uid in {headers.SOP_CLASS: sop_class, **uids}.items():
        replaced[tag] = encode_element(tag, "UI", uid.encode(), parsed.encoding)
    start = headers.file_start(sop_class, uids[headers.SOP_INSTANCE], parsed.syntax)
    target = _free_name(work.folder, uids[headers.SOP_INSTANCE])
    digest = _write(target, [start, headers.joined(kept, replaced), headers.pixel_header(parsed)], parsed)
    work.actions.update(actions)
    work.proofs.append(
        FileProof(
            target.name,
            keys.digest("input", content).hex(),
            digest,
            proof.frames_read,
            proof.boxes_filled,
            kind=kind,
            is_read=proof.is_cleaned,
            face=face,
            notes=proof.notes,
            picture=_save_picture(target.stem, proof.picture, work),
        )
    )


def _take_down(parsed: ParsedFile, person: Person, uids: dict[int, str], escrow: Escrow | None) -> None:
    """Tell the escrow what became of the patient and of the file's UIDs."""
    if escrow is None:
        return
    raw_patient = "|".join(headers.text_of(parsed, tag) for tag in headers.WHO)
    escrow.note("patient", raw_patient, person.identifier)
    escrow.note("days", person.identifier, str(person.days))
    for kind, tag in (
        ("study", headers.STUDY),
        ("series", headers.SERIES),
        ("instance", headers.SOP_INSTANCE),
    ):
        escrow.note(kind, headers.text_of(parsed, tag), uids[tag])


def _write(target: Path, parts: list[bytes], parsed: ParsedFile) -> str:
    """Write header parts and the pixel element, and return the SHA-256 of the whole; all of it or nothing."""
    digest = hashlib.sha256()
    try:
        with target.open("wb") as stream:
            for part in chain(parts, headers.pixel_value(parsed)):
                stream.write(part)
                digest.update(part)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return digest.hexdigest()


def _free_name(folder: Path, instance: str) -> Path:
    """Return a path named by the instance; a second file of one instance is told apart by a number."""
    path, number = folder / f"{instance}.dcm", 1
    while path.exists():
        number += 1
        path = folder / f"{instance}-{number}.dcm"
    return path


def _check_something_left(work: _Work) -> None:
    if work.proofs:
        return
    reasons = Counter(problem.reason for problem in work.problems)
    raise StudyUnreadable(
        f"No image of the study could be taken ({', '.join(sorted(reasons)) or 'it is empty'}).",
        reason="NOTHING_LEFT",
        mend="Send the CT or MR series again from the archive.",
    )


@contextmanager
def _fresh_folder(folder: Path) -> Iterator[Path]:
    """Give a folder that takes the place of `folder` when all went well, and vanishes if not."""
    if folder.exists() and any(folder.iterdir()) and not (folder / REPORT_NAME).is_file():
        raise BadInput(
            "The output folder holds other files.", reason="FOLDER_IN_USE", mend="Choose an empty one."
        )
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageFull("The disk is full.", mend="Free some room and run it again.") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
