"""How much memory a step took: this process and the ones it started."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

_INTERVAL_S = 0.2
_MIB = 1024 * 1024


@dataclass(slots=True)
class Peak:
    """Largest resident memory seen so far, MiB."""

    mb: float = 0.0


@contextlib.contextmanager
def peak_memory() -> Iterator[Peak]:
    """Yield a `Peak` that a thread keeps up to date, five times a second."""
    peak, stop = Peak(), threading.Event()
    watcher = threading.Thread(target=_watch, args=(peak, stop), daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        stop.set()
        watcher.join()


def _watch(peak: Peak, stop: threading.Event) -> None:
    process = psutil.Process()
    while True:
        peak.mb = max(peak.mb, _resident_mb(process))
        if stop.wait(_INTERVAL_S):
            return


def _resident_mb(process: psutil.Process) -> float:
    total = process.memory_info().rss
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            total += child.memory_info().rss
    return float(total) / _MIB
