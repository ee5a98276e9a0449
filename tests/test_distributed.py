"""Several processes train as one that makes the same steps; gloo on the CPU stands in for GPUs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import tiny
import torch

from atat import ark, cmvn, config, kaldi, packed
from atat import train as train_cli
from atat.settings import BatchSettings, OptimSettings, Source, TrainSettings, ValidSettings

ROOT = Path(__file__).resolve().parent.parent
RANKS = 2


def settings(folder: Path) -> TrainSettings:
    tiny.make_data(folder / "train", 40)
    tiny.make_tokenizer().save(folder / "tokenizer")
    specs = kaldi.read_table(folder / "train" / "feats.scp").values()
    ark.write_matrix(folder / "cmvn.ark", cmvn.accumulate(map(ark.read, specs)))
    data = str(folder / "train")
    return TrainSettings(
        tokenizer=str(folder / "tokenizer"),
        cmvn=str(folder / "cmvn.ark"),
        train=tuple(Source(data, task) for task in ("asr", "slu", "nlu", "mlm")),
        steps=4,
        model=tiny.without_dropout(),
        valid=ValidSettings(sources=(Source(data, "slu"),), every=4, decode=2),
        batch=BatchSettings(examples=12, block=2),
        # With a small eps Adam would blow rounding errors of zero gradients up to its full step.
        optim=OptimSettings(schedule="constant", peak=1e-2, warmup=1, eps=1e-2),
        checkpoint_every=2,
        workers=0,
    )


def launch(conf: Path, out: Path, ranks: int) -> None:
    """Train under torchrun."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone",
               "--nproc_per_node", str(ranks), "--module", "atat.train",
               "--config", str(conf), "--out", str(out)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_train_as_one_that_makes_the_same_steps_alone(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    config.save(tmp_path / "conf.yaml", wanted)
    launch(tmp_path / "conf.yaml", tmp_path / "two", RANKS)
    found = packed.load(tmp_path / "two" / "model").model.state_dict()

    (tmp_path / "one").mkdir()
    trainer, _ = train_cli.build(wanted, tmp_path / "one", torch.device("cpu"))
    start = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.run()
    assert trainer.progress.best_step == wanted.steps  # of one validation, as packed by the two
    moved = 0.0
    for name, value in trainer.model.state_dict().items():
        torch.testing.assert_close(value, found[name], atol=2e-4, rtol=1e-3, msg=name)
        moved += float((value - start[name]).abs().sum())
    assert moved > 1.0  # otherwise nothing is shown
