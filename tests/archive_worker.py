"""De-identifies an archive in a process of its own, which a test may kill: SOURCE OUT HOME WORKERS [MB].

With MB it may hold no more than that in memory of its own; mapped files are not counted.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from tests.make_archive import run_archive

if __name__ == "__main__":
    source, out, home = (Path(argument) for argument in sys.argv[1:4])
    if len(sys.argv) > 5:
        resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[5]) << 20,) * 2)
    report = run_archive(source, out, home, workers=int(sys.argv[4]))
    status = Path("/proc/self/status").read_text()  # getrusage would count the process that started this one
    peak_kb = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    sys.stdout.write(f"{report.written} {peak_kb}\n")
