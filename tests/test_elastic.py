"""A training over several machines goes on after the loss of one, and ends as if there were none.

A machine is torchrun's agent with a process, both killed where it is lost; gloo stands in for NCCL.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from forks import forkserver
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from waiting import LIMIT, until

from atat.base import cli, config
from atat.engine import checkpoint, model_folder, run_folder
from atat.engine import train as train_cli
from atat.engine.settings import SourceSettings, ValidSettings
from atat.engine.trainer import Trainer
from atat.systems.joint.settings import OptimSettings

STEPS, LAST = 6, 3  # of the training; after which of them a machine is lost
WEIGHTS = 2e-6  # as in test_distributed.py: one process adds in another order than two


@dataclass(frozen=True)
class Story:
    """What becomes of a training."""

    conf: str
    machines: int = 2
    least: int = 2  # machines with which it goes on
    processes: int = 1  # of each machine
    lost: int | None = None  # rank of the process whose machine is lost
    only_process: bool = False  # is lost; all groups then meet in one store of the first agent
    returns: int | None = None  # the step after which the lost machine is started again

    def waits(self, number: int, lost: bool) -> bool:
        """Whether a process that is alone must not begin a step before another machine is there."""
        return self.machines > 1 and not (lost and (self.returns is None or number <= self.returns))


STORIES = {
    # The machine of the first process has the store, the lock and the checkpoints in its hands.
    "first returns": Story("random", lost=0, returns=LAST),
    "process": Story("random", lost=1, only_process=True),
    "one goes on": Story("plain", least=1, lost=0),
    "second is late": Story("plain", least=1, lost=1, returns=LAST + 1),
    "undisturbed": Story("random", machines=1, least=1, processes=2),
    "alone": Story("plain", machines=1, least=1),
}

Ends = tuple[Path, dict[str, list[int]]]  # the folder of all stories; exit codes of the machines


def _machine(folder: Path, name: str) -> None:
    """As `torchrun ... --module atat train` on one machine, but its process is a fork."""
    faulthandler.dump_traceback_later(LIMIT * 3, exit=True)
    story = STORIES[name]
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "0" if story.only_process else "1"
    os.environ["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] = str(LIMIT)  # s for a step and a checkpoint
    with open(folder / f"{name}.stderr", "ab") as stderr:
        os.dup2(stderr.fileno(), 2)
    launch = LaunchConfig(
        story.least,
        story.machines,
        story.processes,
        run_id="story",
        rdzv_backend="c10d",
        rdzv_endpoint=str(folder / f"{name}.meeting"),
        rdzv_configs={"store_type": "file", "last_call_timeout": 1},
        max_restarts=3,
        start_method="fork",
    )
    elastic_launch(launch, _train)(folder, name)


def _train(folder: Path, name: str) -> None:
    story, whole = STORIES[name], Trainer._step
    lost = folder / f"{name}.lost"

    def step(self: Trainer, number: int, batches: Any) -> dict[str, float]:
        if os.environ["WORLD_SIZE"] == "1" and story.waits(number, lost.exists()):
            until(lambda: self._stop, "the other machine")
        elif (number, os.environ["RANK"]) == (LAST + 1, str(story.lost)) and not lost.exists():
            lost.touch()
            if not story.only_process:
                os.kill(os.getppid(), signal.SIGKILL)  # the agent
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(self, number, batches)

    Trainer._step = step  # type: ignore[method-assign]
    arguments = ["--config", str(folder / f"{story.conf}.yaml"), "--out", str(folder / name)]
    cli.run(lambda: train_cli.main(arguments))


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Ends:
    """All stories, side by side, since they wait much."""
    folder = tmp_path_factory.mktemp("elastic")
    corpus = tiny.make_corpus(folder / "corpus")
    plain = tiny.training(
        corpus,
        steps=STEPS,
        checkpoint_every=1,
        valid=ValidSettings(),
        train=(SourceSettings(str(corpus / "train"), "slu"),),
        model=tiny.without_dropout(),
        # With a small eps Adam would blow rounding errors of zero gradients up to its full step.
        optim=OptimSettings(schedule="constant", peak=1e-2, warmup=1, eps=1e-2),
    )
    config.save(folder / "plain.yaml", plain)
    config.save(folder / "random.yaml", replace(plain, model=tiny.MODEL))
    machines: list[tuple[str, Any]] = []
    with forkserver() as context:

        def start(name: str) -> None:
            process = context.Process(target=_machine, args=(folder, name))
            process.start()
            machines.append((name, process))

        def codes(name: str) -> list[int]:
            return [process.exitcode for owner, process in machines if owner == name]

        try:
            for name, story in STORIES.items():
                for _ in range(story.machines):
                    start(name)
            for name, story in STORIES.items():
                if story.returns is not None:
                    _wait_for(folder / name, story.returns, lambda: codes(name))  # noqa: B023
                    start(name)
            for _, process in machines:
                process.join(LIMIT * 2)
            return folder, {name: codes(name) for name in STORIES}
        finally:
            for _, process in machines:
                process.terminate()  # an agent then ends its processes
            for _, process in machines:
                process.join(LIMIT / 2)
                process.kill()


def _wait_for(run: Path, step: int, codes: Callable[[], list[int]]) -> None:
    """Return when a machine is lost and the step is done."""
    until(lambda: any(codes()), f"the loss of a machine of {run}")
    until(lambda: checkpoint.newest_step(run) >= step, f"step {step} of {run}")


def told(ends: Ends, name: str) -> str:
    """What the machines of a story said."""
    return (ends[0] / f"{name}.stderr").read_text()


def weights(ends: Ends, name: str) -> dict[str, torch.Tensor]:
    return model_folder.load(ends[0] / name / run_folder.MODEL).model.state_dict()


@pytest.mark.parametrize("name", STORIES)
def test_every_story_ends_with_all_steps(ends: Ends, name: str) -> None:
    folder, codes = ends
    story = STORIES[name]
    killed = [] if story.lost is None or story.only_process else [-signal.SIGKILL]
    assert sorted(codes[name]) == killed + [0] * (len(codes[name]) - len(killed)), told(ends, name)
    assert run_folder.finished_steps(folder / name) == STEPS
    assert checkpoint.newest_step(folder / name) == STEPS
    said = told(ends, name)
    losses = int(story.lost is not None)
    assert said.count(f"going on after step {LAST}") == losses
    assert "RuntimeError" not in said and said.count("error: another process") == losses
    if story.returns is not None:
        done = story.returns if story.least > 1 else story.returns + 1  # a step more, while alone
        assert (
            f"and 1 more in fp32; {STEPS} steps of 12 examples, going on after step {done};" in said
        )


@pytest.mark.parametrize("name", ["first returns", "process"])
def test_a_loss_is_made_good_bit_for_bit(ends: Ends, name: str) -> None:
    whole, found = weights(ends, "undisturbed"), weights(ends, name)
    for name, value in whole.items():
        assert torch.equal(value, found[name]), name


@pytest.mark.parametrize("name", ["one goes on", "second is late"])
def test_any_number_of_machines_takes_the_same_steps(ends: Ends, name: str) -> None:
    whole, found = weights(ends, "alone"), weights(ends, name)
    for name, value in whole.items():
        torch.testing.assert_close(found[name], value, atol=WEIGHTS, rtol=0, msg=name)
