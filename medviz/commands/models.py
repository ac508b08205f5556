"""`medviz models list|pull|import|verify`: weights come without code and with one pinned hash."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medviz.console import print_json, print_line, print_table, step_bars
from medviz.core.errors import WeightsMissing
from medviz.core.records import to_plain
from medviz.core.settings import load_settings
from medviz.offline import open_network
from pipelines.models import store

models_app = typer.Typer(no_args_is_help=True, help="Weights: list, fetch, carry in, check.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
ModelId = Annotated[str, typer.Argument(help="Model, as `medviz models list` names it.")]


@models_app.command("list")
def list_(json: Json = False) -> None:
    """List every model, its licence and whether its bytes are here."""
    _print(store.list_models(load_settings().models), json=json)


@models_app.command()
def verify(json: Json = False) -> None:
    """Hash every model anew; exit code 4 when one is damaged."""
    statuses = store.verify(load_settings().models)
    _print(statuses, json=json)
    if any(status.state is store.ModelState.DAMAGED for status in statuses):
        raise WeightsMissing("A model is damaged.", mend="Pull or import it again.")


@models_app.command()
def pull(
    model: ModelId,
    source: Annotated[
        Path | None, typer.Option(help="A mirror folder, instead of the catalogue's sources.")
    ] = None,
) -> None:
    """Fetch a model from the first source that gives the pinned bytes."""
    open_network()
    with step_bars() as bars:
        path = store.pull(model, load_settings().models, source=source, progress=bars.listener(model[:12]))
    print_line(str(path))


@models_app.command("import")
def import_(
    model: ModelId,
    path: Annotated[Path, typer.Argument(help="The file, or a folder that holds it or its shards.")],
) -> None:
    """Take in a model that was carried here, if it is the pinned bytes."""
    with step_bars() as bars:
        target = store.import_file(model, path, load_settings().models, progress=bars.listener(model[:12]))
    print_line(str(target))


def _print(statuses: tuple[store.ModelStatus, ...], *, json: bool) -> None:
    if json:
        print_json({"models": to_plain(statuses)})
        return
    rows = [
        (s.entry.id, s.entry.title, s.entry.version, s.entry.licence, s.state.value, s.entry.sha256[:12])
        for s in statuses
    ]
    print_table("Models", ("id", "title", "version", "licence", "state", "sha256"), rows)
