"""What the largest batches of a training take in memory and time, before it starts.

    atat train --config conf/pretrain.yaml --out exp/pretrain --check

For each source of the mix the batch with most of its recordings (or texts) and that with most of
its targets are made, as the sampler would, and go forward and backward once; then a few steps of
the plan are timed. No weight changes and nothing is written. Knows nothing of the model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from atat.base import cli
from atat.base.errors import InputError
from atat.engine import forecast
from atat.engine.contract import Batch

if TYPE_CHECKING:
    from atat.engine.sampler import Item
    from atat.engine.trainer import Trainer

TIMED = 3  # steps of the plan; the first of them is not counted
MB = 2**20


@dataclass(frozen=True)
class Worst:
    """One of the largest batches, and what it took."""

    source: str
    utterances: int
    longest: str  # the name and the length of the longest
    seconds: float
    megabytes: float  # in use at most, weights and gradients included


def rehearse(trainer: Trainer, say: Callable[[str], None]) -> list[Worst]:
    """Try the largest batches and say what they took.

    Raises InputError, naming the batch, where the memory is too small for one.
    """
    trainer.model.train()
    trainer.optimizer.prepare(trainer.settings.steps)  # everything trains by then
    for parameter in trainer.optimizer.parameters():
        if parameter.requires_grad:  # of the batches of the step before: they are accumulated
            parameter.grad = torch.zeros_like(parameter)
    found = [_tried(trainer, items) for items in _largest(trainer)]
    trainer.optimizer.adam.zero_grad(set_to_none=True)
    for one in found:
        say(
            f"{one.source}: the largest batch has {one.utterances} utterances, the longest "
            f"{one.longest}: {one.seconds:.2f} s forward and backward, "
            f"{one.megabytes:,.0f} MB in use"
        )
    # Adam's two means of each weight come with the first update.
    adam = 8 * sum(one.numel() for one in trainer.optimizer.parameters()) / MB
    need = adam + max(one.megabytes for one in found)
    say(
        f"memory: about {need:,.0f} MB in each process, Adam's {adam:,.0f} included; "
        f"{_room(trainer.device):,.0f} MB are there for it"
    )
    mean = _mean_step(trainer)
    left = trainer.settings.steps
    say(
        f"time: {mean:.2f} s a step, about {forecast.duration(mean * left)} for {left:,} steps, "
        "updates and validation not counted"
    )
    return found


def _largest(trainer: Trainer) -> Iterator[list[Item]]:
    """Of each source the batch with most of the source, and the one with most of the target."""
    sampler = trainer.batches.sampler
    for number in range(len(trainer.batches.data)):
        yield from sampler.largest(number)


def _tried(trainer: Trainer, items: list[Item]) -> Worst:
    source = trainer.batches.data[items[0][0]]
    number = max((number for _, number in items), key=lambda one: int(source.lengths[one]))
    budget = source.budget
    unit = budget.unit
    length = f"{source.key(number)} of {int(source.lengths[number]):,} {unit}"
    if budget.per_second:
        length += f" ({source.lengths[number] / budget.per_second:.1f} s)"
    name = f"{source.data} ({source.task})"
    try:
        batch = trainer.batches.batch(0, items).to(trainer.device)
        with _peak(trainer.device) as megabytes:
            begun = time.monotonic()
            _forward_backward(trainer, batch)
            seconds = time.monotonic() - begun
    except (MemoryError, RuntimeError) as error:
        if not cli.is_out_of_memory(error):
            raise
        raise InputError(
            f"{name}: the memory is too small for {len(items)} utterances, the longest {length}; "
            f"lower batch.{budget.key} or batch.max_targets, or leave out what is longest"
        ) from None
    return Worst(name, len(items), length, seconds, megabytes[0])


def _forward_backward(trainer: Trainer, batch: Batch) -> None:
    """One batch; its gradients are added to those that are there."""
    trainer.backward(batch, batch.counts())
    if trainer.device.type == "cuda":
        torch.cuda.synchronize(trainer.device)


def _mean_step(trainer: Trainer) -> float:
    """Seconds of a step of the plan, without its update."""
    times = []
    for step in range(min(TIMED, trainer.settings.steps)):
        batches = [batch.to(trainer.device) for batch in trainer.batches[step]]
        begun = time.monotonic()
        for batch in batches:
            _forward_backward(trainer, batch)
        times.append(time.monotonic() - begun)
        trainer.optimizer.adam.zero_grad(set_to_none=True)
    counted = times[1:] or times
    return sum(counted) / len(counted)


@contextmanager
def _peak(device: torch.device) -> Iterator[list[float]]:
    """Megabytes that this process uses at most during a block; a list of one.

    Not what it uses more than before: what was freed may be kept and used again
    (`atat.base.machine`).
    """
    found = [0.0]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield found
        found[0] = torch.cuda.max_memory_allocated(device) / MB
        return
    _reset_peak()
    yield found
    found[0] = _status("VmHWM") / MB


def _reset_peak() -> None:
    """Let the kernel count the largest memory anew; where it does not, it is that of all time."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


def _status(name: str) -> int:
    """Bytes of this process by Linux' own count; 0 elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(one.split()[1]) for one in lines if one.startswith(f"{name}:")), 0)


def _room(device: torch.device) -> float:
    """Megabytes that are free or used by this process."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return (free + torch.cuda.memory_reserved(device)) / MB
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0.0
    kilobytes = next(int(one.split()[1]) for one in lines if one.startswith("MemAvailable:"))
    return kilobytes / 1024 + _status("VmRSS") / MB
