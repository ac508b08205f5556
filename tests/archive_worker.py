"""De-identifies an archive in a process of its own, which a test may kill: SOURCE OUT HOME WORKERS."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from tests.make_archive import run_archive

if __name__ == "__main__":
    source, out, home = (Path(argument) for argument in sys.argv[1:4])
    report = run_archive(source, out, home, workers=int(sys.argv[4]))
    sys.stdout.write(f"{report.written} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}\n")
