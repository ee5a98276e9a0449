"""How good a model is on held-out data: of each objective of its pretraining, or of its classes."""

from __future__ import annotations

import torch

from atat.engine.plain_evaluate import evaluate
from atat.engine.validate import Show
from atat.systems.stbert.curriculum import MLM, TO_SPEECH, TO_TEXT
from atat.systems.stbert.data import Commands, Pairs, Speech
from atat.systems.stbert.model import StBert

BATCH = 20000  # frames of 10 ms
# The figure of an objective -> its name among all.
NAMES = {
    (MLM, "phoneme_accuracy"): "phoneme_accuracy",
    (MLM, "piece_accuracy"): "piece_accuracy",
    (TO_TEXT, "piece_accuracy"): "text_from_speech",
    (TO_SPEECH, "phoneme_accuracy"): "speech_from_text",
}


def figures(
    model: StBert, source: Speech, device: torch.device, show: Show
) -> dict[str, float | None]:
    """Pretraining: loss, the mean over the objectives, and the shares of masked phonemes and pieces
    that are predicted; always the same are masked. Finetuning: loss, and the share of classes that
    are right; a class that training does not have is wrong and has no part in the loss."""
    if isinstance(source, Commands):
        return evaluate(model, source, device, show, BATCH)
    assert isinstance(source, Pairs)
    found: dict[str, float | None] = {}
    losses = []
    for objective in source.objectives:
        one = evaluate(model, source.of(objective), device, show, BATCH)
        losses.append(one.pop("loss") or 0.0)
        found |= {NAMES[objective, name]: value for name, value in one.items()}
    return {"loss": sum(losses) / len(losses), **found}
