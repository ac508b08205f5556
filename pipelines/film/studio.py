"""Renders shots on several threads and encodes them; the bytes do not depend on how many threads."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipelines.film.encoder import Planes, ShotWriter, disk_watched, planes_of
from pipelines.film.furniture import Layout
from pipelines.film.painters import Overlay, Painter
from pipelines.film.rasteriser import Rasteriser

_MOST_HELD = 96
"""Longest run of equal frames that is worked on as one piece."""


@dataclass(frozen=True, slots=True)
class Run:
    """Frames of a shot that share their picture: the first, and how many."""

    first: int
    frames: int


class Studio:
    """Threads with a renderer each. Use as a context manager.

    Parameters
    ----------
    layout : Layout
        Size of the frames.
    frames_per_second : int
        Rate of the film.
    threads : int
        How many frames are painted side by side.
    """

    def __init__(self, layout: Layout, frames_per_second: int, threads: int) -> None:
        self._layout, self._fps, self._threads = layout, frames_per_second, threads
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="film")

    def __enter__(self) -> Studio:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def shoot(self, painter: Painter, overlay: Overlay, path: Path, told: Callable[[int], None]) -> None:
        """Render and encode a shot into `path`; `told` is called with the frames done and may stop it.

        Raises
        ------
        StorageFull
            If the disk ran out; the shots finished before are kept.
        """
        with disk_watched():
            writer = ShotWriter(path, self._layout.width, self._layout.height, self._fps)
            done = 0
            try:
                for planes, times in self._painted(painter, overlay):
                    writer.add(planes, times)
                    done += times
                    told(done)
                writer.finish()
            finally:
                writer.abandon()

    def _painted(self, painter: Painter, overlay: Overlay) -> Iterator[tuple[Planes, int]]:
        """Yield frames in order with how often each is held, a few ahead of the encoder."""
        runs = runs_of(painter, overlay.time.frames)
        waiting: deque[Future[list[tuple[Planes, int]]]] = deque()
        try:
            for run in itertools.chain(runs, itertools.repeat(None, 2 * self._threads)):
                if run is not None:
                    waiting.append(self._pool.submit(self._paint_run, painter, overlay, run))
                if waiting and (run is None or len(waiting) > 2 * self._threads):
                    yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def _paint_run(self, painter: Painter, overlay: Overlay, run: Run) -> list[tuple[Planes, int]]:
        picture = painter.paint(run.first, self._renderer())
        result: list[tuple[Planes, int]] = []
        numbers = range(run.first, run.first + run.frames)
        for words, group in itertools.groupby(numbers, key=overlay.words_at):
            frame = picture.copy()
            overlay.draw(frame, words)
            result.append((planes_of(frame), len(list(group))))
        return result

    def _renderer(self) -> Rasteriser:
        if not hasattr(self._local, "renderer"):
            self._local.renderer = Rasteriser(self._layout.width, self._layout.height)
        renderer: Rasteriser = self._local.renderer
        return renderer


def runs_of(painter: Painter, frames: int) -> Iterator[Run]:
    """Yield the frames of a shot in runs that look the same under their words."""
    first = 0
    state = painter.state(0)
    for frame in range(1, frames + 1):
        following = painter.state(frame) if frame < frames else None
        if frame == frames or following != state or frame - first >= _MOST_HELD:
            yield Run(first, frame - first)
            first, state = frame, following
