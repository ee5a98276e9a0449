"""Work shared out over processes: as many jobs at a time as there are workers, each one thread.

Knows nothing of the work. An error or Ctrl-C lets the jobs in work finish, starts no further
one, and is then raised; when this process is killed its workers end, too.

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
from contextlib import contextmanager
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

# Libraries read these when they are loaded, so workers must be born with them.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def run(function: Callable[[Job], Result], jobs: Iterable[Job], nj: int) -> Iterator[Result]:
    """Results of `function` for each job, in the order in which they are finished.

    `function` must stand at the top level of a module; jobs and results are pickled.
    """
    jobs = iter(jobs)
    # Started afresh instead of forked: a fork copies locks and threads in whatever state they are.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(nj, context, initializer=start_worker) as pool, _environment():
        running: set[Future[Result]] = set()
        try:
            while True:
                for job in jobs:
                    running.add(pool.submit(function, job))
                    # One job a worker: what is in no worker's hands can still be left undone.
                    if len(running) >= nj:
                        break
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool:
            raise RuntimeError(
                "a worker process died, most likely for want of memory; run the same command "
                "again with a smaller --nj to continue"
            ) from None


def start_worker(*, spared: bool = False) -> None:
    """What a worker does first, forked or started afresh: it ends when the main process says so.

    spared: a SIGTERM of anybody else is ignored. A scheduler sends it to every process of the job,
    and a main process that still has something to save needs its workers until then.
    """
    # Ctrl-C reaches every process of the terminal; the main one decides what is finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if spared:  # blocked in every thread, so that the watching one receives it, with its sender
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


@contextmanager
def _environment() -> Iterator[None]:
    """Workers started inside are limited to one thread each."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
