"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# At tiny size threads only wait for each other; beside a busy core they wait very long. Read when
# torch is loaded, by this process and by those that the tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real corpora, named by the environment variable ATAT_DATA."""
    folder = os.environ.get("ATAT_DATA")
    if not folder:
        pytest.skip("ATAT_DATA is not set: it names a folder with real corpora")
    return Path(folder)
