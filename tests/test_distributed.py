"""Several processes train as one that makes the same steps; gloo on the CPU stands in for GPUs."""

from __future__ import annotations

import faulthandler
import json
import math
import os
import signal
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import tiny
import torch
import torch.distributed as dist
from forks import from_one
from torch import nn
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from waiting import LIMIT

from atat.base import cli, config, precision
from atat.base.errors import InputError
from atat.engine import assembly, checkpoint, distributed, model_folder, nonfinite
from atat.engine import train as train_cli
from atat.engine.contract import Group
from atat.engine.optim import Optimizer
from atat.engine.settings import BatchSettings, SourceSettings, ValidSettings
from atat.engine.trainer import Trainer
from atat.nn.transformer import Positions
from atat.systems.joint.batch import Example, collate
from atat.systems.joint.settings import OptimSettings, TrainSettings
from atat.systems.joint.system import system

RANKS = 2


BLOCKS = (1, 3, 50)  # values of batch.block
# Two ranks add the same numbers in another order. Measured: weights of about 1 differ by at most
# 1.2e-7, the figures of a step by 3.7e-7 of themselves.
WEIGHTS, FIGURES = 2e-6, 5e-6


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_corpus(tmp_path_factory.mktemp("corpus"))


def settings(corpus: Path, **changes: Any) -> TrainSettings:
    """Four steps of a model without dropout, whose masks and noise two ranks would draw apart."""
    fixed: dict[str, Any] = {
        "steps": 4,
        "model": tiny.without_dropout(),
        "valid": ValidSettings(),
        # With a small eps Adam would blow rounding errors of zero gradients up to its full step.
        "optim": OptimSettings(schedule="constant", peak=1e-2, warmup=1, eps=1e-2),
    }
    return tiny.training(corpus, **(fixed | changes))


def curve_and_weights(corpus: Path, out: Path, block: int) -> dict[str, Any]:
    """The figures of each step of a training, over all ranks; its weights before and after."""
    out.mkdir(exist_ok=True)
    run = settings(corpus, batch=BatchSettings(examples=12, block=block))
    trainer = assembly.build(system, run, out, torch.device("cpu"))
    curve: list[dict[str, float]] = []
    whole = trainer._step

    def step(number: int, batches: list[Any]) -> dict[str, float]:
        curve.append(whole(number, batches))
        return curve[-1]

    trainer._step = step  # type: ignore[method-assign]
    start = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.run()
    return {"curve": curve, "start": start, "end": trainer.model.state_dict()}


def _train(rank: int, folder: Path) -> None:
    # Every rank draws other start weights, as on machines whose generators differ.
    alike = torch.manual_seed
    with mock.patch.object(torch, "manual_seed", lambda seed: alike(seed + rank)):
        for block in BLOCKS:
            found = curve_and_weights(Path((folder / "corpus").read_text()), folder / "exp", block)
            if rank == 0:
                torch.save(found, folder / f"{block}.pt")


def test_two_processes_train_as_one_that_makes_the_same_steps_alone(
    corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "corpus").write_text(str(corpus))
    run_everywhere(_train, tmp_path)
    for block in BLOCKS:
        alone = curve_and_weights(corpus, tmp_path / "alone", block)
        two = torch.load(tmp_path / f"{block}.pt")
        for one, other in zip(alone["curve"], two["curve"], strict=True):
            assert one == pytest.approx(other, rel=FIGURES), block
        moved = 0.0
        for name, value in alone["end"].items():
            torch.testing.assert_close(value, two["end"][name], atol=WEIGHTS, rtol=0, msg=name)
            moved += float((value - alone["start"][name]).abs().sum())
        assert moved > 1.0  # otherwise nothing is shown


def run_everywhere(function: Callable[[int, Path], None], folder: Path) -> None:
    """Call function(rank, folder) in RANKS processes of one group."""
    from_one(_join, RANKS, folder, function)


def _join(rank: int, folder: Path, function: Callable[[int, Path], None]) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=RANKS
    )
    try:
        function(rank, folder)
    finally:
        distributed.stop()


