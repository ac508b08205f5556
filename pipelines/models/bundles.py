"""MONAI bundles as models: a folder whose metadata.json pins the SHA-256 of its weights."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from pathlib import Path

from medviz.core.errors import BadInput, WeightsMissing
from medviz.core.manifest import file_sha256, manifest_of
from pipelines.models.catalogue import CatalogueEntry


@dataclasses.dataclass(frozen=True, slots=True)
class _Pinned:
    """A bundle's weights file, the hash that the bundle pins, and its version."""

    path: Path
    sha256: str
    version: str


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def is_bundle(folder: Path) -> bool:
    """Return whether `folder` looks like a MONAI bundle."""
    return (folder / "configs" / "metadata.json").is_file()


def is_right(folder: Path) -> bool:
    """Return whether a bundle's weights are the bytes that it pins."""
    return _weights_are_right(_read(folder))


def described(wanted: CatalogueEntry, folder: Path) -> CatalogueEntry:
    """Return the entry of a bundle with the version, hash and size that its own files tell."""
    pinned = _read(folder) if wanted.kind == "bundle" else None
    if pinned is None:
        return wanted
    size = pinned.path.stat().st_size if pinned.path.is_file() else 0
    return dataclasses.replace(wanted, version=pinned.version, sha256=pinned.sha256, size_bytes=size)


def carried_in(models: Path) -> tuple[CatalogueEntry, ...]:
    """Return an entry for each bundle in the models folder."""
    found = sorted(path.parents[1] for path in models.glob("*/configs/metadata.json"))
    return tuple(described(_entry_of(folder), folder) for folder in found)


def carry_in(name: str, folder: Path, models: Path) -> Path:
    """Copy a bundle into the models folder as `name` and return where it is.

    Raises
    ------
    BadInput
        If the name is not a plain one, or the bundle would run code.
    NotAllowed
        If the bundle holds a link.
    WeightsMissing
        If the weights are not there or not the bytes that the bundle pins.
    """
    if not _NAME.fullmatch(name):
        raise BadInput("A model's name is letters, digits, dots, dashes and underscores.")
    if not _weights_are_right(_read(folder)):
        raise WeightsMissing(
            "The bundle's weights are not the bytes that its metadata.json pins.",
            reason="WEIGHTS_DAMAGED",
            mend="Carry the bundle in again; its metadata.json needs weights.path and weights.sha256.",
        )
    from pipelines.segmenters.bundleconfig import read_bundle  # imports MONAI to know its classes

    read_bundle(folder)
    return _copy(folder, models / name)


def _copy(folder: Path, target: Path) -> Path:
    manifest = manifest_of(folder)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        for item in manifest.entries:
            (partial / item.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / item.path, partial / item.path)
        shutil.rmtree(target, ignore_errors=True)
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _read(folder: Path) -> _Pinned | None:
    """Return what a bundle says of its weights, read as data; None when it says nothing usable."""
    try:
        metadata = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
        weights = metadata["weights"]
        path = folder / str(weights.get("path", "models/model.pt"))
        pinned = _Pinned(path, str(weights["sha256"]), str(metadata.get("version", "")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return pinned if path.resolve().is_relative_to(folder.resolve()) else None


def _weights_are_right(pinned: _Pinned | None) -> bool:
    return pinned is not None and pinned.path.is_file() and file_sha256(pinned.path) == pinned.sha256


def _entry_of(folder: Path) -> CatalogueEntry:
    title = f"MONAI bundle {folder.name}"
    return CatalogueEntry(folder.name, title, "bundle", "", folder.name, 0, "", "see the bundle", "Segments.")
