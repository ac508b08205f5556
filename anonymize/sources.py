"""What may be handed over, as files to open: a folder, a zip, a DICOMDIR, a file.

Archives are judged from their directory before a byte is unpacked, and counted again while unpacking.
`open_source` lists everything at once, for one study; `open_archive` gives entry by entry, for any number.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, Protocol, cast

from anonymize.elements import parse_file, read_items
from medviz.core.errors import StudyUnreadable

MOST_ENTRIES = 200_000
MOST_RATIO = 200.0
"""A large archive, or large entry, that shrank more than this is no study."""
SMALL_ENTRY_BYTES = 8 << 20
SMALL_ARCHIVE_BYTES = 1 << 30
_NESTED = (b"PK\x03\x04", b"\x1f\x8b\x08", b"BZh", b"7z\xbc\xaf", b"Rar!", b"\xfd7zXZ")
_REFERENCED_FILE, _RECORDS = 0x00041500, 0x00041220


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of the source: its path inside it (may hold names; never kept), its size, and how to open it."""

    untrusted_path: str
    size_bytes: int
    open: Callable[[], IO[bytes]]


class Entry(NamedTuple):
    """One file of an archive: its path inside it as bytes (may hold names), size, and when it was changed.

    `stamp` is the time of change in nanoseconds, or the checksum inside a zip. `reason` says why something
    that is there cannot be read; it is empty otherwise.
    """

    untrusted_path: bytes
    size_bytes: int
    stamp: int
    reason: str = ""


class OpenArchive(Protocol):
    """An archive that stays open."""

    def entries(self) -> Iterator[Entry]:
        """Give what is in it, in no order."""

    def open(self, untrusted_path: bytes) -> IO[bytes]:
        """Open one of the entries.

        Raises
        ------
        OSError, zipfile.BadZipFile, StudyUnreadable
            If it is gone, damaged or not what the directory said.
        """


@dataclass(frozen=True, slots=True)
class Source:
    """What was handed over: the files in a stable order, a fingerprint, and references that lead nowhere."""

    files: tuple[SourceFile, ...]
    fingerprint: str
    missing: int = 0


@contextmanager
def open_source(source: Path, *, most_unpacked_gb: float) -> Iterator[Source]:
    """Give the files of a source while it is open.

    Raises
    ------
    StudyUnreadable
        ``SOURCE_MISSING``, ``EMPTY_FOLDER`` or ``ARCHIVE_UNSAFE``.
    """
    if not source.exists():
        raise StudyUnreadable(
            "There is nothing at this path.", reason="SOURCE_MISSING", mend="Check the path."
        )
    if source.is_dir():
        yield _source_of(_folder_files(source))
    elif source.name.upper() == "DICOMDIR":
        yield _source_of(_folder_files(source.parent))
    elif zipfile.is_zipfile(source) and not _has_preamble(source):
        with _open_zip(source) as archive:
            yield _source_of(_zip_files(archive, most_bytes=int(most_unpacked_gb * 1e9)))
    else:
        yield _source_of([_path_file(source, source.name)])


@contextmanager
def open_archive(source: Path, *, most_unpacked_gb: float) -> Iterator[OpenArchive]:
    """Give an archive while it is open.

    Raises
    ------
    StudyUnreadable
        ``SOURCE_MISSING`` or ``ARCHIVE_UNSAFE``.
    """
    if not source.exists():
        raise StudyUnreadable(
            "There is nothing at this path.", reason="SOURCE_MISSING", mend="Check the path."
        )
    if source.is_dir():
        yield _Folder(source)
    elif source.name.upper() == "DICOMDIR":
        yield _Folder(source.parent)
    elif zipfile.is_zipfile(source) and not _has_preamble(source):
        with _open_zip(source) as archive:
            yield _Zip(archive, most_bytes=int(most_unpacked_gb * 1e9))
    else:
        yield _Single(source)


