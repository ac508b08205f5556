"""`medviz doctor` and `medviz sample`: what this machine has, and a study to try it on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medviz import doctor as clinic
from medviz.commands.run import make_sample
from medviz.console import print_json, print_line, print_table
from medviz.core.errors import NotAvailable
from medviz.core.records import to_plain
from medviz.core.settings import load_settings


def doctor(json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Say what this machine has and lacks, each with the line that mends it."""
    checks = clinic.examine(load_settings())
    if json:
        print_json({"checks": to_plain(checks)})
    else:
        rows = [(c.name, _verdict(c), c.found, "" if c.is_good else c.mend) for c in checks]
        print_table("This machine", ("what", "", "found", "mend with"), rows)
    if any(check.is_needed and not check.is_good for check in checks):
        raise NotAvailable(
            "Something needed is missing.", reason="DOCTOR", mend="See the lines marked MISSING."
        )


def sample(
    name: Annotated[str, typer.Argument(help="head-ct or phantom.")] = "head-ct",
    source: Annotated[Path | None, typer.Option(help="The sample's .deb or .inv3, when carried in.")] = None,
) -> None:
    """Make a sample DICOM study with an invented identity planted in it, and print its folder."""
    print_line(str(make_sample(name, load_settings(), source)))


def _verdict(check: clinic.Check) -> str:
    if check.is_good:
        return "ok"
    return "MISSING" if check.is_needed else "none"
