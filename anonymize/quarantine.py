"""Takes in what was handed over: a folder, a zip, a DICOMDIR or a file, copied to where only we can read it.

Names of files may hold a patient's name, so the copies are numbered. Nothing is written outside the
quarantine, and what would not fit, or tries to climb out, is refused before it is unpacked.
"""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from anonymize.elements import Buffer, looks_like_dicom
from anonymize.sources import Entry, OpenArchive, Source, SourceFile, open_source
from medviz.core.errors import StorageFull, StudyUnreadable
from medviz.core.progress import Progress, silent
from medviz.core.records import write_text_atomically
from medviz.core.study import FileProblem, RawStudy

_RECORD = "intake.json"
_CHUNK_BYTES = 1 << 20


def admit(
    source: Path, raw_folder: Path, *, most_unpacked_gb: float = 20.0, progress: Progress = silent
) -> RawStudy:
    """Copy a study into quarantine and return it; admitting the same source again returns the same study.

    Parameters
    ----------
    source : Path
        A folder, a zip, a DICOMDIR (or a folder that holds one), or a single file.
    raw_folder : Path
        Where the copies go; made readable by its owner alone.
    most_unpacked_gb : float
        The most an archive may unpack to, in gigabytes.

    Raises
    ------
    StudyUnreadable
        ``SOURCE_MISSING``, ``EMPTY_FOLDER``, ``NO_DICOM``, ``SOURCE_UNREADABLE`` or ``ARCHIVE_UNSAFE``.
    StorageFull
        If the disk ran out; the half copy is gone again.
    """
    with _storage_guard(), open_source(source, most_unpacked_gb=most_unpacked_gb) as opened:
        if opened.fingerprint == _admitted_fingerprint(raw_folder):
            return _read_admitted(raw_folder)
        with _fresh_folder(raw_folder) as folder:
            _copy_all(opened, folder, progress)
    return _read_admitted(raw_folder)


def _copy_all(opened: Source, folder: Path, progress: Progress) -> None:
    problems: list[FileProblem] = [FileProblem("UNREADABLE", 0) for _ in range(opened.missing)]
    total = len(opened.files)
    for ordinal, file in enumerate(opened.files, start=1):
        progress((ordinal - 1) / total, f"file {ordinal} of {total}")
        reason = _copy(file, folder / f"{ordinal:06d}.dcm")
        if reason:
            problems.append(FileProblem(reason, ordinal))
    if len(problems) - opened.missing == total:
        raise StudyUnreadable(
            "Nothing in what was given is DICOM.",
            reason="NO_DICOM",
            mend="Give the folder, zip or DICOMDIR that the archive exported.",
        )
    record = {
        "schema_version": 1,
        "fingerprint": opened.fingerprint,
        "problems": [[problem.reason, problem.ordinal] for problem in problems],
    }
    write_text_atomically(folder / _RECORD, json.dumps(record) + "\n")
    progress(1.0, f"{total} files")


def _copy(file: SourceFile, target: Path) -> str:
    """Copy one file; return why it is not taken, or an empty string."""
    try:
        with file.open() as stream:
            head = stream.read(_CHUNK_BYTES)
            if not looks_like_dicom(head):
                return "NOT_DICOM"
            _write_owner_only(target, head, stream)
    except (PermissionError, FileNotFoundError, IsADirectoryError):
        return "UNREADABLE"
    return ""


def take(archive: OpenArchive, entry: Entry, target: Path) -> str:
    """Copy one file of an archive; return why it cannot be taken, or an empty string.

    ``UNREADABLE`` when it is gone or damaged, ``CHANGED_WHILE_READ`` when it is no longer what was listed.
    """
    try:
        with archive.open(entry.untrusted_path) as stream:
            _write_owner_only(target, b"", stream)
            stamp = _stamp_of(stream)
    except StudyUnreadable as error:
        reason = error.reason
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
        reason = "UNREADABLE"
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        reason = "UNREADABLE"
    else:
        is_same = target.stat().st_size == entry.size_bytes and stamp in (None, entry.stamp)
        reason = "" if is_same else "CHANGED_WHILE_READ"
    if reason:
        target.unlink(missing_ok=True)
    return reason


def _stamp_of(stream: IO[bytes]) -> int | None:
    """Return when an open file was changed, in nanoseconds; None for an entry of a zip."""
    try:
        return os.fstat(stream.fileno()).st_mtime_ns
    except OSError:
        return None


def _write_owner_only(target: Path, head: bytes, rest: IO[bytes]) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(head)
        shutil.copyfileobj(rest, stream, _CHUNK_BYTES)


@contextmanager
def _fresh_folder(folder: Path) -> Iterator[Path]:
    """Give an owner-only folder that takes the place of `folder` when all went well, and vanishes if not."""
    partial = folder.with_name(f".{folder.name}.partial")
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    try:
        yield partial
        if folder.exists():
            _remove_quarantine(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _remove_quarantine(folder: Path) -> None:
    """Remove an earlier quarantine; any other folder with content is somebody's and stays."""
    if any(folder.iterdir()) and not (folder / _RECORD).is_file():
        raise StudyUnreadable(
            "The quarantine folder holds other files.", reason="FOLDER_IN_USE", mend="Choose an empty folder."
        )
    shutil.rmtree(folder)


def _admitted_fingerprint(folder: Path) -> str:
    try:
        return str(json.loads((folder / _RECORD).read_text(encoding="utf-8"))["fingerprint"])
    except (OSError, ValueError, KeyError):
        return ""


def _read_admitted(folder: Path) -> RawStudy:
    record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    problems = tuple(FileProblem(reason, ordinal) for reason, ordinal in record["problems"])
    return RawStudy(folder, tuple(sorted(folder.glob("*.dcm"))), problems)


@contextmanager
def _storage_guard() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                "The disk is full.", mend="Free some room and run the same command again."
            ) from None
        raise StudyUnreadable(
            "The study could not be read or copied.",
            reason="SOURCE_UNREADABLE",
            mend="Check the rights on the source and on the quarantine folder.",
        ) from None


@contextmanager
def mapped(path: Path) -> Iterator[Buffer]:
    """Give a file's bytes without loading them; an empty file gives no bytes."""
    with path.open("rb") as stream:
        if os.fstat(stream.fileno()).st_size == 0:
            yield b""
            return
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
            yield buffer


def sha256_of(buffer: Buffer) -> bytes:
    """Return the SHA-256 of a buffer, 32 bytes."""
    return hashlib.sha256(buffer).digest()
