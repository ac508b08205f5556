"""The copy that leaves: staged out of sight, read back byte by byte, and made visible all at once."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from medviz.core.errors import NotAllowed, NotAvailable, StorageFull
from medviz.core.manifest import ManifestEntry, manifest_of
from review.queue import QueuedDraft, bytes_changed, is_unchanged

_CHUNK_BYTES = 1 << 20


@contextmanager
def one_at_a_time(home: Path) -> Iterator[None]:
    """Let one release of a site run at a time; the lock goes with its process."""
    with (home / "release.lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def refuse_inside(final: Path, cases: Path) -> None:
    """Refuse a target among the cases themselves: a copy there would change a draft.

    Raises
    ------
    NotAllowed
        If it is there (``TARGET_INSIDE_CASES``).
    """
    if final.resolve().is_relative_to(cases.resolve()):
        raise NotAllowed(
            "The target lies among the cases.",
            reason="TARGET_INSIDE_CASES",
            mend="Release into another folder.",
        )


def refuse_existing(final: Path) -> None:
    """Refuse a target that holds anything.

    Raises
    ------
    NotAllowed
        If it does (``TARGET_EXISTS``).
    """
    if os.path.lexists(final):
        raise NotAllowed(
            "The target holds a folder of this case already.",
            reason="TARGET_EXISTS",
            mend="Release into another folder.",
        )


@contextmanager
def staging(final: Path) -> Iterator[Path]:
    """Make a hidden folder beside the target, removed whatever happens; what a dead run left goes too."""
    final.parent.mkdir(parents=True, exist_ok=True)
    for leftover in final.parent.glob(f".{final.name}.*.partial"):
        shutil.rmtree(leftover, ignore_errors=True)
    folder = final.parent / f".{final.name}.{secrets.token_hex(8)}.partial"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def copy_checked(draft: QueuedDraft, folder: Path) -> None:
    """Copy the manifest's files, then read back what arrived: only that is compared, so no race can matter.

    Raises
    ------
    NotAllowed
        If the draft is not exactly its manifest (``BYTES_CHANGED``).
    NotAvailable
        If it is, but other bytes arrived (``COPY_DAMAGED``).
    """
    if not is_unchanged(draft):
        raise bytes_changed()
    for entry in draft.manifest.entries:
        _copy(draft.folder, entry, folder)
    if manifest_of(folder) == draft.manifest:
        return
    if not is_unchanged(draft):
        raise bytes_changed()
    raise NotAvailable(
        "The copy does not hold the signed bytes.", reason="COPY_DAMAGED", mend="Release to another disk."
    )


def _copy(source_folder: Path, entry: ManifestEntry, folder: Path) -> None:
    relative = PurePosixPath(entry.path)
    if relative.is_absolute() or ".." in relative.parts:
        raise bytes_changed()
    copy = folder / relative
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        source = os.open(source_folder / relative, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        raise bytes_changed() from None
    with os.fdopen(source, "rb") as reader, copy.open("xb") as writer:
        shutil.copyfileobj(reader, writer, _CHUNK_BYTES)
        writer.flush()
        os.fsync(writer.fileno())


def write_paper(path: Path, text: str) -> None:
    """Write the paper that lies beside the files."""
    with path.open("x", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def appear(folder: Path, final: Path) -> None:
    """Rename the finished folder into place: a reader sees all of it or nothing."""
    for inner in (*(path for path in folder.rglob("*") if path.is_dir()), folder):
        _to_disk(inner)
    with suppress(PermissionError):  # some disks know no permissions
        folder.chmod(0o755)
    refuse_existing(final)
    folder.rename(final)
    with suppress(OSError):  # it is there: nothing may fail after this
        _to_disk(final.parent)


def _to_disk(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def told_if_full() -> Iterator[None]:
    """Turn what the system says about the target into an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageFull(
                "The target has no room; nothing was left there.", mend="Free some room, or choose another."
            ) from None
        raise NotAvailable(
            "The target cannot be written.",
            reason="TARGET_UNWRITABLE",
            mend="Choose a folder you may write to.",
        ) from None
