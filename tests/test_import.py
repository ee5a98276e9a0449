"""`import atat` is cheap, and gives programs the Recognizer by its short name."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

import atat
from atat.apps.recognizer import Recognizer
from atat.engine import model_folder

ROOT = Path(__file__).resolve().parent.parent
LOADED = """
import sys
before = set(sys.modules)
import atat
print(*(name for name in set(sys.modules) - before if name.partition(".")[0] != "atat"))
"""


def test_importing_the_package_loads_neither_torch_nor_numpy_nor_anything_but_python() -> None:
    loaded = {name.partition(".")[0] for name in _python(LOADED).split()}
    assert loaded <= sys.stdlib_module_names


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


def test_using_a_model_imports_nothing_that_trains_or_prepares_one(tmp_path: Path) -> None:
    """Which is what makes it slow to load; `import torch` alone takes a second."""
    packed = tiny.packed(("slu", "asr", "nlu"), tiny.without_dropout())
    model_folder.save(tmp_path / "model", packed)
    program = (
        "import sys, numpy; from atat import Recognizer\n"
        f"recognizer = Recognizer.load({str(tmp_path / 'model')!r})\n"
        "found = recognizer(0.1 * numpy.random.default_rng(0).standard_normal(16000))\n"
        "assert found.transcript is not None and recognizer(text='play').nbest\n"
        "print(*sys.modules)"
    )
    loaded = set(_python(program).split())
    training = "train trainer optim sampler loader checkpoint validate distributed assembly decode"
    heavy = {"torchaudio", "transformers", "tensorboard", "jiwer", "pandas"}
    heavy |= {f"atat.engine.{name}" for name in training.split()}
    heavy |= {f"atat.systems.joint.{name}" for name in ("build", "data", "evaluate", "start")}
    assert loaded & heavy == set() and "atat.systems.joint.recognizer" in loaded
    scoring = {name for name in loaded if name.startswith("atat.scoring.")}
    others = {name for name in loaded if name.startswith("atat.systems.lugosch.")}
    assert scoring | others == set()
