"""A plan document is read, checked against its procedure's schema, and every error names its line."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from medviz import plugins
from medviz.core.errors import PlanInvalid
from medviz.core.plan import PlanDocument
from pipelines.planning.lines import KeyPath, key_lines
from pipelines.planning.schema import (
    Complaint,
    Key,
    Kind,
    Schema,
    Table,
    check,
    line_of,
    near_miss,
    raise_first,
)

_MOST_BYTES = 1 << 20
_MOST_NOTES = 4000


def read_plan(path: Path) -> PlanDocument:
    """Return the plan document in a TOML file.

    Raises
    ------
    PlanInvalid
        If the file cannot be read, is not TOML, or breaks the schema of its procedure; `line` names where.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise PlanInvalid("The plan document is larger than 1 MB.", mend="Give a TOML text file.")
        content = path.read_bytes()
    except OSError:
        raise PlanInvalid("The plan document cannot be read.", mend="Check the path after --plan.") from None
    return parse_plan(content)


def parse_plan(content: bytes) -> PlanDocument:
    """Return the plan document in these bytes (UTF-8 TOML).

    Raises
    ------
    PlanInvalid
        As `read_plan`.
    """
    text = _decoded(content)
    document = _parsed(text)
    lines = key_lines(text)
    schema = _schema_of(document, lines)
    values, complaints = check(document, schema)
    raise_first([*complaints, *_wrong_notes(document)], lines)
    places = {".".join(path): line for path, line in lines.items()}
    return PlanDocument(schema.procedure, hashlib.sha256(content).hexdigest(), values, places)


def raw_plan_notes(path: Path) -> str:
    """Return the free text of a plan document as the surgeon wrote it: it may name people.

    Nothing but de-identification may use it.

    Raises
    ------
    PlanInvalid
        As `read_plan`.
    """
    read_plan(path)
    return str(tomllib.loads(_decoded(path.read_bytes())).get("notes", "")).strip()


def procedure_names() -> tuple[str, ...]:
    """Return the names of the procedures in the box, without importing them."""
    return plugins.names("procedures")


def procedure_schema(name: str) -> Schema:
    """Return the plan schema of a procedure."""
    return cast("Schema", plugins.load("procedures", name).SCHEMA)


def plan_template(procedure: str = "needle") -> str:
    """Return a plan document with every key, its default, unit and meaning, ready to be filled in."""
    schema = procedure_schema(procedure)
    head = [
        "# A plan for medviz. A line that starts with # is a remark; a key left out has the value shown.",
        "# Points are in the patient's coordinates (LPS: left, posterior, superior), in millimetres.",
        f"schema_version = {schema.version}",
        f'procedure = "{schema.procedure}"',
        "# Free text for the reviewer; what may identify a person is taken out of it.",
        '# notes = "..."',
    ]
    return "\n".join(head + [line for table in schema.tables for line in _table_lines(table)]) + "\n"


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PlanInvalid("the text is not UTF-8.", line=line, mend="Save the plan as UTF-8 text.") from None


def _parsed(text: str) -> Mapping[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+)", str(error))
        line = int(found.group(1)) if found else text.count("\n") + 1
        reason = re.sub(r"\s*\(at .*\)$", "", str(error))
        raise PlanInvalid(f"this is not valid TOML: {reason}.", line=line, mend="See docs/plan.md.") from None


def _schema_of(document: Mapping[str, object], lines: Mapping[KeyPath, int]) -> Schema:
    names = procedure_names()
    name = document.get("procedure")
    if name is None:
        raise PlanInvalid("`procedure` is missing.", line=1, mend=f'Write procedure = "{names[0]}".')
    if name not in names:
        line = line_of(("procedure",), lines)
        raise PlanInvalid(f"unknown procedure '{name}'.", line=line, mend=near_miss(str(name), names))
    schema = procedure_schema(str(name))
    version = document.get("schema_version")
    if version is None:
        mend = f"Write schema_version = {schema.version}."
        raise PlanInvalid("`schema_version` is missing.", line=1, mend=mend)
    if version != schema.version or isinstance(version, bool):
        line = line_of(("schema_version",), lines)
        mend = f"This release reads version {schema.version}."
        raise PlanInvalid(f"schema version {version} is not known.", line=line, mend=mend)
    return schema


def _wrong_notes(document: Mapping[str, object]) -> list[Complaint]:
    notes = document.get("notes", "")
    if isinstance(notes, str) and len(notes) <= _MOST_NOTES:
        return []
    return [
        Complaint(("notes",), "notes must be text.", f"Write at most {_MOST_NOTES} characters in quotes.")
    ]


def _table_lines(table: Table) -> list[str]:
    lines = ["", f"[{table.name}]  # {table.doc}"]
    for key in table.keys:
        remark = " ".join(part for part in (key.doc, _allowed(key)) if part)
        lines += [f"# {remark}", _assignment(key)]
    return lines


def _allowed(key: Key) -> str:
    if key.kind is Kind.CHOICE:
        return f"One of: {', '.join(key.options)}."
    if key.least > float("-inf") and key.most < float("inf"):
        unit = f" {key.unit}" if key.unit else ""
        return f"From {key.least:g} to {key.most:g}{unit}."
    return ""


def _assignment(key: Key) -> str:
    if key.default is None:
        return f"# {key.name} = {_EXAMPLES[key.kind]}"
    return f"{key.name} = {_toml(key.default)}"


_EXAMPLES = {
    Kind.NUMBER: "1.0",
    Kind.WHOLE: "1",
    Kind.CHOICE: '"..."',
    Kind.TRUTH: "false",
    Kind.NAMES: "[]",
    Kind.POINT: "[0.0, 0.0, 0.0]",
    Kind.RANGE: "[0.0, 1.0]",
    Kind.BY_STRUCTURE: "{ default = 3.0 }",
}


def _toml(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_toml(item)}" for name, item in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)
