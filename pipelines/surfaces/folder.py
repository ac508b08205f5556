"""Surfaces on disk between two stages: one `.npz` each, and `surfaces.json` that describes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medviz.core.records import read_record, write_record
from medviz.core.surface import Surface, SurfaceError

INDEX = "surfaces.json"


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    colour: tuple[float, float, float]
    frame_of_reference: str
    volume_ml: float
    is_watertight: bool
    error: SurfaceError
    is_reliable: bool
    triangles: int
    shows_face: bool = False


@dataclass(frozen=True, slots=True)
class _Index:
    unit: str
    frame: str
    surfaces: tuple[_Entry, ...]


def write_surfaces(surfaces: Sequence[Surface], folder: Path) -> None:
    """Write surfaces into a folder; the same surfaces give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for surface in surfaces:
        np.savez(folder / f"{surface.name}.npz", vertices_mm=surface.vertices_mm, triangles=surface.triangles)
    write_record(folder / INDEX, _Index("mm", "LPS", tuple(_entry(surface) for surface in surfaces)))


def read_surfaces(folder: Path) -> tuple[Surface, ...]:
    """Return the surfaces that `write_surfaces` wrote, in their order.

    Raises
    ------
    ValueError
        If the folder was written by a release this one cannot read.
    """
    return tuple(_read(folder, entry) for entry in read_record(folder / INDEX, _Index).surfaces)


def _entry(surface: Surface) -> _Entry:
    return _Entry(
        surface.name,
        surface.colour,
        surface.frame_of_reference,
        surface.volume_ml,
        surface.is_watertight,
        surface.error,
        surface.is_reliable,
        len(surface.triangles),
        surface.shows_face,
    )


def _read(folder: Path, entry: _Entry) -> Surface:
    with np.load(folder / f"{entry.name}.npz", allow_pickle=False) as arrays:
        return Surface(
            entry.name,
            arrays["vertices_mm"],
            arrays["triangles"],
            entry.colour,
            entry.frame_of_reference,
            entry.volume_ml,
            entry.is_watertight,
            entry.error,
            entry.is_reliable,
            entry.shows_face,
        )
