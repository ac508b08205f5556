"""The command line answers clearly: results on standard output, errors with a code and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medviz import cli
from medviz.core.errors import MedVizError


def run(monkeypatch: pytest.MonkeyPatch, home: Path, *arguments: str) -> int:
    monkeypatch.setenv("MEDVIZ_HOME", str(home))
    monkeypatch.setattr("sys.argv", ["medviz", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_a_site_without_cases_lists_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, "cases", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"cases": []}


def test_an_unknown_case_is_bad_input_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, "case", "show", "C0042") == 2
    told = capsys.readouterr().err
    assert "CASE_UNKNOWN" in told
    assert "medviz cases" in told


def test_the_plan_template_is_a_valid_plan(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, "plan", "--template") == 0
    (tmp_path / "plan.toml").write_text(capsys.readouterr().out)
    assert run(monkeypatch, tmp_path, "plan", str(tmp_path / "plan.toml")) == 0


def test_every_example_plan_is_valid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plans = sorted((Path(cli.__file__).parents[1] / "sample_data" / "plans").glob("*.toml"))
    assert plans
    assert all(run(monkeypatch, tmp_path, "plan", str(plan)) == 0 for plan in plans)


def test_a_sample_that_does_not_exist_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, "sample", "knee") == 2
    assert "phantom" in capsys.readouterr().err


def test_the_doctor_names_every_check_with_the_line_that_mends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MEDVIZ_MODELS", str(tmp_path / "no-models"))
    assert run(monkeypatch, tmp_path, "doctor", "--json") == 4
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert {"rendering", "DICOM codecs", "GPU", "weights", "disk", "memory"} <= set(checks)
    assert not checks["weights"]["is_good"]
    assert "medviz models pull qwen2.5-coder-1.5b" in checks["weights"]["mend"]
    assert all(check["is_good"] or check["mend"] for check in checks.values())


def test_an_unforeseen_error_is_told_without_its_message() -> None:
    try:
        raise ValueError("Quillfeather, born 1951")
    except ValueError as error:
        told = cli._unforeseen(error)
    assert isinstance(told, MedVizError)
    assert "ValueError" in str(told)
    assert "Quillfeather" not in str(told)
