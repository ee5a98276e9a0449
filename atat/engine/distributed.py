"""Several GPUs or machines under torchrun: rank and size, sums over all ranks, one shared state.

Gradients are summed here, after the last batch of a step, instead of by DistributedDataParallel:
parameters may be frozen and unfrozen in between, and ranks may differ in their number of batches.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

# Rank 0 validates and packs while the others wait for it.
TIMEOUT = datetime.timedelta(hours=6)


def start() -> torch.device:
    """Join the group that torchrun describes, if any; returns the device of this process."""
    gpu = torch.cuda.is_available()
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if gpu:
        torch.cuda.set_device(local)
    if "WORLD_SIZE" in os.environ and not dist.is_initialized():
        dist.init_process_group("nccl" if gpu else "gloo", timeout=TIMEOUT)
    return torch.device("cuda", local) if gpu else torch.device("cpu")


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


def barrier() -> None:
    """Wait for the others."""
    if dist.is_initialized():
        dist.barrier()


def sum_(values: Tensor) -> Tensor:
    """Sum a tensor over all processes, in place."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


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


def gather(values: Sequence[str]) -> list[str]:
    """The values of all processes, in the order of their ranks."""
    if not dist.is_initialized():
        return list(values)
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, list(values))
    return [value for values in everyone for value in values]
