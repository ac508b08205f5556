"""Runs the real `medviz` command in a process of its own, as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "medviz")
NO_NETWORK = ("unshare", "--user", "--map-root-user", "--net")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command answered."""

    exit_code: int
    output: str
    errors: str

    def json(self) -> Any:
        """Return the one JSON object on standard output."""
        return json.loads(self.output)


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a site of its own at `home`, with this user's models."""
    models = os.environ.get("MEDVIZ_MODELS", str(Path.home() / ".local/share/medviz/models"))
    return os.environ | {"MEDVIZ_HOME": str(home), "MEDVIZ_MODELS": models, "COLUMNS": "200"}


def start(
    *arguments: str | Path, home: Path, before: Sequence[str] = (), **settings: str
) -> subprocess.Popen[str]:
    """Start `medviz` with arguments; `settings` are `MEDVIZ_*` values; `before` wraps the command."""
    env = environment(home) | {f"MEDVIZ_{name.upper()}": value for name, value in settings.items()}
    command = [*before, *COMMAND, *map(str, arguments)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def medviz(
    *arguments: str | Path, home: Path, before: Sequence[str] = (), typed: str | None = None, **settings: str
) -> Answer:
    """Run `medviz` to its end and return what it answered."""
    env = environment(home) | {f"MEDVIZ_{name.upper()}": value for name, value in settings.items()}
    command = [*before, *COMMAND, *map(str, arguments)]
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, input=typed, timeout=1500
    )
    return Answer(done.returncode, done.stdout, done.stderr)
