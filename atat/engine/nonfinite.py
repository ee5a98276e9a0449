"""Training steps whose loss or gradient is not finite: which utterances they read, and the rule.

Such a step is left out: no weight and no statistic changes. So many in a row, and the run ends; the
checkpoint before them is good. Every one is a line of `nonfinite.jsonl` in the folder of the run.
Knows nothing of how a step is made.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from atat.base.errors import InputError
from atat.engine import distributed
from atat.engine.contract import Batch

LIST = "nonfinite.jsonl"
NAMED = 3  # utterances that a message names


class Statistics:
    """What forward passes change in a model, such as the means of a BatchNorm, to be undone."""

    def __init__(self, model: nn.Module) -> None:
        self._kept = [(one, one.detach().clone()) for one in distributed.buffers_of(model)]

    def restore(self) -> None:
        """As they were."""
        for buffer, before in self._kept:
            buffer.copy_(before)


def is_finite(figures: dict[str, float], norm: float) -> bool:
    """Whether the sums of a step and the norm of its gradient are numbers."""
    return math.isfinite(norm) and math.isfinite(sum(figures.values()))


def note(
    folder: Path,
    step: int,
    figures: dict[str, float],
    norm: float,
    batches: Sequence[tuple[Batch, Tensor]],
    *,
    row: int,
    limit: int,
) -> str:
    """Add a step to the list; returns what to say of it. Called on every rank.

    batches: this rank's, with the terms of each. If only the gradient is not finite, all of them
    are named. row: how many such steps there are in a row, this one included; more than `limit` is
    an InputError.
    """
    of_loss = not is_finite(figures, 0.0)
    named = [batch for batch, terms in batches if not of_loss or not terms.isfinite().all()]
    utterances = distributed.gather([name for batch in named for name in batch.utterances])
    path = folder / LIST
    if distributed.rank() == 0:
        values = {name: repr(value) for name, value in {**figures, "norm": norm}.items()}
        line = json.dumps({"step": step, **values, "utterances": utterances})
        with open(path, "a", encoding="utf-8") as stream:
            stream.write(line + "\n")
    what = "loss" if of_loss else "gradient"
    shown = ", ".join(utterances[:NAMED])
    more = f" and {len(utterances) - NAMED} more" if len(utterances) > NAMED else ""
    message = f"step {step}: the {what} of the batches with {shown}{more} is not finite"
    if row > limit:
        raise InputError(
            f"{message}, in step {row} in a row (max_nonfinite is {limit}); their utterances are "
            f"listed in {path}. Look at them, or lower optim.factor or optim.peak. Checkpoints "
            "written before are good."
        )
    return f"{message}; the step is left out ({path})"
