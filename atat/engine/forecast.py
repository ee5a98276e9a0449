"""Describes a training and estimates its time, in words, before it starts.

Knows only sizes and times, nothing of how a model is trained.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from atat.engine.settings import RunSettings

# Per weight and state in a training step: one product forward, two backward; two operations each.
OPERATIONS = 6
# Processor time of a step relative to that of its products alone, if every weight were used once
# per state: 1.0 to 1.7 for models of 2.6 to 29 million parameters on one core.
OVERHEAD = 1.3
DAY = 86400.0
LIMIT = DAY  # seconds that a training on a CPU may take without a warning


@dataclass(frozen=True)
class SourceLoad:
    """One source of the mix: its share of a mean step."""

    data: str
    utterances: int
    seconds: float  # of recordings, all utterances together; 0 of text
    states: float  # mean encoder states of an utterance
    weight: float


def states_of_a_step(loads: Sequence[SourceLoad], examples: int) -> float:
    """Encoder states of a mean optimizer step, over all its examples."""
    total = sum(load.weight for load in loads)
    return sum(examples * load.weight / total * load.states for load in loads)


def hours(loads: Sequence[SourceLoad]) -> float:
    """Hours of recordings; data used for several tasks counts once."""
    return sum({load.data: load.seconds for load in loads if load.seconds}.values()) / 3600


def opening(
    settings: RunSettings,
    loads: Sequence[SourceLoad],
    parameters: tuple[int, int],
    device: str,
    precision: str,
    done: int,
) -> str:
    """The message at the start. parameters: of the model, and how many of them train; done: steps
    that the run has done."""
    whole, training = parameters
    learning = "" if whole == training else f" ({millions(training)} of them train)"
    steps = f"{settings.steps:,} steps of {settings.batch.examples} examples"
    if done:
        steps += f", going on after step {done:,}"
    texts = sum({load.data: load.utterances for load in loads if not load.seconds}.values())
    data = [f"{hours(loads):.2f} hours of recordings"] if hours(loads) else []
    data += [f"{texts:,} sentences of text"] if texts else []
    return (
        f"{millions(whole)} parameters{learning}, on {device} in {precision}; {steps}; "
        + " and ".join(data)
    )


def millions(parameters: int) -> str:
    """25.9 million; 41,000."""
    return f"{parameters / 1e6:.1f} million" if parameters >= 1e6 else f"{parameters:,}"


def cpu_seconds(parameters: int, states: float, steps: int, speed: float) -> float:
    """About how long `steps` steps take on a processor with `speed` operations per second."""
    return OVERHEAD * OPERATIONS * parameters * states * steps / speed


def product_speed() -> float:
    """Operations per second of a matrix product of a typical size, measured in about 50 ms."""
    import torch

    a, b = torch.ones(1024, 256), torch.ones(256, 1024)
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * 1024 * 256 * 1024 / best


def cpu_warning(parameters: int, states: float, steps: int, speed: float) -> str | None:
    """The warning for a training that is too large for a CPU, else None."""
    seconds = cpu_seconds(parameters, states, steps, speed)
    if seconds <= LIMIT:
        return None
    return (
        f"this will take about {duration(seconds)} on this CPU: {millions(parameters)} parameters "
        f"x {states:,.0f} encoder states in a step x {steps:,} steps. To reduce the time, use a "
        "GPU, make the model smaller, or lower batch.examples or steps"
    )


def duration(seconds: float) -> str:
    """A duration in suitable units: 40 s, 12 min, 3 h 20 min, 9 days."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    if seconds < 2 * DAY:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{seconds / DAY:.0f} days"


def remaining(mean: float, left: int) -> str:
    """The remaining time, from steps of `mean` seconds."""
    shown = f"{mean:.1f} s" if mean >= 0.1 else f"{1000 * mean:.0f} ms"
    return (
        f"{shown} per step so far: about {duration(mean * left)} for the {left:,} remaining steps, "
        "validation not counted"
    )
