"""Environment variables that are others for a while: processes started meanwhile have them.

with environment.changed(OMP_NUM_THREADS="1"): ...
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def changed(**values: str) -> Iterator[None]:
    """Set environment variables; afterwards they are as they were."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
