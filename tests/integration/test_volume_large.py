"""A long scan is read in flat memory: the volume, and little beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.geometry import write_large

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_scan_of_800_slices_is_read_under_1200_megabytes(tmp_path: Path) -> None:
    write_large(tmp_path, slices=800)
    command = [sys.executable, "-m", "benchmarks.geometry", "--one", "ours", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["peak_mb"] < 1200
