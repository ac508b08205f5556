"""Releases C0001 in a process of its own, which can be killed just before any function of the release.

python -m tests.release_worker HOME TARGET [FUNCTION]
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import review.release
from medviz.core.errors import MedVizError
from review.sign import approval_of


def die(*_arguments: Any, **_options: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(home: Path, target: Path, fatal: str) -> int:
    if fatal:
        setattr(review.release, fatal, die)
    try:
        review.release.release("C0001", target, approval_of("C0001", home=home), home=home)
    except MedVizError as error:
        sys.stdout.write(error.reason)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else ""))
