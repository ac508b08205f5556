"""Finds segmenters, procedures, narrators and voices: one file each, listed without being imported.

A built-in is a file of its folder that defines the function its kind is called by; the file is read,
not run, to find that out. A guest is an entry point of an installed package (group ``medviz.segmenters`` and
so on); it counts only when the site's settings name it.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from medviz.core.errors import BadInput, NotAvailable

KINDS = {
    "segmenters": "segment",
    "procedures": "plan",
    "narrators": "open_writer",
    "voices": "open_speaker",
}


def names(kind: str, *, guests: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of one kind in alphabetical order, without importing any of them.

    Parameters
    ----------
    kind : str
        ``segmenters``, ``procedures``, ``narrators`` or ``voices``.
    guests : sequence of str
        Entry points that the site's settings allow.
    """
    return tuple(sorted({*_built_in(kind), *_guests(kind, guests)}))


def load(kind: str, name: str, *, guests: Sequence[str] = ()) -> ModuleType:
    """Return the module of a built-in or an allowed guest.

    Raises
    ------
    BadInput
        If there is none of that name (``PLUGIN_UNKNOWN``), or a guest takes the name of a built-in
        (``PLUGIN_CLASH``).
    NotAvailable
        If a guest's package is broken (``PLUGIN_BROKEN``).
    """
    allowed = _guests(kind, guests)
    if name in _built_in(kind):
        if name in allowed:
            raise BadInput(
                f"A guest takes the name of the built-in {name}.",
                reason="PLUGIN_CLASH",
                mend="Remove it from the setting `guests`.",
            )
        return importlib.import_module(f"pipelines.{kind}.{name}")
    if name not in allowed:
        raise BadInput(
            f"There is no {kind.removesuffix('s')} of that name.",
            reason="PLUGIN_UNKNOWN",
            mend=f"Choose from: {', '.join(names(kind, guests=guests))}.",
        )
    return _loaded_guest(allowed[name])


def _built_in(kind: str) -> tuple[str, ...]:
    wanted = KINDS[kind]
    found = [path.stem for path in _folder(kind).glob("*.py") if _defines(path, wanted)]
    return tuple(sorted(found))


def _folder(kind: str) -> Path:
    spec = importlib.util.find_spec("pipelines")
    if spec is None or not spec.submodule_search_locations:
        raise NotAvailable("The pipelines are not installed.", mend="Install MedViz again.")
    return Path(next(iter(spec.submodule_search_locations))) / kind


def _defines(path: Path, function: str) -> bool:
    """Return whether a file defines a function at its top level; the file is only read."""
    if path.name.startswith("_"):
        return False
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body)


def _guests(kind: str, allowed: Sequence[str]) -> dict[str, importlib.metadata.EntryPoint]:
    points = importlib.metadata.entry_points(group=f"medviz.{kind}")
    return {point.name: point for point in points if point.name in allowed}


def _loaded_guest(point: importlib.metadata.EntryPoint) -> ModuleType:
    try:
        module = point.load()
    except Exception as error:  # a door: a guest's import may fail in any way
        raise NotAvailable(
            f"The guest {point.name} could not be loaded ({type(error).__name__}).",
            reason="PLUGIN_BROKEN",
            mend="Ask its maker, or remove it from the setting `guests`.",
        ) from error
    if not isinstance(module, ModuleType):
        raise NotAvailable(f"The guest {point.name} is not a module.", reason="PLUGIN_BROKEN")
    return module
