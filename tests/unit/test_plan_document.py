"""A plan document is checked against its schema, and every error names its line and how to mend it."""

from __future__ import annotations

from pathlib import Path

import pytest

from medviz.core.errors import PlanInvalid
from medviz.core.records import read_record, write_record
from pipelines.plandocument import parse_plan, plan_template, procedure_names, read_plan
from pipelines.planning.lines import key_lines
from pipelines.planning.needle_schema import NEEDLE_SCHEMA
from pipelines.planning.request import request_of

HEAD = 'schema_version = 1\nprocedure = "needle"\n'
REPOSITORY = Path(__file__).parents[2]


def complaint(text: str) -> PlanInvalid:
    with pytest.raises(PlanInvalid) as caught:
        parse_plan(text.encode())
    return caught.value


def test_the_template_is_itself_a_valid_plan_with_every_key_of_the_schema():
    template = plan_template("needle")
    document = parse_plan(template.encode())
    assert document.procedure == "needle"
    for table in NEEDLE_SCHEMA.tables:
        assert f"[{table.name}]" in template
        for key in table.keys:
            assert f"{key.name} = " in template


def test_a_plan_of_two_lines_gets_every_default():
    request = request_of(parse_plan(HEAD.encode()))
    assert (request.structure, request.part, request.region) == ("ventricles", "frontal horn", "frontal")
    assert request.limits.midline_mm == (20.0, 40.0)
    assert request.limits.least_clearance_mm == {"deep_grey": 1.0, "brainstem": 3.0, "cerebellum": 3.0}


def test_a_biopsy_also_keeps_away_from_the_ventricles():
    text = HEAD + '[target]\nstructure = "deep_grey"\n[needle]\nkind = "biopsy needle"\n'
    assert "ventricles" in request_of(parse_plan(text.encode())).limits.least_clearance_mm


@pytest.mark.parametrize(
    ("lines", "line", "says", "mends"),
    [
        ('[target]\nstructur = "ventricles"', 4, "unknown key `structur`", "`structure`"),
        ("[needle]\n\n# thin\ndiameter_cm = 0.2", 6, "unknown key `diameter_cm`", "`diameter_mm`"),
        ('[needle]\ndiameter_mm = "2.5 mm"', 4, "number in mm, not the text", "such as diameter_mm ="),
        ("[needle]\ndiameter_mm = 25", 4, "between 0.5 and 10 mm; 25 was given", "mm"),
        ("[needle]\ndiameter_mm = 0.0025", 4, "0.0025 was given", "metres; write millimetres: 2.5"),
        ("[limits]\nleast_angle_to_skull_deg = 1.2", 4, "1.2 was given", "radians; write degrees: 69"),
        ("[needle]\ndiameter_mm = true", 4, "not true", "number alone"),
        ("[needle]\ndiameter_mm = nan", 4, "nan was given", "mm"),
        ("[target]\npoint_mm = [1.0, 2.0]", 4, "not a list of 2", "[0.0, 0.0, 0.0]"),
        ('[target]\npoint_mm = [1.0,\n  2.0,\n  "x"]', 6, "not the text 'x'", ""),
        ('[target]\nside = "lefft"', 4, "cannot be 'lefft'", "`left`"),
        ('[target]\nmidline_mm = [20, 40]', 4, "unknown key `midline_mm`", "[entry]"),
        ("[entry]\nmidline_mm = [40, 20]", 4, "must grow", ""),
        ('[limits]\nkeep_away = [\n  "deep_grey",\n  "brain_stem",\n]', 6, "'brain_stem'", "`brainstem`"),
        ("[limits]\nleast_clearance_mm = { default = 3, deepgrey = 5 }", 4, "'deepgrey'", "`deep_grey`"),
        ("[limits.least_clearance_mm]\nbrainstem = -1", 4, "-1 was given", ""),
        ("target.side = 3", 3, "must be a word, not 3", "left, right"),
        ("target = 3", 3, "target must be a table", "[target]"),
        ("[search]\ncandidates = 1.5e4", 4, "whole number", ""),
        ("[aim]\nx = 1", 3, "unknown key `aim`", "Known here: target"),
        ('[target]\nstructure = "deep_grey"\npart = "frontal horn"', 5, "no frontal horn", "deepest"),
        ('[target]\npoint_mm = [0, 0, 0]\npart = "centre"', 5, "`part` says nothing", "Remove"),
        ('[limits]\nkeep_away = ["ventricles"]', 4, "cannot keep away", "Remove ventricles"),
    ],
)  # fmt: skip
def test_an_error_names_its_line_and_its_mend(lines, line, says, mends):
    error = complaint(HEAD + lines + "\n")
    assert error.line == line
    assert f"line {line}:" in str(error)
    assert says in error.message
    assert mends in error.mend


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "`procedure` is missing"),
        ('schema_version = 1\nprocedure = "needel"\n', 2, "unknown procedure 'needel'"),
        ('procedure = "needle"\n', 1, "`schema_version` is missing"),
        ('procedure = "needle"\nschema_version = 2\n', 2, "schema version 2 is not known"),
        ('procedure = "needle"\nschema_version = 1\n[target\n', 3, "not valid TOML"),
        ('procedure = "needle"\nprocedure = "needle"\n', 2, "not valid TOML"),
    ],
)
def test_a_document_of_the_wrong_shape_names_its_line(text, line, says):
    error = complaint(text)
    assert error.line == line
    assert says in error.message


