"""Several GPUs or machines under torchrun: rank and size, sums over all ranks, one shared state.

Gradients are summed here, after the last batch of a step, instead of by DistributedDataParallel:
parameters may be frozen and unfrozen in between, and ranks may differ in their number of batches.

When one process ends, the others end soon: where they wait for it, its connection breaks.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from atat.base import torchrun
from atat.base.errors import InputError
from atat.engine import meeting

Given = ParamSpec("Given")
Result = TypeVar("Result")

# Rank 0 validates and packs while the others wait for it.
TIMEOUT = datetime.timedelta(hours=6)
# Words of gloo, NCCL and the store about a process that has ended, or whose machine is gone.
BROKEN = ("closed by peer", "reset by peer", "Broken pipe", "remote process exited",
          "likely closed", "Connection timed out", "No route to host")  # fmt: skip

_store: dist.Store | None = None  # of the group, through which its processes have met


class Ended(InputError):
    """The error of a process that waits for one that has ended."""

    def __init__(self) -> None:
        super().__init__(
            "another process of this training has ended: its own message says why; if it has none, "
            "it was killed, most often because memory ran out, or its machine is gone. Checkpoints "
            "are kept: the same command continues"
        )


def _waits(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Of something that waits for the other processes: Ended is raised where one has ended."""

    @wraps(function)
    def watched(*args: Given.args, **options: Given.kwargs) -> Result:
        try:
            return function(*args, **options)
        except RuntimeError as error:
            if not any(words in str(error) for words in BROKEN):
                raise
            raise Ended from None

    return watched


@contextmanager
def one_voice() -> Iterator[None]:
    """Of processes that raise the same InputError one does; the others end with its exit code."""
    start()
    try:
        yield
    except InputError as error:
        if _said(str(error)):
            raise SystemExit(2) from None
        raise
    finally:
        stop()


def _said(text: str) -> bool:
    """Whether another process has asked this before."""
    if _store is None:
        return False
    try:
        return _store.add(f"said {hashlib.sha256(text.encode()).hexdigest()}", 1) > 1
    except RuntimeError:  # the process that kept the store has ended
        return False


def start() -> torch.device:
    """Join the group that torchrun describes, if any; returns the device of this process.

    Raises NotMet if the group is not complete after some minutes.
    """
    gpu = torch.cuda.is_available()
    local = torchrun.local_rank()
    if gpu:
        torch.cuda.set_device(local)
    if torchrun.is_launched() and not dist.is_initialized():
        _join("nccl" if gpu else "gloo")
    return torch.device("cuda", local) if gpu else torch.device("cpu")


@_waits
def _join(backend: str) -> None:
    global _store
    _store, number, count = meeting.join()
    _store.set_timeout(TIMEOUT)
    dist.init_process_group(backend, store=_store, rank=number, world_size=count, timeout=TIMEOUT)


def stop() -> None:
    """Leave the group."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process, 0 when alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


@_waits
def barrier() -> None:
    """Wait for the others."""
    if dist.is_initialized():
        dist.barrier()


@_waits
def sum_(values: Tensor) -> Tensor:
    """Sum a tensor over all processes, in place."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


@_waits
def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Sum the gradients of all processes; a gradient that a rank lacks counts as zero.

    A parameter without a gradient on any rank keeps none: with zeros, Adam's mean and its weight
    decay would move it.
    """
    if not dist.is_initialized():
        return
    training = [parameter for parameter in parameters if parameter.requires_grad]
    if not training:
        return
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in training]
    # The number of ranks that have each is sent along: one message instead of two.
    having = gradients[0].new_tensor([p.grad is not None for p in training])
    flat = torch.cat([*(gradient.flatten() for gradient in gradients), having])
    dist.all_reduce(flat)
    offset = 0
    for parameter, ranks in zip(training, flat[-len(training) :].tolist()):
        count = parameter.numel()
        total = flat[offset : offset + count].view_as(parameter)
        parameter.grad = total if ranks else None
        offset += count


@_waits
def share_state(model: nn.Module) -> None:
    """Give every process the first one's parameters and buffers, as in its state_dict."""
    if dist.is_initialized():
        for value in model.state_dict().values():
            dist.broadcast(value, src=0)


def buffers_of(model: nn.Module) -> list[Tensor]:
    """The buffers in the state_dict."""
    return [
        buffer
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if name not in module._non_persistent_buffers_set
    ]


@_waits
def average_buffers(model: nn.Module) -> None:
    """Give every process the mean over all of each buffer in the state_dict.

    Some are collected from the batches of a rank, such as the statistics of a BatchNorm. Buffers
    that are equal on all ranks stay the same bit for bit; whole numbers are rounded.
    """
    if not dist.is_initialized():
        return
    buffers = buffers_of(model)
    if not buffers:
        return
    flat = torch.cat([buffer.detach().flatten().double() for buffer in buffers])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    offset = 0
    for buffer in buffers:
        mean = flat[offset : offset + buffer.numel()].view_as(buffer)
        buffer.copy_(mean if buffer.is_floating_point() else mean.round())
        offset += buffer.numel()


@_waits
def gather(values: Sequence[str]) -> list[str]:
    """The values of all processes, in the order of their ranks."""
    if not dist.is_initialized():
        return list(values)
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, list(values))
    return [value for values in everyone for value in values]
