"""`medviz cases` and `medviz case show`: what is there and how far it is."""

from __future__ import annotations

from typing import Annotated

import typer

from medviz.casefolder import CaseFolder, CaseShelf
from medviz.casework import STEPS, is_step_done
from medviz.console import print_json, print_step_times, print_table
from medviz.core.records import to_plain
from medviz.core.settings import load_settings
from medviz.lease import read_note

case_app = typer.Typer(no_args_is_help=True, help="Look at one case.")


def cases(json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """List every case and how far it is."""
    settings = load_settings()
    found = CaseShelf(settings.home).cases()
    rows = [(case, *_state(case)) for case in found]
    if json:
        print_json(
            {"cases": [{"case": case.case_id, "state": state, "step": at} for case, state, at in rows]}
        )
        return
    print_table(
        "Cases",
        ("case", "opened", "state", "step"),
        [(case.case_id, case.request.created_at, state, at) for case, state, at in rows],
    )


@case_app.command()
def show(
    case_id: Annotated[str, typer.Argument(help="Case number.")],
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Show what was asked of a case, which steps are done, and where their outputs lie."""
    case = CaseShelf(load_settings().home).case(case_id)
    state, at = _state(case)
    if json:
        print_json(
            {"case": case.case_id, "state": state, "step": at, "request": to_plain(case.request),
             "steps": to_plain(case.records())}
        )  # fmt: skip
        return
    print_table(
        f"Case {case.case_id}: {state}",
        ("asked", ""),
        [(k, str(v)) for k, v in to_plain(case.request).items()],
    )
    print_step_times(case.records())
    rows = [(record.step, str(case.output(record.step)), record.sentence) for record in case.records()]
    print_table("Outputs", ("step", "folder", "what it did"), rows)


def _state(case: CaseFolder) -> tuple[str, str]:
    """Return a case's state and the step it is at."""
    made = [name for name, step in STEPS.items() if not step.runs_always]
    pending = next((name for name in made if not is_step_done(name, case)), "")
    if not pending and case.record("submit"):
        return "in review", ""
    note = read_note(case.case_id, CaseShelf(case.folder.parents[1]).home)
    return (note.state if note else "open"), pending
