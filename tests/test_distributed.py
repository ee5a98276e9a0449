"""Several processes train as one that makes the same steps; gloo on the CPU stands in for GPUs."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from atat.base import config
from atat.base.errors import InputError
from atat.datadir import ark, cmvn, tables
from atat.engine import assembly, distributed, model_folder, nonfinite
from atat.engine.contract import Group
from atat.engine.optim import Optimizer
from atat.engine.settings import BatchSettings, SourceSettings, ValidSettings
from atat.nn.transformer import Positions
from atat.systems.joint.batch import Example, collate
from atat.systems.joint.settings import OptimSettings, TrainSettings
from atat.systems.joint.system import system

ROOT = Path(__file__).resolve().parent.parent
RANKS = 2


def settings(folder: Path) -> TrainSettings:
    tiny.make_data(folder / "train", 40)
    tiny.make_tokenizer().save(folder / "tokenizer")
    specs = tables.read_table(folder / "train" / "feats.scp").values()
    ark.write_matrix(folder / "cmvn.ark", cmvn.accumulate(map(ark.read, specs)))
    data = str(folder / "train")
    return TrainSettings(
        precision="fp32",
        tokenizer=str(folder / "tokenizer"),
        cmvn=str(folder / "cmvn.ark"),
        train=tuple(SourceSettings(data, task) for task in ("asr", "slu", "nlu", "mlm")),
        steps=4,
        model=tiny.without_dropout(),
        valid=ValidSettings(sources=(SourceSettings(data, "slu"),), every=4, decode=2),
        batch=BatchSettings(examples=12, block=2),
        # With a small eps Adam would blow rounding errors of zero gradients up to its full step.
        optim=OptimSettings(schedule="constant", peak=1e-2, warmup=1, eps=1e-2),
        checkpoint_every=2,
        workers=0,
    )


# Every rank draws other start weights, as on machines whose generators differ.
PROGRAM = """
import os, torch
from atat.engine import train
drawn_alike = torch.manual_seed
torch.manual_seed = lambda seed: drawn_alike(seed + int(os.environ["RANK"]))
train.main()
"""


def launch(conf: Path, out: Path, ranks: int) -> None:
    """Train under torchrun."""
    program = out.with_suffix(".py")
    program.write_text(PROGRAM)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        str(ranks),
        str(program),
        "--config",
        str(conf),
        "--out",
        str(out),
    ]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_train_as_one_that_makes_the_same_steps_alone(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    config.save(tmp_path / "conf.yaml", wanted)
    launch(tmp_path / "conf.yaml", tmp_path / "two", RANKS)
    found = model_folder.load(tmp_path / "two" / "model").model.state_dict()

    (tmp_path / "one").mkdir()
    trainer = assembly.build(system, wanted, tmp_path / "one", torch.device("cpu"))
    start = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.run()
    assert trainer.progress.best_step == wanted.steps  # of one validation, as packed by the two
    moved = 0.0
    for name, value in trainer.model.state_dict().items():
        torch.testing.assert_close(value, found[name], atol=2e-4, rtol=1e-3, msg=name)
        moved += float((value - start[name]).abs().sum())
    assert moved > 1.0  # otherwise nothing is shown


def run_everywhere(function: Callable[[int, Path], None], folder: Path) -> None:
    """Call function(rank, folder) in RANKS processes of one group."""
    mp.spawn(_join, args=(function, folder), nprocs=RANKS)


def _join(rank: int, function: Callable[[int, Path], None], folder: Path) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=RANKS
    )
    try:
        function(rank, folder)
    finally:
        distributed.stop()


def _moves_of_a_step(rank: int, folder: Path) -> None:
    """What one optimizer step does to parameters of which both ranks, one or none know."""
    model = nn.ParameterDict(
        {name: nn.Parameter(torch.ones(2)) for name in ("both", "one", "zero", "none", "frozen")}
    )
    names = ("both", "one", "zero", "none")
    optim = OptimSettings(schedule="constant", peak=0.1, warmup=1, weight_decay=0.1, clip=100)
    optimizer = Optimizer(model, [Group([model[name] for name in names])], optim, width=1, total=9)
    for step in (1, 2):
        optimizer.prepare(step)
        gradients = {"both": 1.0 + rank, "zero": 0.0}
        if rank == 1:
            gradients["one"] = 2.0
        if step == 1:
            gradients["none"] = 3.0  # gives Adam a mean that would go on moving it
        for name, gradient in gradients.items():
            model[name].grad = torch.full((2,), gradient)
        distributed.sum_gradients(model.values())
        found = {name: None if p.grad is None else p.grad.tolist() for name, p in model.items()}
        none = [6.0, 6.0] if step == 1 else None
        assert found == {
            "both": [3.0, 3.0],
            "one": [2.0, 2.0],
            "zero": [0.0, 0.0],
            "none": none,
            "frozen": None,
        }
        before = {name: parameter.detach().clone() for name, parameter in model.items()}
        optimizer.step()
    stands = {name for name, value in before.items() if torch.equal(value, model[name])}
    assert stands == {"none", "frozen"}


def test_a_parameter_that_no_rank_has_a_gradient_of_stands_still(tmp_path: Path) -> None:
    run_everywhere(_moves_of_a_step, tmp_path)


def _statistics(rank: int, folder: Path) -> None:
    torch.manual_seed(rank)
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 0), Positions(8, 0.0))
    model[2]._rows(0, 600 * (rank + 1))  # no part of the state, of another size on each rank
    model.register_buffer("fixed", torch.full((3,), 0.1))
    distributed.share_state(model)
    batch = torch.full((4, 3), 1.0 + 2 * rank)
    for _ in range(1 + 2 * rank):
        model[0](batch)
    means = model[0].running_mean.clone()
    distributed.average_buffers(model)
    first, second = 0.1, 3 * (1 - 0.9**3)  # after one batch of 1, after three of 3
    torch.testing.assert_close(means, torch.full((3,), (first, second)[rank]))
    torch.testing.assert_close(model[0].running_mean, torch.full((3,), (first + second) / 2))
    assert int(model[0].num_batches_tracked) == 2
    assert torch.equal(model.fixed, torch.full((3,), 0.1))


def test_buffers_are_the_mean_of_all_ranks(tmp_path: Path) -> None:
    run_everywhere(_statistics, tmp_path)


def _nonfinite(rank: int, folder: Path) -> None:
    mine = [
        collate([Example(f"{name}-{rank}", "nlu", np.array([1, 2]), [1, 2, 3], [])])
        for name in ("good", "bad")
    ]
    terms = [torch.tensor([1.0, 0.0]), torch.tensor([math.nan, 0.0])]
    said = nonfinite.note(
        folder, 7, {"ce": math.nan, "ctc": 0.0}, 1.0, list(zip(mine, terms)), row=3, limit=3
    )
    assert "step 7: the loss of the batches with bad-0, bad-1 is not finite" in said
    with pytest.raises(InputError, match="gradient of .*good-0, bad-0, good-1 and 1 more .*4 in a"):
        fine = [(batch, terms[0]) for batch in mine]
        nonfinite.note(folder, 8, {"ce": 1.0, "ctc": 0.0}, math.inf, fine, row=4, limit=3)
    distributed.barrier()
    found = [json.loads(line) for line in (folder / nonfinite.LIST).read_text().splitlines()]
    assert [one["step"] for one in found] == [7, 8]
    assert found[0]["utterances"] == ["bad-0", "bad-1"]


def test_what_made_a_loss_not_finite_is_told_of_every_rank(tmp_path: Path) -> None:
    run_everywhere(_nonfinite, tmp_path)
