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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from anonymize import headers
from anonymize.denylist import DenyList
from anonymize.elements import Element, ParsedFile, encode_element, parse_file, readable_part
from anonymize.judge import Judge, Place
from anonymize.keys import ProjectKeys, project_keys
from anonymize.pixels import TextFinder, without_burned_in_text
from anonymize.profile import Profile, load_profile
from anonymize.prose import PresidioReader, ProseReader
from anonymize.quarantine import admit, mapped, sha256_of
from anonymize.report import REPORT_NAME, FileProof, build_report, read_report, save_report
from anonymize.text import TextCleaner
from anonymize.uids import new_uid
from medviz.core.errors import BadInput, StorageFull, StudyUnreadable
from medviz.core.progress import Progress, silent
from medviz.core.study import DeidentifiedStudy, FileProblem, RawStudy

_MOST_SEEN = 100_000


@dataclass(slots=True)
class _Work:
    """What grows while a study is de-identified."""

    judge: Judge
    keys: ProjectKeys
    finder: TextFinder | None
    folder: Path
    actions: Counter[tuple[int, str]] = field(default_factory=Counter)
    proofs: list[FileProof] = field(default_factory=list)
    problems: list[FileProblem] = field(default_factory=list)


def deidentify(
    raw: RawStudy,
    folder: Path,
    *,
    profile: Profile,
    keys: ProjectKeys,
    ocr: TextFinder | None = None,
    prose: ProseReader | None = None,
    progress: Progress = silent,
) -> DeidentifiedStudy:
    """Write the de-identified files and the report into `folder`; the same input gives the same bytes.

    Parameters
    ----------
    ocr : TextFinder or None
        Finds text in pictures; without it, every picture that may carry text is held.
    prose : ProseReader or None
        Finds names in sentences; presidio when None.

    Raises
    ------
    StudyUnreadable
        If no image is left (``NOTHING_LEFT``); the folder is then not made.
    BadInput
        If the folder holds something else (``FOLDER_IN_USE``).
    StorageFull
        If the disk ran out; the half copy is gone again.
    """
    deny = learn(raw, progress=lambda done, figure: progress(0.3 * done, figure))
    judge = Judge(profile, keys, TextCleaner(deny, prose or PresidioReader()))
    with _fresh_folder(folder) as partial:
        work = _Work(judge, keys, ocr, partial, problems=list(raw.problems))
        for index, path in enumerate(raw.raw_files):
            progress(0.3 + 0.7 * index / len(raw.raw_files), f"file {index + 1} of {len(raw.raw_files)}")
            _deidentify_file(path, work)
        _check_something_left(work)
        problems = sorted(work.problems, key=lambda problem: problem.ordinal)
        save_report(partial, build_report(profile, work.actions, work.proofs, problems))
    progress(1.0, f"{len(work.proofs)} files")
    return read_deidentified(folder)


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


def deidentify_path(
    source: Path,
    out: Path,
    *,
    profile_name: str,
    settings_home: Path,
    most_unpacked_gb: float = 20.0,
    ocr: TextFinder | None = None,
    progress: Progress = silent,
) -> DeidentifiedStudy:
    """De-identify whatever lies at `source` into `out`; the quarantine is deleted afterwards.

    Raises
    ------
    StudyUnreadable, BadInput, StorageFull
        As `admit` and `deidentify` do.
    """
    profile, keys = load_profile(profile_name), project_keys(settings_home)
    quarantine = settings_home / "quarantine"
    quarantine.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=quarantine) as place:
        raw = admit(
            source,
            Path(place) / "raw",
            most_unpacked_gb=most_unpacked_gb,
            progress=lambda done, figure: progress(0.2 * done, figure),
        )
        return deidentify(
            raw,
            out,
            profile=profile,
            keys=keys,
            ocr=ocr,
            progress=lambda done, figure: progress(0.2 + 0.8 * done, figure),
        )


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
            series = _series_of(readable_part(buffer), work.keys)
            work.problems.append(FileProblem(error.reason, ordinal, series))


def _series_of(elements: tuple[Element, ...], keys: ProjectKeys) -> str:
    value = next((element.value for element in elements if element.tag == headers.SERIES), b"")
    text = value.decode("utf-8", "surrogateescape").strip(" \0")
    return new_uid(keys, text) if text else ""


def _write_file(parsed: ParsedFile, kind: str, content: bytes, work: _Work) -> None:
    profile, frames, boxes, cleans = work.judge.profile, 0, 0, headers.may_carry_text(parsed, kind)
    if cleans:
        parsed, frames, boxes = without_burned_in_text(
            parsed, work.finder if profile.cleans_pixels else None, work.judge.cleaner.deny
        )
    person = headers.person_of(parsed, work.keys)
    place = Place(kind, 0, parsed.encoding, headers.character_set_of(parsed), person)
    kept, actions = work.judge.judged_all(parsed.elements, place)
    actions.update((tag, "removed") for tag in parsed.trailing_tags)
    uids = headers.fixed_uids(parsed, work.keys, content)
    sop_class = headers.sop_class_of(parsed)
    replaced = headers.statement(profile, parsed.encoding, pixels_cleaned=cleans, kind=kind)
    for tag, uid in {headers.SOP_CLASS: sop_class, **uids}.items():
        replaced[tag] = encode_element(tag, "UI", uid.encode(), parsed.encoding)
    start = headers.file_start(sop_class, uids[headers.SOP_INSTANCE], parsed.syntax)
    target = _free_name(work.folder, uids[headers.SOP_INSTANCE])
    digest = _write(target, [start, headers.joined(kept, replaced), headers.pixel_header(parsed)], parsed)
    work.actions.update(actions)
    hmac = work.keys.digest("input", content).hex()
    work.proofs.append(FileProof(target.name, hmac, digest, frames, boxes))


def _write(target: Path, parts: list[bytes], parsed: ParsedFile) -> str:
    """Write header parts and the pixel element, and return the SHA-256 of the whole."""
    digest = hashlib.sha256()
    with target.open("wb") as stream:
        for part in chain(parts, headers.pixel_value(parsed)):
            stream.write(part)
            digest.update(part)
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
