"""How good a joint model is on a validation source: cross entropy, token accuracy, exact match."""

from __future__ import annotations

import torch

from atat.engine.loader import in_order
from atat.engine.validate import Show, name_of
from atat.nn.beam_search import SearchOptions
from atat.systems.joint.data import TaskData
from atat.systems.joint.generate import generate
from atat.systems.joint.model import Atat

# What a validation batch may hold (atat/engine/batching.py).
FRAMES, TOKENS, TARGETS = 20000, 4000, 8000


def evaluate(
    model: Atat, data: TaskData, device: torch.device, decode: int, show: Show
) -> dict[str, float | None]:
    """loss: cross entropy per token, without smoothing and without CTC; accuracy: share of tokens
    right under teacher forcing; exact_match: share of the first `decode` outputs, decoded
    greedily, that equal their target (None: nothing decoded)."""
    done, whole = 0, len(data)
    loss = right = tokens = 0.0
    for numbers in in_order(data, _budget(data), TARGETS):
        show(f"{name_of(data)}, {done:,} of {whole:,}")
        done += len(numbers)
        batch = data.collate([data.example(number) for number in numbers]).to(device)
        terms, weight = model.losses(batch), data.source.loss_weight
        loss += float(terms["ce"].total) / weight
        right += float(terms["accuracy"].total) / weight
        tokens += batch.counts()["ce"] / weight
    show(f"{name_of(data)}, {done:,} of {whole:,}")
    return {
        "loss": loss / tokens,
        "accuracy": right / tokens,
        "exact_match": _exact_match(model, data, device, decode, show) if decode else None,
    }


def _budget(data: TaskData) -> int:
    return FRAMES if data.is_audio else TOKENS


def _exact_match(
    model: Atat, data: TaskData, device: torch.device, decode: int, show: Show
) -> float:
    right = total = 0
    for numbers in in_order(data, _budget(data), TARGETS, limit=decode):
        show(f"{data.task}, {total:,} of {min(decode, len(data)):,} decoded")
        batch = data.collate([data.example(number) for number in numbers]).to(device)
        outputs = generate(
            model,
            data.encoding.tokenizer,
            batch.audio,
            batch.source,
            batch.source_lengths,
            batch.tasks,
            SearchOptions(beam=1),
        )
        for number, hypotheses in zip(numbers, outputs):
            target = data.reader.target_ids(data.utterances[number])[1:-1]
            right += list(hypotheses[0].tokens) == target
            total += 1
    return right / total
