"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real corpora, named by the environment variable ATAT_DATA."""
    folder = os.environ.get("ATAT_DATA")
    if not folder:
        pytest.skip("ATAT_DATA is not set: it names a folder with real corpora")
    return Path(folder)
