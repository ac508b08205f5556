"""Work shared among processes: one job at a time each; a process that dies takes only its own job with it."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, NamedTuple, TypeVar

from medviz.core.errors import MedVizError, NotAvailable
from medviz.core.progress import Progress

J = TypeVar("J")
R = TypeVar("R")

Hand = Callable[[J, Progress], R]
"""Does one job and tells how far it is."""
MakeHand = Callable[[], AbstractContextManager[Callable[[J, Progress], R]]]

MOST_DEATHS_AT_START = 3
_LEAST_STEP = 0.05
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


class Done(NamedTuple, Generic[J, R]):
    """A finished job and its result; None when the process that did it died."""

    job: J
    result: R | None


def worked_through(
    jobs: Iterable[J],
    make_hand: MakeHand[J, R],
    *,
    workers: int,
    listen: Callable[[J, float], None] = lambda _job, _fraction: None,
) -> Generator[Done[J, R], None, None]:
    """Give each job with its result, in the order they end; closing it ends all processes.

    Parameters
    ----------
    jobs : iterable
        Asked for the next one only when a worker is free.
    make_hand : callable
        Gives a context that gives the hand; called once in each process, and picklable if there are several.
    workers : int
        Processes; with 1, the work is done in this one.
    listen : callable
        Told about a job's fraction done.

    Raises
    ------
    MedVizError
        What a hand raised; all others are stopped then.
    """
    if workers <= 1:
        with make_hand() as hand:
            for job in jobs:
                yield Done(job, hand(job, _listener(listen, job)))
        return
    yield from _Crew(make_hand, workers, listen).run(iter(jobs))


def _listener(listen: Callable[[J, float], None], job: J) -> Progress:
    return lambda fraction, _figure: listen(job, fraction)


class _Helper(Generic[J]):
    """A process and the job it has."""

    def __init__(self, make_hand: MakeHand[J, Any]) -> None:
        context = multiprocessing.get_context("forkserver")  # a fork of threads would be unsafe
        context.set_forkserver_preload(["__main__", "anonymize.archive"])
        self.pipe, far_end = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(far_end, make_hand), daemon=True)
        self.process.start()
        far_end.close()
        self.job: J | None = None
        self.is_ready = False

    def give(self, job: J) -> None:
        self.job = job
        with suppress(BrokenPipeError, ConnectionResetError):  # it died: the pipe says so when it is read
            self.pipe.send(job)

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class _Crew(Generic[J, R]):
    """The processes of one run."""

    def __init__(self, make_hand: MakeHand[J, R], workers: int, listen: Callable[[J, float], None]) -> None:
        self._make_hand, self._workers, self._listen = make_hand, workers, listen
        self._helpers: list[_Helper[J]] = []
        self._deaths_at_start = 0

    def run(self, jobs: Iterator[J]) -> Iterator[Done[J, R]]:
        try:
            while self._hand_out(jobs):
                by_pipe = {helper.pipe: helper for helper in self._helpers if helper.job is not None}
                for pipe in wait(list(by_pipe)):
                    yield from self._heard(by_pipe[pipe])  # type: ignore[index]  # only pipes were given
        finally:
            for helper in self._helpers:
                helper.stop()

    def _hand_out(self, jobs: Iterator[J]) -> bool:
        """Give a job to everyone who has none, and return whether anyone has one."""
        for helper in [helper for helper in self._helpers if helper.job is None]:
            if (job := next(jobs, None)) is None:
                break
            helper.give(job)
        while len(self._helpers) < self._workers and (job := next(jobs, None)) is not None:
            self._helpers.append(_Helper(self._make_hand))
            self._helpers[-1].give(job)
        return any(helper.job is not None for helper in self._helpers)

    def _heard(self, helper: _Helper[J]) -> Iterator[Done[J, R]]:
        job = helper.job
        assert job is not None
        try:
            kind, content = helper.pipe.recv()
        except (EOFError, ConnectionResetError):
            yield from self._buried(helper, job)
            return
        helper.is_ready = True
        if kind == "failed":
            raise content
        if kind == "tick":
            self._listen(job, content)
            return
        helper.job = None
        yield Done(job, content)

    def _buried(self, helper: _Helper[J], job: J) -> Iterator[Done[J, R]]:
        self._helpers.remove(helper)
        helper.stop()
        self._deaths_at_start += 0 if helper.is_ready else 1
        if self._deaths_at_start >= MOST_DEATHS_AT_START:
            raise NotAvailable(
                "The worker processes end as soon as they start.",
                reason="WORKERS_DIE",
                mend="Run it again with --workers 1, and look at the machine's free memory.",
            )
        yield Done(job, None)


def _serve(pipe: Connection, make_hand: MakeHand[Any, Any]) -> None:
    """Do jobs until the other end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who gives the jobs decides what Ctrl-C means
    _die_with_parent()
    try:
        with make_hand() as hand:
            pipe.send(("tick", 0.0))
            while True:
                job = pipe.recv()
                pipe.send(("done", hand(job, _teller(pipe))))
    except EOFError:
        return
    except MedVizError as error:
        pipe.send(("failed", error))
    except Exception as error:  # the door of a process: a message might hold a patient's data, so it goes
        told = MedVizError(f"A worker ended ({type(error).__name__}).", reason="UNFORESEEN")
        pipe.send(("failed", told))


def _die_with_parent() -> None:
    """Ask the kernel to end this process when its parent dies, even by ``kill -9``."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _teller(pipe: Connection) -> Progress:
    """Return a listener that passes on only steps that one can see."""
    last = [0.0]

    def tell(fraction: float, _figure: str) -> None:
        if fraction - last[0] >= _LEAST_STEP:
            last[0] = fraction
            pipe.send(("tick", fraction))

    return tell
