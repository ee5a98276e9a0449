"""`import atat` is cheap, and gives programs the Recognizer by its short name."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import atat
from atat.apps.recognizer import Recognizer

ROOT = Path(__file__).resolve().parent.parent
TIMED = """
import sys, time
start = time.perf_counter()
import atat
seconds = time.perf_counter() - start
print(seconds, *({"torch", "numpy"} & set(sys.modules)))
"""


def test_importing_the_package_loads_neither_torch_nor_numpy_and_takes_no_time() -> None:
    said = [_python(TIMED).split() for _ in range(3)]
    assert [heavy for _, *heavy in said] == [[], [], []]
    assert min(float(seconds) for seconds, *_ in said) < 0.05


def test_the_short_name_is_the_same_class() -> None:
    from atat import Recognizer as Short

    assert Short is Recognizer
    assert "Recognizer" in dir(atat)
    assert _python("from atat import Recognizer; print(Recognizer.__name__)") == "Recognizer\n"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Recogniser'"):
        _ = atat.Recogniser
    assert not hasattr(atat, "train")


def test_no_room_uses_the_short_name() -> None:
    """It would be a way around the order of the rooms (tests/test_rooms.py)."""
    for path in (ROOT / "atat").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "atat":
                assert "Recognizer" not in [name.name for name in node.names], path


def _python(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return done.stdout
