"""Trainings that fail on purpose, each in a process of its own: what becomes of them.

    python failing.py CONF OUT [LIMIT]

Prints a line "KIND WORKERS CODE LEFT SECONDS" for each: its exit code ("hangs" where LIMIT seconds
were not enough) and how many of its processes were left. Forked from one process that has trained
a step, so that each is a matter of a second.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import torch

from atat.base import cli, config
from atat.engine import checkpoint, trainer
from atat.engine.train import train
from atat.systems.joint.settings import TrainSettings

KINDS = {
    "RuntimeError": RuntimeError("injected"),
    "MemoryError": MemoryError("injected"),
    "ENOSPC": None,
    "KeyError": KeyError("injected"),
    "OutOfMemoryError": torch.OutOfMemoryError("injected"),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "SystemExit": SystemExit(3),
    "SIGKILL": None,
}


def fail(kind: str) -> None:
    """Let the second step raise, or the first checkpoint where the disk is full."""
    if kind == "ENOSPC":
        checkpoint.atomic_write = no_room
        return
    step = trainer.Trainer._step
    trainer.Trainer._step = lambda self, number, batches: (
        step(self, number, batches) if number < 2 else _raise(kind)
    )


@contextmanager
def no_room(path: Path, mode: str) -> Iterator[IO[bytes]]:
    """Takes the place of `atomic_write`: a file on a disk without room."""
    with open("/dev/full", mode) as stream:
        yield stream


def _raise(kind: str) -> None:
    error = KINDS[kind]
    if error is None:
        os.kill(os.getpid(), signal.SIGKILL)
    raise error


def processes_of(session: int) -> list[int]:
    """Processes of a session that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, leader = stat.read_text().rsplit(")", 1)[1].split()[:4]
        except OSError:
            continue  # it has just ended
        if int(leader) == session and state != "Z":
            found.append(int(stat.parent.name))
    return found


def wait(child: int, limit: float) -> str:
    """The exit code of a child, as text."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return str(os.waitstatus_to_exitcode(status))
        time.sleep(0.02)
    return "hangs"


def main(conf: str, out: str, limit: str = "60") -> None:
    train(config.load(conf, TrainSettings, ["workers=0", "steps=1"]), Path(out) / "whole")
    gc.freeze()  # what is there stays there: the children need not touch it
    for workers in (0, 1, 2):
        settings = config.load(conf, TrainSettings, [f"workers={workers}"])
        for kind in KINDS:
            start, child = time.monotonic(), os.fork()
            if child == 0:
                os.setsid()
                fail(kind)
                cli.run(lambda: train(settings, Path(out) / f"{kind}{workers}"))
                return  # the end of this process is the interpreter's own, as in real life
            code = wait(child, float(limit))
            left = processes_of(child)
            while code != "hangs" and left and time.monotonic() < start + float(limit):
                time.sleep(0.02)
                left = processes_of(child)
            for process in left:
                os.kill(process, signal.SIGKILL)
            print(kind, workers, code, len(left), f"{time.monotonic() - start:.1f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
