"""The share of the teachers in the loss over time (Cho et al. 2020, equation 5)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from atat.systems.distill.settings import Schedule


def share(schedule: Schedule, weight: float, *, error: float, epoch: int, epochs: int) -> float:
    """beta in loss = (1 - beta) cross entropy + beta distance.

    constant: `weight`. err: the share of the batch that the student has wrong. exp: e^(1 - epoch),
    so that in the first epoch the teachers are all. tri: a triangle over the middle half of the
    run, as high as `weight`. Epochs are counted from 1 to `epochs`.
    """
    if schedule == "constant":
        return weight
    if schedule == "err":
        return error
    if schedule == "exp":
        return math.exp(1 - epoch)
    middle = epochs / 2
    return weight * max(0.0, 1 - abs(epoch - middle) / (0.5 * middle))


@dataclass(frozen=True)
class Calendar:
    """Which epoch a step is in."""

    steps_of_epoch: int
    steps: int

    def epoch(self, step: int) -> int:
        """Of optimizer step `step`, counted from 0; epochs from 1."""
        return 1 + step // self.steps_of_epoch

    @property
    def epochs(self) -> int:
        """The last one, which may be cut off."""
        return self.epoch(self.steps - 1)
