"""Turns a batch of sources into hypotheses: an encoder, the shared decoder, a beam search.

Used by validation, `atat decode` and `atat.systems.joint.recognizer`. `encode` and `search` are the
two halves, for those who search the same memory for several tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from atat.engine.batching import batch_slices
from atat.nn.beam_search import beam_search
from atat.nn.ctc_prefix import CtcGuide, Spelling
from atat.nn.decoder_cache import DecoderState
from atat.systems.joint.model import Atat
from atat.text.search_options import Constraint, Hypothesis, SearchOptions, length_limit
from atat.text.tokenizer import Tokenizer

ENCODED_AT_ONCE = 1500  # padded frames or tokens, on a CPU; 1,000 to 2,000 are fastest


class DecoderScorer:
    """The decoder and its caches, with the interface that the search needs."""

    def __init__(self, model: Atat, state: DecoderState) -> None:
        self.model = model
        self.state = state

    def step(self, tokens: Tensor) -> Tensor:
        return self.model.decoder.step(tokens, self.state)

    def reorder(self, hypotheses: Tensor) -> None:
        self.state.reorder(hypotheses)

    def keep(self, utterances: Tensor) -> None:
        self.state.keep(utterances)


class MixedScorer:
    """The decoder reading two memories of the same recordings: a weighted mean of what it says."""

    def __init__(self, scorers: Sequence[DecoderScorer], weights: Sequence[float]) -> None:
        self.scorers, self.weights = scorers, weights

    def step(self, tokens: Tensor) -> Tensor:
        said = (scorer.step(tokens).float().log_softmax(-1) for scorer in self.scorers)
        return torch.stack([w * one for w, one in zip(self.weights, said)]).sum(0)

    def reorder(self, hypotheses: Tensor) -> None:
        for scorer in self.scorers:
            scorer.reorder(hypotheses)

    def keep(self, utterances: Tensor) -> None:
        for scorer in self.scorers:
            scorer.keep(utterances)


@torch.inference_mode()
def encode_by_length(
    encode: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], source: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """encode(source, lengths), on a CPU in small parts of similar length.

    A CPU encodes large padded batches more slowly than small ones, but searches them faster.
    source (B, T, ...), lengths (B,) -> memory (B, S, D), lengths (B,);
    values beyond a length are meaningless.
    """
    if source.device.type != "cpu" or source.shape[0] * source.shape[1] <= ENCODED_AT_ONCE:
        return encode(source, lengths)
    # The utterances of each part: similar lengths together.
    order = lengths.argsort()
    parts = [order[part] for part in batch_slices(lengths[order].tolist(), ENCODED_AT_ONCE)]
    encoded = [encode(source[rows, : int(lengths[rows].max())], lengths[rows]) for rows in parts]
    longest = max(memory.shape[1] for memory, _ in encoded)
    memory = encoded[0][0].new_zeros(len(source), longest, encoded[0][0].shape[2])
    memory_lengths = torch.zeros_like(lengths)
    for rows, (part, part_lengths) in zip(parts, encoded):
        memory[rows, : part.shape[1]] = part
        memory_lengths[rows] = part_lengths
    return memory, memory_lengths


def encode(model: Atat, audio: bool, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """source (B, T, F) or (B, S), lengths (B,) -> memory (B, S', D), lengths (B,)."""
    return encode_by_length(lambda rows, sizes: model.encode(audio, rows, sizes), source, lengths)


def generate(
    model: Atat,
    tokenizer: Tokenizer,
    audio: bool,
    source: Tensor,
    lengths: Tensor,
    tasks: Sequence[str],
    options: SearchOptions = SearchOptions(),
    constraint: Constraint | None = None,
    spelling: Spelling | None = None,
) -> list[list[Hypothesis]]:
    """source (B, T, F) or (B, S), lengths (B,), a task for each -> hypotheses, best first.

    As `search`, which takes what `encode` makes of the source.
    """
    memory = encode(model, audio, source, lengths)
    return search(model, tokenizer, audio, *memory, tasks, options, constraint, spelling)


@torch.inference_mode()
def search(
    model: Atat,
    tokenizer: Tokenizer,
    audio: bool,
    memory: Tensor,
    memory_lengths: Tensor,
    tasks: Sequence[str],
    options: SearchOptions = SearchOptions(),
    constraint: Constraint | None = None,
    spelling: Spelling | None = None,
) -> list[list[Hypothesis]]:
    """memory (B, S, D), its lengths (B,), a task for each -> hypotheses, best first.

    The longest output allowed depends on the source: one token per encoder state (audio) or four
    per source token (text), plus `options.extra_length`; at most `options.max_length`. A hypothesis
    that reached this limit is marked (`at_limit`). `options.ctc_weight` above 0 needs a CTC head
    and the spelling of the tokens in its units, `options.bridge` a bridge; both are of no effect on
    text.
    """
    kind: Literal["audio", "text"] = "audio" if audio else "text"
    limits = [length_limit(kind, int(n), options) for n in memory_lengths]
    guide, memories = None, [(memory, memory_lengths, 1.0)]
    if audio and (options.ctc_weight > 0 or options.bridge > 0):
        assert model.ctc is not None
        heard = model.ctc.log_probs(memory)
        if options.ctc_weight > 0:
            assert spelling is not None
            guide = CtcGuide(heard, memory_lengths, options.beam, spelling, options.ctc_weight)
        if options.bridge > 0:
            crossed = (*model.cross(heard, memory_lengths), options.bridge)
            own = (memory, memory_lengths, 1 - options.bridge)
            memories = [one for one in (crossed, own) if one[2] > 0]
    scorers = [
        DecoderScorer(model, model.decoder.start(rows, sizes, options.beam))
        for rows, sizes, _ in memories
    ]
    weights = [weight for *_, weight in memories]
    start = torch.tensor([tokenizer.task_id(task) for task in tasks], device=memory.device)
    return beam_search(
        scorers[0] if len(scorers) == 1 else MixedScorer(scorers, weights),
        start,
        tokenizer.eos_id,
        options,
        limits=limits,
        constraint=constraint,
        guide=guide,
    )
