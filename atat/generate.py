"""From a batch of sources to hypotheses: an encoder, the shared decoder, a beam search.

Used alike by validation, `atat.decode` and `atat.recognizer`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from atat.model import Atat
from atat.search import Constraint, Hypothesis, SearchOptions, beam_search
from atat.tokenizer import Tokenizer
from atat.transformer import DecoderState


class DecoderScorer:
    """The decoder and its caches, as the search wants them."""

    def __init__(self, model: Atat, state: DecoderState) -> None:
        self.model = model
        self.state = state

    def step(self, tokens: Tensor) -> Tensor:
        return self.model.decoder.step(tokens, self.state)

    def reorder(self, hypotheses: Tensor) -> None:
        self.state.reorder(hypotheses)

    def keep(self, utterances: Tensor) -> None:
        self.state.keep(utterances)


@torch.inference_mode()
def generate(
    model: Atat,
    tokenizer: Tokenizer,
    audio: bool,
    source: Tensor,
    lengths: Tensor,
    tasks: Sequence[str],
    options: SearchOptions = SearchOptions(),
    constraint: Constraint | None = None,
) -> list[list[Hypothesis]]:
    """source (B, T, F) or (B, S), lengths (B,), a task for each -> hypotheses, best first.

    The longest output allowed follows from the source: more tokens than encoder states (audio), or
    than four to each source token and ten (text), no utterance needs.
    """
    memory, memory_lengths = model.encode(audio, source, lengths)
    factor, extra = (1, 10) if audio else (4, 10)
    limits = [factor * int(length) + extra for length in memory_lengths]
    state = model.decoder.start(memory, memory_lengths, options.beam)
    start = torch.tensor([tokenizer.task_id(task) for task in tasks], device=memory.device)
    return beam_search(
        DecoderScorer(model, state),
        start,
        tokenizer.eos_id,
        options,
        limits=limits,
        constraint=constraint,
    )
