"""Types that are promises are made in one room only."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ROOMS = ("medviz", "anonymize", "pipelines", "review", "sample_data")
MAKERS = {
    "DeidentifiedStudy": "anonymize",
    "Approval": "review",
    "Rejection": "review",
    "Release": "review",
}


def calls(path: Path) -> set[str]:
    """Names that a file calls, plain or as an attribute."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                found.add(node.func.id)
            elif isinstance(node.func, ast.Attribute):
                found.add(node.func.attr)
    return found


@pytest.mark.parametrize(("kind", "maker"), MAKERS.items())
def test_a_promise_is_made_in_one_room_only(kind: str, maker: str) -> None:
    made_in = {room for room in ROOMS for path in (REPOSITORY / room).rglob("*.py") if kind in calls(path)}
    assert made_in <= {maker}


CALL = """
from pathlib import Path
from medviz.core.drafts import Approval, Draft
from review.release import release
def leave(approval: Approval, draft: Draft) -> None:
    release("C0001", Path("out"), {argument}, home=Path("home"))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("argument", "is_accepted"), [("approval", True), ("draft", False), ("None", False)])
def test_release_takes_an_approval_and_no_draft_says_mypy(
    tmp_path: Path, argument: str, is_accepted: bool
) -> None:
    file = tmp_path / "leaving.py"
    file.write_text(CALL.format(argument=argument))
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "pyproject.toml", str(file)]
    checked = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (checked.returncode == 0) == is_accepted, checked.stdout
    if not is_accepted:
        assert 'expected "Approval"' in checked.stdout
