"""Prints how `medviz deid` takes archives of growing size: pace, cores used, and peak memory.

    python -m benchmarks.deid_archive [FILES ...]    default 1000 10000

Each archive holds small CT slices, a hundred a study, each study of another invented patient. The profile
looks at headers only. Pace is files per second of wall time, everything counted: listing, quarantine, pages.
Two runs of one size, with one worker and with one a core, show what the cores bring.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from tests import make_raw

_A_STUDY = 100
_PROFILE = """title = "Headers only"
options = ["clean_descriptors", "retain_longitudinal_modified_dates", "retain_patient_characteristics"]
keep = []
"""


def write_archive(folder: Path, *, files: int) -> Path:
    """Write an archive of `files` slices by changing the names and UIDs in the bytes of one study."""
    slices = [make_raw.to_bytes(make_raw.ct_slice(index)) for index in range(_A_STUDY)]
    for number in range(files):
        study, index = divmod(number, _A_STUDY)
        place = folder / f"{study:05d}" / f"{index:03d}.dcm"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(_renamed(slices[index], study))
    return folder


def _renamed(content: bytes, study: int) -> bytes:
    """Return a slice of another study and patient, of the same length."""
    old, root = make_raw.PATIENT_ID.encode(), make_raw.ROOT.encode()
    content = content.replace(old, f"{study:0{len(old)}d}".encode())
    return content.replace(root, root[:-5] + f"{10000 + study:05d}".encode())


class Figures(NamedTuple):
    """Wall seconds; CPU seconds of all processes; peak memory of the largest of them, MB."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def run(source: Path, folder: Path, *, workers: int) -> Figures:
    """Run the command over an archive in a home of its own, and watch its processes."""
    home = folder / f"home-{source.name}-{workers}"
    profile = folder / "headers.toml"
    profile.write_text(_PROFILE, encoding="utf-8")
    command = [Path(sys.executable).with_name("medviz"), "deid", source, home / "out"]
    options = ["--profile", profile, "--workers", str(workers)]
    settings = os.environ | {"MEDVIZ_HOME": str(home), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    with psutil.Popen([*command, *options], env=settings, stdout=subprocess.DEVNULL) as process:
        seen: dict[int, tuple[float, float]] = {}
        while process.poll() is None:
            seen |= dict(_watched(process))
            time.sleep(0.1)
    wall_s = time.perf_counter() - start
    return Figures(wall_s, sum(cpu for cpu, _ in seen.values()), max(peak for _, peak in seen.values()))


def _watched(process: psutil.Process) -> Iterator[tuple[int, tuple[float, float]]]:
    """Give CPU seconds and peak memory so far of a process and all that it started."""
    with suppress(psutil.Error):
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error, OSError, StopIteration):
                status = Path(f"/proc/{one.pid}/status").read_text()
                peak_kb = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
                times = one.cpu_times()
                yield one.pid, (times.user + times.system, int(peak_kb) / 1024)


def main(sizes: list[int]) -> None:
    """Print a line for each size and number of workers."""
    folder = Path(tempfile.mkdtemp(prefix="deid-archive-"))
    cores = len(os.sched_getaffinity(0))
    print(f"{'files':>8} {'workers':>8} {'files/s':>8} {'CPU s':>8} {'cores':>6} {'peak MB':>8}")
    try:
        for files in sizes:
            source = write_archive(folder / str(files), files=files)
            for workers in dict.fromkeys((1, cores)):
                cost = run(source, folder, workers=workers)
                busy = cost.cpu_s / cost.wall_s
                print(
                    f"{files:8d} {workers:8d} {files / cost.wall_s:8.0f} {cost.cpu_s:8.1f} {busy:6.2f} "
                    f"{cost.peak_mb:8.0f}",
                    flush=True,
                )
                shutil.rmtree(folder / f"home-{source.name}-{workers}")
            shutil.rmtree(source)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [1000, 10000])
