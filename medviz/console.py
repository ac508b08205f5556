"""What a person sees while a case runs: a bar per step on standard error, with time left and a figure."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from medviz.casefolder import StepRecord
from medviz.core import progress as core_progress
from medviz.core.errors import MedVizError
from medviz.core.records import to_plain

notes = Console(stderr=True, highlight=False)
"""Everything but results goes to standard error, so that `--json` output stays one object."""


def silence_libraries() -> None:
    """Keep readers from printing header values: their warnings and logs may quote a patient's name."""
    warnings.simplefilter("ignore")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)


@contextmanager
def step_bars() -> Iterator[StepBars]:
    """Yield the bars of a run."""
    with Progress(
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=28),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figure]}"),
        console=notes,
        disable=not notes.is_terminal,
    ) as bars:
        yield StepBars(bars)


class StepBars:
    """One bar per step; `listener(step)` is the `Progress` that moves it."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def listener(self, step: str) -> core_progress.Progress:
        """Return what a step calls with its fraction done and its figure."""
        task = self._tasks.setdefault(step, self._bars.add_task(step, total=1.0, figure=""))

        def listen(fraction: float, figure: str) -> None:
            self._bars.update(task, completed=fraction, figure=figure)

        return listen

    def finished(self, step: str, figure: str) -> None:
        """Fill a step's bar and put its last word beside it; where nobody watches, print a line."""
        self.listener(step)(1.0, figure)
        if not notes.is_terminal:
            notes.print(f"{step}: {figure}", soft_wrap=True)


def print_json(value: object) -> None:
    """Print one JSON object on standard output."""
    sys.stdout.write(json.dumps(to_plain(value), indent=1, ensure_ascii=False) + "\n")


def print_line(text: str = "") -> None:
    """Print one line of result on standard output."""
    sys.stdout.write(text + "\n")


def print_error(error: MedVizError) -> None:
    """Print what happened, its code and what to do next."""
    notes.print(f"[bold red]{error.reason}[/]: {error.message}", soft_wrap=True)
    if error.mend:
        notes.print(f"  What to do: {error.mend}", soft_wrap=True)


def print_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of results on standard output."""
    table = Table(*headings, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table)


def print_step_times(records: Sequence[StepRecord]) -> None:
    """Print how long each step took and how much memory it needed."""
    rows = [(record.step, f"{record.length_s:.1f}", f"{record.peak_mb:.0f}") for record in records]
    total = sum(record.length_s for record in records)
    most = max((record.peak_mb for record in records), default=0.0)
    rows.append(("all", f"{total:.1f}", f"{most:.0f}"))
    print_table("Steps", ("step", "seconds", "peak MiB"), rows)
