"""Processes for tests: forks of one process that has loaded torch and has used nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.multiprocessing as mp

from atat.base import environment

ROOT = Path(__file__).resolve().parent.parent
# The first optimizer of a process loads torch._dynamo, which takes seconds.
PRELOADED = ["torch", "torch._dynamo", "atat.systems.joint.system", "atat.engine.train"]


@contextmanager
def forkserver() -> Iterator[Any]:
    """Inside, the context of multiprocessing whose processes are such forks."""
    mp.set_forkserver_preload(PRELOADED)
    with environment.changed(CUDA_VISIBLE_DEVICES="", PYTHONPATH=str(ROOT)):
        yield mp.get_context("forkserver")


def from_one(function: Callable[..., None], count: int, *arguments: Any) -> None:
    """Call function(number, *arguments) in `count` processes, and wait for them."""
    with forkserver():
        mp.start_processes(function, arguments, nprocs=count, start_method="forkserver")
