"""Timing side by side: medians of interleaved rounds, and what the machine can do at most.

Machines are shared and noisy: systems take turns within a round, so that what disturbs one
disturbs all, and ratios are medians over the rounds of ratios within a round.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from atat import machine

WARM_UP = 2  # rounds that do not count: in both, torch still asks the system for new memory
# How torch makes products of float32 unless told otherwise: torch.backends.mkldnn.matmul's setting.
BY_ITSELF = "none"

Work = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Seconds of one system, and how many times as fast as the baseline it was."""

    seconds: float  # median over rounds
    speedup: float  # median over rounds of baseline / system
    rounds: int


def chosen_products() -> str:
    """What `atat.machine` tells torch about products of float32 here; nothing is left changed."""
    machine.choose_products()
    chosen = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = BY_ITSELF
    return chosen


def interleave(
    systems: Mapping[str, Work], baseline: str, *, rounds: int, device: torch.device
) -> dict[str, Timing]:
    """Run every system once a round, in turning order, after some rounds that do not count."""
    names = list(systems)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(WARM_UP + rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            elapsed = _time(systems[name], device)
            if number >= WARM_UP:
                seconds[name].append(elapsed)
    return {
        name: Timing(
            statistics.median(seconds[name]),
            statistics.median(b / s for b, s in zip(seconds[baseline], seconds[name])),
            rounds,
        )
        for name in names
    }


def _time(work: Work, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def matmul_peak(device: torch.device, dtype: torch.dtype, *, size: int = 2048) -> float:
    """FLOP/s of the best of some square matrix products: what a share of the peak refers to."""
    if device.type == "cuda":
        size *= 4
    a = torch.randn(size, size, device=device, dtype=dtype)
    b = torch.randn(size, size, device=device, dtype=dtype)
    best = float("inf")
    for library in {BY_ITSELF, chosen_products()}:
        torch.backends.mkldnn.matmul.fp32_precision = library
        best = min(best, *(_time(lambda: a @ b, device) for _ in range(10)))
    torch.backends.mkldnn.matmul.fp32_precision = BY_ITSELF
    return 2 * size**3 / best


def flops_of(work: Work) -> int:
    """Operations of the matrix products, convolutions and attentions of one run, backward too."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()
