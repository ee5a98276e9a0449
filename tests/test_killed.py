"""A model that is written anew is the old one or the new one wherever its writer is killed.

utils/kill.py kills whole process groups at random moments, by hand.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import tiny
import torch
from killed import run_killed_at

from atat.base import folders
from atat.engine import export, model_folder, pack, quantize
from atat.engine.settings import ValidSettings
from atat.engine.train import train
from atat.runtime import description
from atat.systems.joint.packed import Packed
from atat.systems.joint.system import system

LOCAL = Path(__file__).parent.parent / "utils"
CARD = ("README.md", "about.json", "SHA256SUMS")  # written once more when the model is there


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two packed models of random weights, and an interrupted training."""
    folder = tmp_path_factory.mktemp("models")
    for number in (1, 2):
        torch.manual_seed(number)
        model_folder.save(folder / f"model{number}", tiny.packed())
    corpus = tiny.make_corpus(folder / "corpus")
    run = tiny.training(corpus, steps=2, valid=ValidSettings(), checkpoint_every=1)
    train(run, folder / "exp")
    return folder


def digest(folder: Path) -> str | None:
    """One value for all that a model holds but its card; None where there is none."""
    if not folder.is_dir():
        return None
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in CARD:
            found.update(f"{path.relative_to(folder)}\n".encode() + path.read_bytes())
    return found.hexdigest()


def quantized(models: Path, number: int, out: Path) -> None:
    quantize.quantize(models / f"model{number}", out)


def exported(models: Path, number: int, out: Path) -> None:
    """As `atat export` does, but the graphs, which take seconds, are two small files."""

    def graphs(self: object, packed: Packed, folder: Path, weights: str) -> None:
        (folder / description.NAME).write_text("{}")
        (folder / "graph").write_bytes(next(packed.model.parameters()).detach().numpy().tobytes())

    with mock.patch.object(type(system), "export", graphs):
        export.export(models / f"model{number}", out, "float32")


@pytest.mark.parametrize("exchanges", [True, False])
@pytest.mark.parametrize("write", [quantized, exported])
def test_a_model_is_the_old_or_the_new_one_wherever_its_writer_is_killed(
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Path, int, Path], None],
    exchanges: bool,
) -> None:
    if not exchanges:
        monkeypatch.setattr(folders, "exchange", lambda one, other: False)
    elif not _exchanges(tmp_path):
        pytest.skip("the file system cannot exchange two names")
    for number in (1, 2):
        write(models, number, tmp_path / f"whole{number}")
    old, new = digest(tmp_path / "whole1"), digest(tmp_path / "whole2")
    assert old != new
    seen: list[str | None] = []
    out = tmp_path / "out"
    # Writing the files is much alike; what counts is around the change of names.
    steps = _steps(tmp_path, lambda: write(models, 2, out), out, tmp_path / "whole1")
    for number in (0, *range(max(steps - 10, 1), steps)):
        _begin_with(tmp_path / "whole1", out)
        assert run_killed_at(number, lambda: write(models, 2, out))
        found = digest(out)
        if found is None and not exchanges:
            assert digest(tmp_path / "out.old") == old, number
        else:
            assert found in (old, new), number
        seen.append(found)
        write(models, 2, out)  # the same command again
        assert digest(out) == new
    assert seen[0] == old and seen[-1] == new


def _exchanges(folder: Path) -> bool:
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    return folders.exchange(folder / "a", folder / "b")


def _begin_with(old: Path, out: Path) -> None:
    for path in out.parent.glob("out*"):
        shutil.rmtree(path)
    shutil.copytree(old, out)


def _steps(folder: Path, work: Callable[[], None], out: Path, old: Path) -> int:
    """How many steps some work has."""
    low, high = 0, 400
    while low < high:
        middle = (low + high) // 2
        _begin_with(old, out)
        if run_killed_at(middle, work):
            low = middle + 1
        else:
            high = middle
    assert low < 400
    return low


def test_a_training_is_packed_alike_wherever_packing_is_killed(
    models: Path, tmp_path: Path
) -> None:
    out = tmp_path / "packed"
    arguments = [str(models / "exp"), "--out", str(out)]
    pack.main(arguments)
    whole = digest(out)
    for number in (0, 3, 6, 9, 12, 15):
        shutil.rmtree(out)
        assert run_killed_at(number, lambda: pack.main(arguments))
        assert digest(out) in (whole, None)
        pack.main(arguments)
        assert digest(out) == whole


def test_a_stage_whose_kill_came_too_late_is_made_up_for(
    local: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """utils/kill.py: with as many kills as a recipe has stages, each stage is killed."""
    kill = local("kill")
    killed: list[int] = []
    late = [1, 2]  # once each

    def run(
        command: object, folder: Path, after: float | None = None, stage: int | None = None
    ) -> tuple[int, float]:
        lines = [f"--- stage {number} took 1 s" for number in range(4)]
        (folder / "output").write_text("\n".join(lines))
        if after is None or stage is None:
            return 0, 1.0
        if stage in late:
            late.remove(stage)
            return 0, 1.0
        killed.append(stage)
        return -signal.SIGKILL, 1.0

    monkeypatch.setattr(kill, "run", run)
    work = kill.Work("toy", ["./run.sh"], tmp_path, [], lambda: None, stages=True)
    assert kill.kill(work, 4, random.Random(0)) == []
    assert killed == [0, 1, 2, 3]
