"""What a plan document may say: tables and keys with unit, range, default and source, and their checks."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from medviz.core.errors import PlanInvalid

Values = dict[str, object]
_LENGTH_SCALES = (("centimetres", 10.0), ("metres", 1000.0), ("micrometres", 0.001))


class Kind(StrEnum):
    """What a key's value looks like."""

    NUMBER = "number"
    WHOLE = "whole number"
    CHOICE = "one of the words"
    TRUTH = "true or false"
    NAMES = "list of names"
    POINT = "point [x, y, z]"
    RANGE = "range [least, most]"
    BY_STRUCTURE = "number, or table of numbers by structure"


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table.

    `default` None means that the key may be left out and then has no value. `options` are the allowed words,
    or the allowed names inside a list or table. `source` says where the default or the range comes from.
    """

    name: str
    kind: Kind
    doc: str
    unit: str = ""
    default: object = None
    least: float = float("-inf")
    most: float = float("inf")
    options: tuple[str, ...] = ()
    source: str = ""
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the document and what it is for."""

    name: str
    doc: str
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong, at which key path, and how to mend it."""

    path: tuple[str, ...]
    text: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of one procedure's plan documents.

    `review` looks at the finished values as a whole and yields what does not fit together.
    """

    procedure: str
    version: int
    tables: tuple[Table, ...]
    review: Callable[[Mapping[str, object]], Sequence[Complaint]]


