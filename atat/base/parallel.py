"""Work distributed over processes: one job per worker at a time, one thread per worker. Over
those of other machines, too, where ATAT_CLUSTER names a cluster (`atat.base.cluster`).

Knows nothing of the work. After an error or Ctrl-C, running jobs finish, no further one starts,
and the error is raised. When this process is killed, its workers end, too.

    for result in parallel.run(function, jobs, nj=4): ...
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from atat.base import cluster, environment
from atat.base.errors import WorkFailed

LEAST = 16  # small items for a process; starting one for fewer costs more time than it saves

Job = TypeVar("Job")
Result = TypeVar("Result")

# Libraries read these when they are loaded, so workers must start with them.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def run(function: Callable[[Job], Result], jobs: Iterable[Job], nj: int) -> Iterator[Result]:
    """Results of `function` for each job, in the order in which they are finished.

    `function` must stand at the top level of a module; jobs and results are pickled. With
    ATAT_CLUSTER the work is done by tasks of a cluster, `nj` at a time. Raises WorkFailed if a
    process or task died.
    """
    settings = cluster.of_environment()
    if settings is not None:
        yield from cluster.run(settings, "data", function, list(jobs), nj)
        return
    jobs = iter(jobs)
    # Spawned, not forked: a fork copies locks and threads in whatever state they are.
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(nj, context, initializer=start_worker) as pool,
        environment.changed(**_ONE_THREAD),
    ):
        running: set[Future[Result]] = set()
        try:
            while True:
                for job in jobs:
                    running.add(pool.submit(function, job))
                    # One job per worker: jobs that no worker has yet can still be cancelled.
                    if len(running) >= nj:
                        break
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool:
            raise WorkFailed(
                "a worker process died, most likely because memory ran out; run the same command "
                "again with a smaller --nj to continue"
            ) from None


def processes(nj: int, items: int) -> int:
    """How many of `nj` processes are worth starting for so many small items."""
    return min(nj, max(1, items // LEAST))


def start_worker(*, spared: bool = False) -> None:
    """A worker's first step, forked or spawned: the main process decides when it ends.

    spared: a SIGTERM from any other process is ignored. A scheduler sends it to every process of
    the job, and a main process that still has to save something needs its workers until then.
    """
    # Ctrl-C reaches every process of the terminal; the main one decides what is finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if spared:  # blocked in every thread, so that the watching one gets it with its sender
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    watch = _end_when_told if spared else _end_with_parent
    threading.Thread(target=watch, daemon=True).start()


def _end_with_parent() -> None:
    parent = _parent()
    # Not its sentinel: forked workers hold each other's open.
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _end_when_told() -> None:
    parent = _parent()
    while os.getppid() == parent:
        signalled = signal.sigtimedwait({signal.SIGTERM}, 1)
        if signalled is not None and signalled.si_pid == parent:
            os._exit(0)
    os._exit(1)


def _parent() -> int | None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    return parent.pid
