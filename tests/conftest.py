"""Fixtures that several test files share."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# At tiny size threads only wait for each other; beside a busy core they wait very long. Read when
# torch is loaded, by this process and by those that the tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Whole recipes, minutes each: begun last, they would keep one core busy while the others wait.
BEGUN_FIRST = ("test_template_page.py", "test_main_job.py", "test_training.py", "test_runtime.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first; the order of all others stays."""
    place = {name: index for index, name in enumerate(BEGUN_FIRST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real corpora, named by the environment variable ATAT_DATA."""
    folder = os.environ.get("ATAT_DATA")
    if not folder:
        pytest.skip("ATAT_DATA is not set: it names a folder with real corpora")
    return Path(folder)


@pytest.fixture
def copied(data: Path, tmp_path: Path) -> Path:
    """A copy of the test file's `data`, to be changed."""
    return Path(shutil.copytree(data, tmp_path / "copied"))


@pytest.fixture
def renamed(copied: Path) -> Path:
    """A copy in which a slot has a value that `data` does not have."""
    path = copied / "semantics"
    path.write_text(path.read_text().replace("heat", "tea"))
    return copied


@pytest.fixture(scope="module")
def local(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Imports a module of the recipe whose folder local/ is LOCAL of the test file.

    Recipes may call theirs alike: what others have imported comes back afterwards.
    """
    folder = Path(request.module.LOCAL)
    known = {path.stem for path in folder.glob("*.py")}
    others = {name: sys.modules.pop(name) for name in known & sys.modules.keys()}
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(str(folder))
        for name in known:
            sys.modules.pop(name, None)
        sys.modules.update(others)