class _Wrong(Exception):
    """A value does not fit its key: what is wrong, how to mend it, and the index inside the value."""

    def __init__(self, text: str, mend: str = "", inside: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.text, self.mend, self.inside = text, mend, inside


def check(document: Mapping[str, object], schema: Schema) -> tuple[Values, list[Complaint]]:
    """Return the document's tables with defaults filled in, and everything that is wrong with it."""
    values: Values = {}
    complaints = _unknown_tables(document, schema)
    for table in schema.tables:
        given = document.get(table.name, {})
        if not isinstance(given, Mapping):
            complaints.append(
                Complaint((table.name,), f"{table.name} must be a table.", f"Write [{table.name}].")
            )
            continue
        filled, wrong = _checked_table(given, table, schema)
        values[table.name] = filled
        complaints += wrong
    if not complaints:
        complaints += schema.review(values)
    return values, complaints


def raise_first(complaints: Sequence[Complaint], lines: Mapping[tuple[str, ...], int]) -> None:
    """Raise `PlanInvalid` for the complaint that stands first in the document; name how many follow."""
    if not complaints:
        return
    ordered = sorted(((line_of(item.path, lines), item) for item in complaints), key=lambda pair: pair[0])
    line, first = ordered[0]
    rest = "".join(f" Also line {other}: {item.text}" for other, item in ordered[1:])
    raise PlanInvalid(first.text + rest, line=line, mend=first.mend)


def line_of(path: tuple[str, ...], lines: Mapping[tuple[str, ...], int]) -> int:
    """Return the line of a key, or of the nearest table above it; 1 when the document holds none of them."""
    for depth in range(len(path), 0, -1):
        if path[:depth] in lines:
            return lines[path[:depth]]
    return 1


def near_miss(word: str, known: Sequence[str]) -> str:
    """Return a sentence that suggests the known word most like `word`, or lists them all."""
    stem = word.rsplit("_", 1)[0]
    same_stem = [name for name in known if name.rsplit("_", 1)[0] == stem and name != word]
    close = same_stem or difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    if close:
        return f"Did you mean `{close[0]}`?"
    return f"Known here: {', '.join(known)}."


def _unknown_tables(document: Mapping[str, object], schema: Schema) -> list[Complaint]:
    known = [table.name for table in schema.tables]
    extra = [name for name in document if name not in (*known, "schema_version", "procedure", "notes")]
    return [_unknown((name,), schema, near_miss(name, known)) for name in extra]


def _unknown(path: tuple[str, ...], schema: Schema, suggestion: str) -> Complaint:
    homes = [table.name for table in schema.tables if path[-1] in {key.name for key in table.keys}]
    if homes and homes[0] != path[0]:
        suggestion = f"`{path[-1]}` belongs in [{homes[0]}]."
    where = f" in [{path[0]}]" if len(path) > 1 else ""
    return Complaint(path, f"unknown key `{path[-1]}`{where}.", suggestion)


def _checked_table(
    given: Mapping[str, object], table: Table, schema: Schema
) -> tuple[Values, list[Complaint]]:
    known = [key.name for key in table.keys]
    wrong = [
        _unknown((table.name, name), schema, near_miss(name, known)) for name in given if name not in known
    ]
    filled: Values = {}
    for key in table.keys:
        if key.name in given:
            try:
                filled[key.name] = _CHECKS[key.kind](given[key.name], key)
            except _Wrong as error:
                wrong.append(Complaint((table.name, key.name, *error.inside), error.text, error.mend))
        elif key.is_required:
            text = f"[{table.name}] needs `{key.name}`."
            wrong.append(Complaint((table.name,), text, f"{key.doc} Options: {', '.join(key.options)}."))
        elif key.default is not None:
            filled[key.name] = key.default
    return filled, wrong


def _number(value: object, key: Key) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        wanted = f"`{key.name}` must be a {Kind.NUMBER}{_in_unit(key)}, not {_described(value)}."
        raise _Wrong(wanted, f"Write the number alone, such as {key.name} = {_example(key)}.")
    if not key.least <= value <= key.most:
        text = (
            f"`{key.name}` must lie between {key.least:g} and {key.most:g}{_unit(key)}; {value:g} was given."
        )
        raise _Wrong(text, _unit_hint(float(value), key))
    return float(value)


def _whole(value: object, key: Key) -> int:
    number = _number(value, key)
    if not isinstance(value, int):
        raise _Wrong(f"`{key.name}` must be a {Kind.WHOLE}, not {number:g}.")
    return value


def _choice(value: object, key: Key) -> str:
    if not isinstance(value, str):
        raise _Wrong(f"`{key.name}` must be a word, not {_described(value)}.", near_miss("", key.options))
    if value not in key.options:
        raise _Wrong(f"`{key.name}` cannot be '{value}'.", near_miss(value, key.options))
    return value


def _truth(value: object, key: Key) -> bool:
    if not isinstance(value, bool):
        raise _Wrong(f"`{key.name}` must be {Kind.TRUTH}, not {_described(value)}.")
    return value


def _names(value: object, key: Key) -> list[str]:
    if not isinstance(value, list):
        raise _Wrong(f"`{key.name}` must be a {Kind.NAMES}, not {_described(value)}.")
    for index, name in enumerate(value):
        if name not in key.options:
            raise _Wrong(
                f"`{key.name}`: unknown name '{name}'.", near_miss(str(name), key.options), (str(index),)
            )
    return [str(name) for name in value]


def _numbers(value: object, key: Key, count: int) -> list[float]:
    if not isinstance(value, list) or len(value) != count:
        text = f"`{key.name}` must be a {key.kind}{_in_unit(key)}, not {_described(value)}."
        raise _Wrong(text, f"Write {key.name} = [{', '.join(['0.0'] * count)}].")
    result = []
    for index, item in enumerate(value):
        try:
            result.append(_number(item, key))
        except _Wrong as error:
            raise _Wrong(error.text, error.mend, (str(index),)) from None
    return result


def _point(value: object, key: Key) -> list[float]:
    return _numbers(value, key, 3)


def _range(value: object, key: Key) -> list[float]:
    low, high = _numbers(value, key, 2)
    if low >= high:
        raise _Wrong(f"`{key.name}` must grow: {low:g} is not less than {high:g}.")
    return [low, high]


def _by_structure(value: object, key: Key) -> Values:
    if not isinstance(value, Mapping):
        return {"default": _number(value, key)}
    names = ("default", *key.options)
    result: Values = dict(key.default) if isinstance(key.default, Mapping) else {}
    for name, item in value.items():
        if name not in names:
            raise _Wrong(f"`{key.name}`: unknown structure '{name}'.", near_miss(name, names), (name,))
        try:
            result[name] = _number(item, key)
        except _Wrong as error:
            raise _Wrong(error.text, error.mend, (name,)) from None
    return result


_CHECKS: dict[Kind, Callable[[object, Key], object]] = {
    Kind.NUMBER: _number,
    Kind.WHOLE: _whole,
    Kind.CHOICE: _choice,
    Kind.TRUTH: _truth,
    Kind.NAMES: _names,
    Kind.POINT: _point,
    Kind.RANGE: _range,
    Kind.BY_STRUCTURE: _by_structure,
}


def _unit(key: Key) -> str:
    return f" {key.unit}" if key.unit else ""


def _in_unit(key: Key) -> str:
    return f" in {key.unit}" if key.unit else ""


def _described(value: object) -> str:
    if isinstance(value, str):
        return f"the text '{value}'"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "a table" if isinstance(value, Mapping) else f"{value}".lower()


def _example(key: Key) -> str:
    return f"{key.default:g}" if isinstance(key.default, (int, float)) else f"{max(key.least, 0):g}"


def _unit_hint(value: float, key: Key) -> str:
    if "mm" in key.unit.split("/"):
        for name, scale in _LENGTH_SCALES:
            if key.least <= value * scale <= key.most and value:
                return f"It looks like {name}; write millimetres: {value * scale:g}."
    if key.unit == "degrees" and key.least <= value * 57.29578 <= key.most and 0 < value < 1.6:
        return f"It looks like radians; write degrees: {value * 57.29578:.0f}."
    return f"Write {key.name}{_in_unit(key)}."
