"""Kills work at a step of its own choice: before anything that changes names on the disk."""

from __future__ import annotations

import os
from collections.abc import Callable

KILLED = 77
# What changes names on the disk: a process may be killed before any of them.
STEPS = ("rename", "replace", "unlink", "rmdir", "mkdir", "fsync")


def run_killed_at(number: int, work: Callable[[], None]) -> bool:
    """Do some work in a fork that ends, without a word, before its step `number`; did it end?"""
    child = os.fork()
    if child == 0:
        left = [number]

        def deadly(real: Callable[..., object]) -> Callable[..., object]:
            def step(*arguments: object, **options: object) -> object:
                left[0] -= 1
                if left[0] < 0:
                    os._exit(KILLED)
                return real(*arguments, **options)

            return step

        for name in STEPS:
            setattr(os, name, deadly(getattr(os, name)))
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, KILLED)
    return status == KILLED
