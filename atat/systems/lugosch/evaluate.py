"""How good a model is on held-out recordings, all of them, whole and without augmentation."""

from __future__ import annotations

import torch

from atat.engine.loader import in_order
from atat.engine.validate import Show, name_of
from atat.systems.lugosch.data import Recordings
from atat.systems.lugosch.model import Lugosch

FRAMES = 20000  # of 10 ms, what a validation batch may hold
UNLIMITED = 1  # targets have no length here


def evaluate(
    model: Lugosch, data: Recordings, device: torch.device, show: Show
) -> dict[str, float | None]:
    """Pretraining: loss (phones + words) and the accuracies per frame of phones and of words, the
    latter where words are spoken. Intents: loss (sum over fields), and the share of commands of
    which all is right. A command that the outputs cannot say is wrong, and its unknown values have
    no part in the loss. None: nothing there to count."""
    totals = dict.fromkeys(model.terms, 0.0)
    counts = dict.fromkeys(model.counts, 0.0)
    done, whole = 0, len(data)
    of: dict[str, str] = {}
    for numbers in in_order(data, FRAMES, UNLIMITED):
        show(f"{name_of(data)}, {done:,} of {whole:,}")
        done += len(numbers)
        batch = data.collate([data.example(number) for number in numbers]).to(device)
        for name, term in model.losses(batch).items():
            totals[name] += float(term.total)
            of[name] = term.of or name
        for name in model.counts:
            counts[name] += batch.counts()[name]
    show(f"{name_of(data)}, {done:,} of {whole:,}")
    means = {name: totals[name] / counts[of[name]] if counts[of[name]] else None for name in totals}
    losses = [name for name in model.terms if of[name] == name]
    figures = {name: means[name] for name in model.terms if name not in losses}
    return {"loss": sum(means[name] or 0.0 for name in losses), **figures}