class _Folder:
    """A folder and what lies below it; links are not followed, they may lead anywhere."""

    def __init__(self, folder: Path) -> None:
        self._root = os.fsencode(folder)

    def entries(self) -> Iterator[Entry]:
        """Give every plain file, and every folder that cannot be read."""
        waiting = [self._root]
        while waiting:
            place = waiting.pop()
            try:
                with os.scandir(place) as found:
                    for item in found:
                        if item.is_dir(follow_symlinks=False):
                            waiting.append(item.path)
                        elif item.is_file(follow_symlinks=False):
                            yield self._entry(item)
            except OSError:
                yield Entry(os.path.relpath(place, self._root), 0, 0, "UNREADABLE")

    def _entry(self, item: os.DirEntry[bytes]) -> Entry:
        path = item.path[len(self._root) :].lstrip(b"/")
        try:
            found = item.stat(follow_symlinks=False)
        except OSError:
            return Entry(path, 0, 0, "UNREADABLE")
        return Entry(path, found.st_size, found.st_mtime_ns)

    def open(self, untrusted_path: bytes) -> IO[bytes]:
        """Open a file of the folder."""
        return Path(os.fsdecode(self._root), os.fsdecode(untrusted_path)).open("rb")


class _Zip:
    """A zip, judged from its directory when it is opened."""

    def __init__(self, archive: zipfile.ZipFile, *, most_bytes: int) -> None:
        _check_zip(archive, most_bytes=most_bytes)
        self._archive = archive

    def entries(self) -> Iterator[Entry]:
        """Give every file of the zip."""
        for entry in self._archive.infolist():
            if not entry.is_dir():
                yield Entry(entry.filename.encode("utf-8", "surrogateescape"), entry.file_size, entry.CRC)

    def open(self, untrusted_path: bytes) -> IO[bytes]:
        """Open an entry that may not give more than the directory said, nor be an archive itself."""
        untrusted_name = untrusted_path.decode("utf-8", "surrogateescape")
        return _opened_entry(self._archive, self._archive.getinfo(untrusted_name))


class _Single:
    """One file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def entries(self) -> Iterator[Entry]:
        """Give the one file."""
        found = self._path.stat()
        yield Entry(os.fsencode(self._path.name), found.st_size, found.st_mtime_ns)

    def open(self, untrusted_path: bytes) -> IO[bytes]:  # noqa: ARG002 - there is only one
        """Open the file."""
        return self._path.open("rb")


def holds_archive(head: bytes) -> bool:
    """Return whether a file that starts like this is a zip or another archive."""
    return head.startswith(_NESTED)


def _source_of(files: list[SourceFile]) -> Source:
    if not files:
        raise StudyUnreadable(
            "There is no file in what was given.",
            reason="EMPTY_FOLDER",
            mend="Give the folder with the study.",
        )
    files.sort(key=lambda file: file.untrusted_path)
    listing = "\n".join(f"{file.untrusted_path}\t{file.size_bytes}" for file in files)
    fingerprint = hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest()
    directories = [file for file in files if PurePosixPath(file.untrusted_path).name.upper() == "DICOMDIR"]
    if not directories:
        return Source(tuple(files), fingerprint)
    return _followed(directories, files, fingerprint)


def _folder_files(folder: Path) -> list[SourceFile]:
    """Return the plain files below a folder; links are not followed, they may lead anywhere."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [_path_file(path, path.relative_to(folder).as_posix()) for path in paths]


def _path_file(path: Path, name: str) -> SourceFile:
    return SourceFile(name, path.stat().st_size, lambda: path.open("rb"))


def _has_preamble(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


@contextmanager
def _open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError):
        raise _unsafe("The archive is damaged.") from None


def _zip_files(archive: zipfile.ZipFile, *, most_bytes: int) -> list[SourceFile]:
    _check_zip(archive, most_bytes=most_bytes)
    return [_zip_file(archive, entry) for entry in archive.infolist() if not entry.is_dir()]


def _check_zip(archive: zipfile.ZipFile, *, most_bytes: int) -> None:
    entries = archive.infolist()
    if len(entries) > MOST_ENTRIES:
        raise _unsafe("The archive holds too many entries.")
    unpacked, packed = (sum(sizes) for sizes in _sizes(entries))
    if unpacked > SMALL_ARCHIVE_BYTES and unpacked > MOST_RATIO * packed:
        raise _unsafe("The archive unpacks to far too much.")
    if unpacked > most_bytes:
        raise _unsafe("The archive would unpack to more than is allowed.")
    if len({entry.filename for entry in entries}) != len(entries):
        raise _unsafe("The archive holds one name twice.")
    for entry in entries:
        _check_entry(entry)