def test_a_misspelt_procedure_is_answered_with_the_nearest_one():
    assert "`needle`" in complaint('schema_version = 1\nprocedure = "needel"\n').mend


def test_a_second_error_is_told_with_its_own_line():
    error = complaint(HEAD + "[needle]\ndiameter_mm = 99\n[search]\ncandidates = 1\n")
    assert error.line == 4
    assert "Also line 6:" in error.message


def test_bytes_that_are_not_utf8_are_named_by_line():
    with pytest.raises(PlanInvalid) as caught:
        parse_plan(HEAD.encode() + b"# \xff\n")
    assert caught.value.line == 3


def test_a_plan_that_cannot_be_read_says_so_without_its_path(tmp_path):
    with pytest.raises(PlanInvalid) as caught:
        read_plan(tmp_path / "Mustermann.toml")
    assert "Mustermann" not in str(caught.value)


def test_a_windows_file_with_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_bytes(b"\xef\xbb\xbf" + (HEAD + "[needle]\ndiameter_mm = 2\n").replace("\n", "\r\n").encode())
    assert read_plan(path).lines["needle.diameter_mm"] == 4


def test_lines_are_found_through_every_way_toml_can_write_a_key():
    text = (
        "# a remark with [brackets] and = signs\n"
        'title = """two\n[not.a.table]\nlines"""  # remark\n'
        'a.b."c.d" = 1\n'
        "[table.'quoted name']\n"
        "x = { y = 1, z = { w = ['#', \"]\"] } }\n"
        "list = [  # remark ]\n  1,\n  { k = 2 },\n]\n"
        "[[many]]\nn = 1\n[[many]]\nn = 2"
    )
    lines = key_lines(text)
    assert lines[("title",)] == 2
    assert ("not",) not in lines
    assert lines[("a", "b", "c.d")] == 5
    assert lines[("table", "quoted name")] == 6
    assert lines[("table", "quoted name", "x", "z", "w", "1")] == 7
    assert lines[("table", "quoted name", "list", "1", "k")] == 10
    assert lines[("many", "1", "n")] == 15


def test_a_plan_document_survives_being_saved(tmp_path):
    document = parse_plan((HEAD + "[entry]\nmidline_mm = [25, 35]\n").encode())
    write_record(tmp_path / "plan.json", document)
    assert request_of(read_record(tmp_path / "plan.json", type(document))) == request_of(document)


def test_procedures_are_listed_by_name():
    assert "needle" in procedure_names()


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "sample_data" / "plans").glob("*.toml")), ids=lambda p: p.name
)
def test_every_example_plan_is_valid(path):
    assert read_plan(path).procedure == "needle"


def test_the_documentation_tells_every_key():
    text = (REPOSITORY / "docs" / "plan.md").read_text(encoding="utf-8")
    for table in NEEDLE_SCHEMA.tables:
        for key in table.keys:
            assert f"| `{table.name}.{key.name}` |" in text
