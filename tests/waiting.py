"""Waiting in tests, never for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

LIMIT = 120  # seconds; what is waited for takes a few, on a busy machine a few more


def until(done: Callable[[], object], what: str, pause: float = 0.02) -> None:
    """Return as soon as `done()` is true; after LIMIT seconds without it, the test has failed."""
    end = time.monotonic() + LIMIT
    while not done():
        assert time.monotonic() < end, f"waited {LIMIT} s for {what} in vain"
        time.sleep(pause)