def _sizes(entries: Sequence[zipfile.ZipInfo]) -> tuple[list[int], list[int]]:
    return [entry.file_size for entry in entries], [entry.compress_size for entry in entries]


def _check_entry(entry: zipfile.ZipInfo) -> None:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
        raise _unsafe("The archive holds a path that leads out of it.")
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _unsafe("The archive holds a link or a device.")
    if entry.flag_bits & 0x1:
        raise _unsafe("The archive is encrypted.")
    if entry.file_size > SMALL_ENTRY_BYTES and entry.file_size > MOST_RATIO * max(entry.compress_size, 1):
        raise _unsafe("An entry of the archive unpacks to far too much.")


def _zip_file(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> SourceFile:
    return SourceFile(entry.filename, entry.file_size, lambda: _opened_entry(archive, entry))


def _opened_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> IO[bytes]:
    """Open an entry that may not give more than its directory said, nor be an archive itself."""
    with archive.open(entry) as stream:
        if stream.read(6).startswith(_NESTED):
            raise _unsafe("The archive holds another archive.")
    return cast("IO[bytes]", _CountedStream(archive.open(entry), entry.file_size))


class _CountedStream(io.RawIOBase):
    """A stream that refuses to give more bytes than it promised."""

    def __init__(self, stream: IO[bytes], most_bytes: int) -> None:
        self._stream, self._left = stream, most_bytes

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(self._left + 1 if size < 0 else size)
        self._left -= len(data)
        if self._left < 0:
            raise _unsafe("An entry of the archive is larger than the archive says.")
        return data

    def close(self) -> None:
        self._stream.close()
        super().close()


def _followed(directories: Sequence[SourceFile], files: list[SourceFile], fingerprint: str) -> Source:
    """Return only what the DICOMDIRs refer to; when none can be read, everything else that is there."""
    others = [file for file in files if file not in directories]
    by_path = {plain_path(file.untrusted_path): file for file in others}
    wanted = [reference for directory in directories for reference in _references(directory)]
    found = {path: by_path[path] for path in wanted if path in by_path}
    if not found:
        return (
            Source(tuple(others), fingerprint, missing=len(directories))
            if others
            else Source(tuple(files), fingerprint)
        )
    chosen = sorted(found.values(), key=lambda file: file.untrusted_path)
    return Source(tuple(chosen), fingerprint, missing=len(set(wanted) - set(found)))


def _references(directory: SourceFile) -> list[str]:
    """Return the paths that a DICOMDIR refers to (PS3.10 8.6), relative to the source."""
    base = PurePosixPath(directory.untrusted_path).parent
    with directory.open() as stream:
        return references_in(stream.read(), base)


def references_in(data: bytes, base: PurePosixPath) -> list[str]:
    """Return the plain paths that a DICOMDIR in the folder `base` refers to; none that leads out."""
    try:
        parsed = parse_file(data)
        records = next((element for element in parsed.elements if element.tag == _RECORDS), None)
        items = read_items(records, parsed.encoding) if records else ()
    except StudyUnreadable:
        return []
    values = [part.value for item in items for part in item if part.tag == _REFERENCED_FILE and part.value]
    parts = [value.decode("latin-1").strip(" \0").split("\\") for value in values]
    return [plain_path((base / "/".join(names)).as_posix()) for names in parts if ".." not in names]


def plain_path(path: str) -> str:
    """Return a path as discs write it in many ways: without case, version number and final dot."""
    return "/".join(part.split(";")[0].rstrip(".").casefold() for part in PurePosixPath(path).parts)


def _unsafe(message: str) -> StudyUnreadable:
    return StudyUnreadable(
        message, reason="ARCHIVE_UNSAFE", mend="Unpack it yourself, look at it, and give the folder instead."
    )