@pytest.fixture(scope="module")
def broken(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What became of the launches, each of which lost a process or had nothing to begin with."""
    folder = tmp_path_factory.mktemp("broken")
    slu = (SourceSettings(str(corpus / "train"), "slu"),)
    run = tiny.training(corpus, steps=4, checkpoint_every=1, valid=ValidSettings(), train=slu)
    config.save(folder / "conf.yaml", run)
    lost = replace(run, train=(SourceSettings(str(folder / "nowhere"), "slu"),))
    config.save(folder / "lost.yaml", lost)
    (folder / "torn.yaml").write_text("steps: [8\n")
    from_one(_launch_all, 1, folder)
    return folder


# Name of the launch: folder of the run, conf, rank that dies, step, how, restarts.
LAUNCHES = {
    "whole": ("whole", "conf", "", 0, "", 0),
    "refused": ("run", "conf", "1", 2, "InputError", 0),
    "killed": ("run", "conf", "0", 3, "SIGKILL", 0),
    "restarted": ("run", "conf", "1", 4, "SIGKILL", 1),
    "lost": ("none", "lost", "", 0, "", 0),
    "torn": ("none", "torn", "", 0, "", 0),
}


def _launch_all(_: int, folder: Path) -> None:
    """As torchrun does, but the ranks are forks. Of each: exit codes, seconds, the checkpoint."""
    faulthandler.dump_traceback_later(LIMIT * 3, exit=True)
    for name, (out, conf, *death, restarts) in LAUNCHES.items():
        with open(folder / f"{name}.stderr", "w") as stderr:
            os.dup2(stderr.fileno(), 2)
        launch = LaunchConfig(
            1, 1, RANKS, rdzv_backend="c10d", rdzv_endpoint="localhost:0", max_restarts=restarts,
            start_method="fork",
        )  # fmt: skip
        arguments = ["--config", str(folder / f"{conf}.yaml"), "--out", str(folder / out)]
        begun, codes = time.monotonic(), [0]
        try:
            elastic_launch(launch, _train_or_die)(arguments, death)
        except ChildFailedError as error:
            codes = [failure.exitcode for failure in error.failures.values()]
        state, damaged = checkpoint.newest(folder / out)
        found = {
            "codes": codes,
            "seconds": time.monotonic() - begun,
            "step": state and state["progress"]["step"],
            "damaged": len(damaged),
        }
        (folder / f"{name}.json").write_text(json.dumps(found))


def _train_or_die(arguments: list[str], death: list[Any]) -> None:
    whole, (mortal, last, how) = Trainer._step, death

    def step(self: Trainer, number: int, batches: Any) -> dict[str, float]:
        first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
        if first and (os.environ["RANK"], number) == (mortal, last):
            if how == "SIGKILL":
                os.kill(os.getpid(), signal.SIGKILL)
            raise InputError("b-1: the recording is torn")
        return whole(self, number, batches)

    Trainer._step = step  # type: ignore[method-assign]
    cli.run(lambda: train_cli.main(arguments))


def told(broken: Path, name: str) -> tuple[dict[str, Any], str]:
    """What became of a launch, and what it said."""
    found = json.loads((broken / f"{name}.json").read_text())
    return found, (broken / f"{name}.stderr").read_text()


def test_a_rank_that_ends_ends_the_run_soon_and_says_once_why(broken: Path) -> None:
    found, said = told(broken, "refused")
    assert 2 in found["codes"] and said.count("error: b-1: the recording is torn") == 1
    found, said = told(broken, "killed")
    assert -signal.SIGKILL in found["codes"] and said.count("it was killed") <= 1
    for name, step in (("refused", 1), ("killed", 2)):
        found, said = told(broken, name)
        assert (found["step"], found["damaged"]) == (step, 0) and found["seconds"] < LIMIT / 2
        assert "RuntimeError" not in said  # of the connection that broke


@pytest.mark.parametrize(("name", "words"), [("lost", "nowhere"), ("torn", "torn.yaml")])
def test_what_is_wrong_for_every_rank_is_said_once(broken: Path, name: str, words: str) -> None:
    found, said = told(broken, name)
    assert 2 in found["codes"]
    assert [words in line for line in said.splitlines() if "error: " in line] == [True]


def test_after_the_death_of_a_rank_the_training_goes_on_as_if_there_had_been_none(
    broken: Path,
) -> None:
    found, said = told(broken, "restarted")
    assert found["codes"] == [0] and found["step"] == 4
    assert "going on after step 2" in said and "going on after step 3" in said
    whole, run = (model_folder.load(broken / name / "model").model for name in ("whole", "run"))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, run.state_dict()[name]), name


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


def _mixed_precision(rank: int, folder: Path) -> None:
    corpus = Path((folder / "corpus").read_text())
    facts = {"flags": "amx_bf16" if rank else "avx2"}
    built = []

    def build(system: Any, run: TrainSettings, *others: Any) -> Trainer:
        built.append(run.precision)
        return assembly_build(system, run, *others)

    assembly_build = assembly.build
    with (
        mock.patch.object(precision, "processor_facts", lambda: facts),
        mock.patch.object(assembly, "build", build),
    ):
        train_cli.train(settings(corpus, precision="auto", steps=1), folder / "run")
    assert built == ["fp32"]
    assert config.read_yaml(folder / "run" / "config.yaml")["precision"] == "fp32"


def test_machines_that_differ_train_in_the_precision_of_the_first(
    corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "corpus").write_text(str(corpus))
    run_everywhere(_mixed_precision, tmp_path)


def _check(rank: int, folder: Path) -> None:
    corpus = Path((folder / "corpus").read_text())
    with open(folder / f"{rank}.out", "w") as stream, redirect_stdout(stream):
        train_cli.check(settings(corpus), folder / "run", system)


def test_the_first_process_says_what_a_training_takes(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus").write_text(str(corpus))
    run_everywhere(_check, tmp_path)
    assert "memory: about " in (tmp_path / "0.out").read_text()
    assert not (tmp_path / "1.out").read_text()


def _late(rank: int, folder: Path) -> None:
    """The first rank's checkpoint is seen by the second after a while, or never."""
    corpus = Path((folder / "corpus").read_text())
    trainer = assembly.build(system, settings(corpus), folder, torch.device("cpu"))
    trainer.progress.step = 2
    trainer._save_checkpoint()
    trainer.progress.step = 0
    listed, hidden = checkpoint.paths_in, [True, True]

    def paths_in(run: Path) -> list[Path]:
        return [] if rank and hidden and hidden.pop() else listed(run)

    with mock.patch.object(checkpoint, "paths_in", paths_in):
        trainer.resume()
        assert trainer.progress.step == 2 and not (rank and hidden)
    not_older = partial(checkpoint.not_older, patience=0)
    with mock.patch.object(checkpoint, "not_older", not_older):
        trainer.folder = folder / f"disk{rank}"  # which they do not share
        trainer.folder.mkdir()
        trainer._save_checkpoint()
        words = "another machine .* step 2 there; .* there is none" if rank else "another process"
        with pytest.raises(InputError, match=words):
            trainer.resume()


def test_a_machine_waits_for_the_checkpoint_that_another_sees(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus").write_text(str(corpus))
    run_everywhere(_late, tmp_path)
