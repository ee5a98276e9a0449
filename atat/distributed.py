"""Several GPUs or machines under torchrun: who we are, and sums over all of us.

Gradients are summed here, after the last batch of a step, instead of by DistributedDataParallel:
parameters may freeze and thaw in between, and every rank may have another number of batches.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn


# Rank 0 validates and packs while the others wait for it.
TIMEOUT = datetime.timedelta(hours=6)


def start() -> torch.device:
    """Join the group that torchrun describes, if any; the device this process works on."""
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
    """Sum the gradients of all processes; one that a rank lacks counts as zero."""
    if not dist.is_initialized():
        return
    training = [parameter for parameter in parameters if parameter.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in training]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    offset = 0
    for parameter in training:
        count = parameter.numel()
        parameter.grad = flat[offset : offset + count].view_as(parameter)
        offset += count
