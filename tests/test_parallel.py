"""Shared-out work: all of it is done, errors come through, workers are one thread and end."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import LIMIT, until

from atat.base import parallel
from atat.base.errors import InputError


def square(number: int) -> int:
    if number < 0:
        raise InputError(f"negative: {number}")
    return number * number


def threads(_: int) -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


def note(path: Path) -> int:
    """Leave the process id where the test finds it, then never come back."""
    path.write_text(str(os.getpid()))
    time.sleep(600)
    return 0


@pytest.mark.parametrize("nj", [1, 3])
def test_every_job_is_done_once(nj: int) -> None:
    assert sorted(parallel.run(square, range(7), nj)) == [number**2 for number in range(7)]
    assert list(parallel.run(square, [], nj)) == []


def test_jobs_are_taken_only_as_workers_are_free() -> None:
    taken: list[int] = []

    def jobs() -> Iterator[int]:
        for number in range(10):
            taken.append(number)
            yield number

    results = parallel.run(square, jobs(), 2)
    next(results)
    assert len(taken) <= 2
    results.close()
    assert len(taken) <= 2


def test_an_error_comes_through_as_it_is() -> None:
    with pytest.raises(InputError, match="negative: -3"):
        list(parallel.run(square, [1, -3, 2], 1))


def test_workers_are_limited_to_one_thread_and_we_are_not() -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    assert list(parallel.run(threads, [0], 1)) == ["1"]
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_workers_end_when_the_main_process_is_killed(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from atat.base import parallel; import sys; import test_parallel"
    )
    script += "; list(parallel.run(test_parallel.note, [Path(sys.argv[1])], 1))"
    here = Path(__file__).parent
    main = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "pid")],
        env={**os.environ, "PYTHONPATH": f"{here}:{here.parent}"},
        stderr=subprocess.DEVNULL,  # where Python's own clean-up process complains of the kill
    )
    pid = tmp_path / "pid"
    try:
        until(lambda: main.poll() is not None or (pid.exists() and pid.read_text()), "the worker")
        assert main.poll() is None
    finally:
        main.kill()
    main.wait(LIMIT)
    worker = int(pid.read_text())
    until(lambda: not _is_running(worker), "the worker's end")


def idle(pid: Path) -> None:
    """A worker that a scheduler's signal must not end, and that has nothing to do."""
    parallel.start_worker(spared=True)
    pid.write_text("ready")
    time.sleep(600)


def test_a_spared_worker_ends_by_its_main_process_alone(tmp_path: Path) -> None:
    worker = multiprocessing.get_context("spawn").Process(
        target=idle, args=(tmp_path / "pid",), daemon=True
    )
    worker.start()
    try:
        until(lambda: (tmp_path / "pid").exists(), "the worker")
        for _ in range(3):
            subprocess.run(["kill", "-TERM", str(worker.pid)], check=True)
            worker.join(0.2)
            assert worker.is_alive()
        worker.terminate()
        worker.join(LIMIT)
        assert worker.exitcode == 0
    finally:
        worker.kill()


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
