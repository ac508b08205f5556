"""A small case for the tests of durable runs, run as a process of its own so that it can be killed.

    python -m tests.durable_worker HOME CASE [key=value ...]

Each step appends its name to ``HOME/effects`` when it has done its work. Keys: ``steps=a,b``, ``kill=STEP``
(kill -9 before its effect), ``kill_after=STEP`` (after its effect, before it returns), ``slow=STEP:SECONDS``,
``fail=STEP``, ``fill=STEP`` (fills the disk), ``fresh=STEP`` (no longer done), ``despite=1``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from medviz.core.errors import MedVizError, WeightsMissing
from medviz.core.settings import Settings
from medviz.jobs import run_case_durably


def say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")


def fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as stream:
        while True:
            stream.write(b"x" * 512)


def main(home: Path, case_id: str, options: dict[str, str]) -> int:
    steps = options.get("steps", "one,two,three,four").split(",")
    slow_step, _, slow_s = options.get("slow", "").partition(":")

    def run_one(case_id: str, step: str) -> object:
        with (home / "begun").open("a") as stream:
            stream.write(f"{case_id} {step}\n")
        if step == options.get("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        if step == slow_step:
            time.sleep(float(slow_s))
        if step == options.get("fill"):
            fill(home / "fill")
        if step == options.get("fail"):
            raise WeightsMissing("No weights.", reason="WEIGHTS_MISSING", mend="Run medviz models pull.")
        with (home / "effects").open("a") as stream:
            stream.write(f"{case_id} {step}\n")
        if step == options.get("kill_after"):
            os.kill(os.getpid(), signal.SIGKILL)
        return {"step": step, "answer": 42}

    try:
        outputs = run_case_durably(
            case_id,
            steps,
            run_one,
            Settings(home=home, models=home / "models"),
            still_done=lambda _case, step: step != options.get("fresh"),
            despite_crashes="despite" in options,
        )
    except MedVizError as error:
        say({"error": type(error).__name__, "reason": error.reason, "text": str(error)})
        return error.exit_code
    say(outputs)
    return 0


if __name__ == "__main__":
    pairs = (argument.partition("=") for argument in sys.argv[3:])
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], {key: value for key, _, value in pairs}))
