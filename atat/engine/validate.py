"""How good a model is on held-out data while it trains: loss, token accuracy, exact match."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from atat.engine.loader import in_order
from atat.nn.beam_search import SearchOptions
from atat.systems.joint.batch import collate
from atat.systems.joint.data import TaskData
from atat.systems.joint.generate import generate
from atat.systems.joint.model import Atat

FRAMES, TOKENS, TARGETS = (
    20000,
    4000,
    8000,
)  # what a validation batch may hold (atat/engine/batching.py)


@dataclass(frozen=True)
class Validation:
    """Figures of one validation source."""

    name: str  # task/data dir
    loss: float  # cross entropy per token, without smoothing and without CTC
    accuracy: float  # share of tokens right under teacher forcing
    exact_match: float | None  # share of outputs equal to the target; None: nothing decoded


def validate(
    model: Atat,
    sources: Sequence[TaskData],
    device: torch.device,
    decode: int,
    show: Callable[[str], None] = lambda _: None,
) -> list[Validation]:
    """Figures of each source; the model is left in training mode.

    show: is told how far it is, before each batch and at the end of a source.
    """
    model.eval()
    found = [_validate(model, data, device, decode, show) for data in sources]
    model.train()
    return found


@torch.inference_mode()
def _validate(
    model: Atat, data: TaskData, device: torch.device, decode: int, show: Callable[[str], None]
) -> Validation:
    name = f"{data.task.name}/{data.source.data.rstrip('/').rsplit('/', 1)[-1]}"
    done, whole = 0, len(data)
    budget = FRAMES if data.is_audio else TOKENS
    loss = correct = tokens = 0.0
    for numbers in in_order(data, budget, TARGETS):
        show(f"{name}, {done:,} of {whole:,}")
        done += len(numbers)
        batch = collate([data.example(number) for number in numbers]).to(device)
        sums = model.losses(batch)
        loss += float(sums["ce"]) / data.source.loss_weight
        correct += float(sums["correct"]) / data.source.loss_weight
        tokens += batch.counts()["ce"] / data.source.loss_weight
    show(f"{name}, {done:,} of {whole:,}")
    return Validation(
        name=name,
        loss=loss / tokens,
        accuracy=correct / tokens,
        exact_match=_exact_match(model, data, device, decode, show) if decode else None,
    )


def _exact_match(
    model: Atat, data: TaskData, device: torch.device, decode: int, show: Callable[[str], None]
) -> float:
    right = total = 0
    tokenizer = data.encoding.tokenizer
    for numbers in in_order(data, FRAMES if data.is_audio else TOKENS, TARGETS, limit=decode):
        show(f"{data.task.name}, {total:,} of {min(decode, len(data)):,} decoded")
        batch = collate([data.example(number) for number in numbers]).to(device)
        outputs = generate(
            model,
            tokenizer,
            batch.audio,
            batch.source,
            batch.source_lengths,
            batch.tasks,
            SearchOptions(beam=1),
        )
        for number, hypotheses in zip(numbers, outputs):
            target = data.target_ids(data.utterances[number])[1:-1]
            right += list(hypotheses[0].tokens) == target
            total += 1
    return right / total


def score(validations: Sequence[Validation], select: str) -> tuple[float, ...]:
    """What to compare checkpoints by, higher is better: means over sources.

    Of equal exact matches, as at the start of a run, the lower loss is the better one.
    """
    loss = sum(v.loss for v in validations) / len(validations)
    if select == "loss":
        return (-loss,)
    return sum(v.exact_match or 0.0 for v in validations) / len(validations), -loss


def summary(validations: Sequence[Validation]) -> str:
    """One line for the log."""
    parts = []
    for v in validations:
        match = "" if v.exact_match is None else f" exact match {100 * v.exact_match:.1f} %"
        share = f"accuracy {100 * v.accuracy:.1f} %{match}"
        parts.append(f"{v.name}: cross entropy {v.loss:.3f} {share}")
    return "; ".join(parts)
