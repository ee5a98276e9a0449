"""How good a model is on held-out data, all of it, whole and without augmentation.

For systems whose figures are the terms of their losses.
"""

from __future__ import annotations

from typing import Any

import torch

from atat.engine.contract import Source
from atat.engine.loader import in_order
from atat.engine.validate import Show, name_of

UNLIMITED = 1  # targets have no length here


def evaluate(
    model: Any, data: Source, device: torch.device, show: Show, budget: int
) -> dict[str, float | None]:
    """loss, the sum of all terms by their weights, and each term that has no count of its own.

    budget: what a batch may hold, in units of the source. None: there was nothing to count. A term
    that the model leaves out in evaluation is left out.
    """
    weights: dict[str, float] = {}
    totals: dict[str, float] = {}
    counts = dict.fromkeys(model.counts, 0.0)
    of: dict[str, str] = {}
    done, whole = 0, len(data)
    for numbers in in_order(data, budget, UNLIMITED):
        show(f"{name_of(data)}, {done:,} of {whole:,}")
        done += len(numbers)
        batch = data.collate([data.example(number) for number in numbers]).to(device)
        for name, term in model.losses(batch).items():
            totals[name] = totals.get(name, 0.0) + float(term.total)
            of[name], weights[name] = term.of or name, term.weight
        for name, count in batch.counts().items():
            counts[name] += count
    show(f"{name_of(data)}, {done:,} of {whole:,}")
    means = {name: totals[name] / counts[of[name]] if counts[of[name]] else None for name in totals}
    figures = {name: means[name] for name in totals if of[name] != name}
    return {"loss": sum(weights[name] * (means[name] or 0.0) for name in totals), **figures}
