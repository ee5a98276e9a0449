"""Timing side by side: medians of interleaved rounds, and the peak speed of the machine.

Machines are shared and noisy: systems take turns within a round, so that a disturbance affects
all of them, and ratios are medians over the rounds of ratios within a round.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

WARM_UP = 2  # rounds that do not count: in both, torch still asks the system for new memory
# How torch makes products of float32 unless told otherwise: torch.backends.mkldnn.matmul's setting.
BY_ITSELF = "none"

Work = Callable[[], object]


@dataclass(frozen=True)
class Rounds:
    """How many rounds count, and for how many seconds a new one is begun; one is always made."""

    most: int
    seconds: float = math.inf

    def part(self, parts: int) -> Rounds:
        """For one of several measurements that share the time."""
        return Rounds(self.most, self.seconds / parts)


@dataclass(frozen=True)
class Timing:
    """Seconds of one system, and how many times as fast as the baseline it was."""

    seconds: float  # median over rounds
    speedup: float  # median over rounds of baseline / system
    rounds: int  # that count


def interleave(systems: Mapping[str, Work], baseline: str, *, rounds: Rounds) -> dict[str, Timing]:
    """Run every system once a round, in turning order, after some rounds that do not count.

    On a slow machine there are fewer rounds, first of those that do not count.
    """
    names = list(systems)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    start = time.perf_counter()
    for number in range(WARM_UP):
        _round(systems, names, number)
        if time.perf_counter() - start > rounds.seconds / (WARM_UP + 1):
            break
    for number in range(rounds.most):
        if number > 0 and time.perf_counter() - start > rounds.seconds:
            break
        for name, elapsed in _round(systems, names, number).items():
            seconds[name].append(elapsed)
    return {
        name: Timing(
            statistics.median(seconds[name]),
            statistics.median(b / s for b, s in zip(seconds[baseline], seconds[name])),
            len(seconds[name]),
        )
        for name in names
    }


def rounds_text(timings: Mapping[str, Timing]) -> str:
    """The number of rounds behind a table's medians, in words."""
    made = {timing.rounds for timing in timings.values()}
    assert len(made) == 1
    count = made.pop()
    return f"Medians of {count} rounds." if count > 1 else "One round."


def _round(systems: Mapping[str, Work], names: list[str], number: int) -> dict[str, float]:
    """Seconds of every system, in an order that turns with the number."""
    shift = number % len(names)
    return {name: _time(systems[name]) for name in names[shift:] + names[:shift]}


def _time(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def matmul_peak(device: torch.device, dtype: torch.dtype, *, size: int = 2048) -> float:
    """FLOP/s of the best of some square matrix products: what a share of the peak refers to."""
    if device.type == "cuda":
        size *= 4
    a = torch.randn(size, size, device=device, dtype=dtype)
    b = torch.randn(size, size, device=device, dtype=dtype)

    def product() -> None:
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    best = float("inf")
    products = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # set at run time
    chosen = products.fp32_precision
    for library in {BY_ITSELF, chosen}:
        products.fp32_precision = library
        best = min(best, *(_time(product) for _ in range(10)))
    products.fp32_precision = chosen
    return 2 * size**3 / best
