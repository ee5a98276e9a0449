"""`atat train --check`: the largest batches are tried, nothing is trained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from atat.base import config
from atat.base.errors import InputError
from atat.engine import assembly, rehearsal
from atat.engine import train as train_cli
from atat.engine.settings import BatchSettings
from atat.systems.joint.system import system


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_corpus(tmp_path_factory.mktemp("corpus"))


def test_no_batch_of_the_plan_is_larger_than_the_largest(corpus: Path, tmp_path: Path) -> None:
    batch = BatchSettings(examples=24, block=3, max_frames=350, max_targets=60)
    run = tiny.training(corpus, batch=batch, max_lost=1.0)
    trainer = assembly.build(system, run, tmp_path, torch.device("cpu"))
    sampler = trainer.batches.sampler
    for sizes in (sampler.lengths, sampler.targets):

        def size(part: list[tuple[int, int]], sizes=sizes) -> int:
            return len(part) * max(int(sizes[source][number]) for source, number in part)

        for source in range(len(trainer.batches.data)):
            bound = max(size(part) for part in sampler.largest(source))
            planned = [
                part for step in range(30) for part in sampler.plan(step) if part[0][0] == source
            ]
            assert planned and max(map(size, planned)) <= bound


def test_the_gradients_of_the_batches_before_are_in_use(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = assembly.build(system, tiny.training(corpus), tmp_path, torch.device("cpu"))
    whole, there = trainer.backward, []

    def backward(batch: Any, divisors: dict[str, float]) -> dict[str, torch.Tensor]:
        there.append(all(one.grad is not None for one in trainer.optimizer.parameters()))
        return whole(batch, divisors)

    monkeypatch.setattr(trainer, "backward", backward)
    tried = rehearsal.rehearse(trainer, lambda _: None)
    assert all(there[: len(tried)]) and len(tried) >= 4
    assert not there[len(tried)]  # a step begins without


def test_it_says_memory_and_time_and_changes_nothing(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.save(tmp_path / "conf.yaml", tiny.training(corpus))
    out = tmp_path / "exp"
    train_cli.main(["--config", str(tmp_path / "conf.yaml"), "--out", str(out), "--check"])
    assert not out.exists()
    lines = capsys.readouterr().out.splitlines()
    for task in ("asr", "slu", "nlu", "mlm"):
        assert any(f"train ({task}): the largest batch has" in line for line in lines), lines
    assert any(line.startswith("memory: about ") for line in lines)
    assert any(" for 12 steps, updates and validation not" in line for line in lines)

    trainer = assembly.build(system, tiny.training(corpus), tmp_path, torch.device("cpu"))
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    found = rehearsal.rehearse(trainer, lambda _: None)
    assert all(one.seconds > 0 for one in found)
    after = trainer.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(parameter.grad is None for parameter in trainer.model.parameters())


COUNTED = """
import numpy as np, torch
from atat.engine import rehearsal
for size in (1, 400, 1):  # and what is over is not counted
    with rehearsal._peak(torch.device("cpu")) as megabytes:
        np.ones(size * rehearsal.MB, np.uint8)
    print(megabytes[0])
"""


def test_memory_is_counted_where_linux_counts_it() -> None:
    """In a process of its own: what other tests have freed and malloc has kept is in use again."""
    if not rehearsal._status("VmHWM"):
        pytest.skip("no /proc/self/status")
    done = subprocess.run(
        [sys.executable, "-c", COUNTED], capture_output=True, text=True, check=True
    )
    found = [float(line) for line in done.stdout.split()]
    assert found[1] - found[0] > 100 and found[0] > 50
    assert found[2] - found[1] < 50  # where the count cannot be set back it stays, but for pages


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"
        ),
    ],
)
@pytest.mark.parametrize("place", ["trainer", "trainer.batches"])
def test_too_little_memory_names_the_batch(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, place: str
) -> None:
    trainer = assembly.build(system, tiny.training(corpus), tmp_path, torch.device("cpu"))

    def full(*_: object) -> None:
        raise error

    if place == "trainer":
        monkeypatch.setattr(trainer, "backward", full)
    else:
        monkeypatch.setattr(trainer.batches, "batch", full)
    with pytest.raises(
        InputError, match=r"train \(asr\): the memory is too small for \d+ utt.*spk"
    ):
        rehearsal.rehearse(trainer, lambda _: None)
