"""How good a model is on held-out data during training: figures of each source, and their mean.

The system defines the figures. One is "loss", where lower is better; in all others higher is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from atat.engine.contract import Source, System

Show = Callable[[str], None]  # receives the progress of a validation


@dataclass(frozen=True)
class Validation:
    """Figures of one validation source; None: not computed."""

    name: str  # task/data dir
    figures: dict[str, float | None]

    def values(self) -> dict[str, Any]:
        """As train.json and checkpoints hold it."""
        return {"name": self.name, **self.figures}


def validate(
    system: System,
    model: Any,
    sources: Sequence[Source],
    device: torch.device,
    decode: int,
    show: Show = lambda _: None,
) -> list[Validation]:
    """Figures of each source; the model is left in training mode.

    decode: how many utterances of each source to decode; 0: none.
    """
    model.eval()
    with torch.inference_mode():
        found = [
            Validation(name_of(source), system.evaluate(model, source, device, decode, show))
            for source in sources
        ]
    model.train()
    return found


def name_of(source: Source) -> str:
    """slu/dev: task and data dir."""
    return f"{source.task}/{source.data.rstrip('/').rsplit('/', 1)[-1]}"


def score(validations: Sequence[Validation], select: str) -> tuple[float, ...]:
    """The score to compare checkpoints by, higher is better: means over sources.

    If exact matches are equal, as at the start of a run, the lower loss is better.
    """
    loss = _mean(validations, "loss")
    if select == "loss":
        return (-loss,)
    return _mean(validations, select), -loss


def _mean(validations: Sequence[Validation], figure: str) -> float:
    return sum(v.figures.get(figure) or 0.0 for v in validations) / len(validations)


def summary(validations: Sequence[Validation]) -> str:
    """One line for the log."""
    parts = []
    for v in validations:
        shown = [f"loss {v.figures['loss']:.3f}"]
        shown += [
            f"{name.replace('_', ' ')} {100 * value:.1f} %"
            for name, value in v.figures.items()
            if name != "loss" and value is not None
        ]
        parts.append(f"{v.name}: {' '.join(shown)}")
    return "; ".join(parts)
