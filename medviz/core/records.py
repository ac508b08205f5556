"""Dataclasses to JSON and back, so that every stage's output can be saved and read again.

Every file carries `schema_version`; a reader refuses a version it does not know.
"""

from __future__ import annotations

import dataclasses
import json
import os
import types
import typing
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

SCHEMA_VERSION = 1


def to_plain(value: object) -> Any:
    """Return `value` as dicts, lists, strings and numbers."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    return value


def from_plain(kind: Any, value: Any) -> Any:
    """Return `value` as an object of type `kind`: a dataclass, enum, tuple, optional or plain type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _from_union(arguments, value)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(from_plain(arguments[0], item) for item in value)
        return tuple(from_plain(item_kind, item) for item_kind, item in zip(arguments, value, strict=True))
    if dataclasses.is_dataclass(kind):
        return _from_dataclass(kind, value)
    if isinstance(kind, type) and issubclass(kind, (Enum, Path)):
        return kind(value)
    return float(value) if kind is float else value


def _from_union(kinds: tuple[Any, ...], value: Any) -> Any:
    if value is None:
        return None
    for kind in kinds:
        if kind in (str, int, float, bool) and isinstance(value, kind):
            return value
    complex_kinds = [kind for kind in kinds if kind not in (type(None), str, bool)]
    return from_plain(complex_kinds[0], value)


def _from_dataclass(kind: Any, value: Mapping[str, Any]) -> Any:
    hints, known = _hints_of(kind)
    return kind(**{name: from_plain(hints[name], item) for name, item in value.items() if name in known})


@lru_cache(maxsize=512)
def _hints_of(kind: Any) -> tuple[Mapping[str, Any], frozenset[str]]:
    """Return the types of a dataclass's fields, and the names that its constructor takes."""
    known = frozenset(field.name for field in dataclasses.fields(kind) if field.init)
    return typing.get_type_hints(kind), known


def write_text_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old bytes or the new ones, never half."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_record(path: Path, value: object) -> None:
    """Write a dataclass as JSON with its schema version."""
    document = {"schema_version": SCHEMA_VERSION, "record": to_plain(value)}
    write_text_atomically(path, json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def read_record(path: Path, kind: type[T]) -> T:
    """Read what `write_record` wrote.

    Raises
    ------
    ValueError
        If the file was written with a schema version this release does not know.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    if document.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"{path.name} has a schema version that this release cannot read")
    result: T = from_plain(kind, document["record"])
    return result
