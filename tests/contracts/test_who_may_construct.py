"""A promise that is a type: only one room may make it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("medviz", "anonymize", "pipelines", "review", "sample_data")
MAKERS = {
    "DeidentifiedStudy": "anonymize",
    "Approval": "review",
    "Rejection": "review",
    "Release": "review",
}
CALL = """
from pathlib import Path
from medviz.core.drafts import Approval, Draft
from review.release import release
def leave(approval: Approval, draft: Draft) -> None:
    release("C0001", Path("out"), {argument}, home=Path("home"))
"""


def calls(path: Path) -> set[str]:
    """Names that a module calls, whether imported plainly, under another name, or through a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    renamed = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    plain = {renamed.get(func.id, func.id) for func in called if isinstance(func, ast.Name)}
    return plain | {func.attr for func in called if isinstance(func, ast.Attribute)}


@pytest.mark.parametrize("promise", sorted(MAKERS))
def test_a_promise_is_made_in_one_room_only(promise: str) -> None:
    modules = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    makers = {path.relative_to(ROOT).parts[0] for path in modules if promise in calls(path)}
    assert makers <= {MAKERS[promise]}


def test_a_renamed_import_would_be_noticed(tmp_path: Path) -> None:
    path = tmp_path / "sly.py"
    path.write_text("from medviz.core.study import DeidentifiedStudy as Harmless\nHarmless(None, (), '')\n")
    assert "DeidentifiedStudy" in calls(path)


def test_the_room_that_may_does_construct_it() -> None:
    assert any("DeidentifiedStudy" in calls(path) for path in (ROOT / "anonymize").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize(("argument", "is_accepted"), [("approval", True), ("draft", False), ("None", False)])
def test_release_takes_an_approval_and_no_draft_says_mypy(
    tmp_path: Path, argument: str, is_accepted: bool
) -> None:
    file = tmp_path / "leaving.py"
    file.write_text(CALL.format(argument=argument))
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "pyproject.toml", str(file)]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (checked.returncode == 0) == is_accepted, checked.stdout
    if not is_accepted:
        assert 'expected "Approval"' in checked.stdout
