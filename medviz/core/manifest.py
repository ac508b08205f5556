"""The SHA-256 of every file that a clinician signs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from medviz.core.errors import NotAllowed

_CHUNK_BYTES = 1 << 20


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One file: its path relative to the draft's folder (POSIX), size in bytes and SHA-256."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Every file of a draft, sorted by path."""

    entries: tuple[ManifestEntry, ...]

    @property
    def sha256(self) -> str:
        """The hash that is signed: SHA-256 of the canonical JSON of the entries."""
        text = json.dumps([asdict(entry) for entry in self.entries], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def manifest_of(folder: Path) -> Manifest:
    """Return the manifest of every file below `folder`.

    Raises
    ------
    NotAllowed
        If the folder holds a link or anything that is not a plain file.
    """
    entries = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise NotAllowed("The draft holds something that is not a plain file.", reason="NOT_A_FILE")
        if path.is_file():
            relative = path.relative_to(folder).as_posix()
            entries.append(ManifestEntry(relative, path.stat().st_size, file_sha256(path)))
    return Manifest(tuple(sorted(entries, key=lambda entry: entry.path)))
