"""How good a model is on held-out data: of its stage, always with the same masks.

Masked words: loss, and the share that is predicted. Spoken words: loss, and the share of the known
ones whose vector is nearest to the embedding of their own word. Questions: loss, and the share of
windows in which first and last word of the answer are right, or that it is elsewhere.
"""

from __future__ import annotations

import torch

from atat.engine.plain_evaluate import evaluate
from atat.engine.validate import Show
from atat.systems.speechbert.data import SpokenWords
from atat.systems.speechbert.mlm import Masked
from atat.systems.speechbert.model import SpeechBert
from atat.systems.speechbert.qa import Questions

FRAMES, POSITIONS = 12000, 4000  # of a batch


def figures(
    model: SpeechBert,
    source: Masked | SpokenWords | Questions,
    device: torch.device,
    show: Show,
) -> dict[str, float | None]:
    """loss and the shares; see the module."""
    budget = FRAMES if isinstance(source, SpokenWords) else POSITIONS
    return evaluate(model, source, device, show, budget)
