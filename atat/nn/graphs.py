"""The parts of a model that become graphs of their own, for runtimes without torch.

They compute with the model's own layers; what is theirs is how inputs and outputs are laid out. A
search calls the step once for each token. Keys and values of former tokens are an input, those of
all tokens an output: the graph has no state. Names of inputs and outputs are in `atat.runtime`.

Shapes: B utterances, T frames, S states, D width, V vocabulary, K hypotheses of one utterance, E
former entries of all of them (`atat.nn.decoder_cache`), H heads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from atat.nn.attention import attend
from atat.nn.cmvn import Cmvn
from atat.nn.ctc import CtcHead
from atat.nn.decoder import Decoder
from atat.nn.text_encoder import SmallTextEncoder
from atat.nn.transformer import DecoderLayer, sinusoids


class AudioGraph(nn.Module):
    """Frames -> memory, and what the CTC head says of it if there is one."""

    def __init__(self, cmvn: Cmvn, encoder: nn.Module, ctc: CtcHead | None) -> None:
        super().__init__()
        self.cmvn, self.encoder, self.ctc = cmvn, encoder, ctc

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """frames (B, T, F), lengths (B,) -> memory (B, S, D), lengths (B,), log probabilities."""
        memory, lengths = self.encoder(self.cmvn(frames), lengths)
        if self.ctc is None:
            return memory, lengths
        return memory, lengths, self.ctc.log_probs(memory)


class TextGraph(nn.Module):
    """Embedded units -> memory: of a text, or of what is heard over a bridge."""

    def __init__(self, encoder: SmallTextEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """embedded (B, S, D), lengths (B,) -> (B, S, D)."""
        return self.encoder.read(embedded, lengths)


class MemoryGraph(nn.Module):
    """The keys and values of a memory, for every step of a search over it."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.layers = decoder.layers

    def forward(self, memory: Tensor) -> list[Tensor]:
        """memory (1, S, D) -> keys and values of each layer in turn, each (1, H, S, D/H)."""
        layers = cast("Iterable[DecoderLayer]", self.layers)  # a ModuleList is untyped
        return [part for layer in layers for part in layer.cross_attention.keys_values(memory)]


class StepGraph(nn.Module):
    """One step of the decoder for all hypotheses of an utterance.

    table (D, V): embedding and generator, as the generator's product wants it.
    """

    table: Tensor

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.layers, self.norm = decoder.layers, decoder.norm
        self.width = decoder.positions.width
        table = decoder.embedding.weight().detach().t().contiguous()
        self.register_buffer("table", table)

    def forward(
        self,
        tokens: Tensor,
        position: Tensor,
        history: Tensor,
        memory: Sequence[Tensor],
        past: Sequence[Tensor],
    ) -> tuple[Tensor, list[Tensor]]:
        """tokens (K,), position (1,) -> log probabilities of the next tokens (K, V), entries.

        history (K, E + K): 0 where an entry is of the hypothesis, those of this step last, else
        -inf. memory: keys and values of each layer (1, H, S, D/H); past: likewise, of the entries
        (1, H, E, D/H).
        """
        embedded = self.table.index_select(1, tokens).t()[None]  # (1, K, D)
        x = embedded * math.sqrt(self.width) + sinusoids(position, self.width)
        present: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, DecoderLayer)
            own, cross = past[2 * number : 2 * number + 2], memory[2 * number : 2 * number + 2]
            attention = layer.self_attention
            parts = attention.projection(layer.self_norm(x)).chunk(3, dim=-1)
            query, key, value = (attention.split(part) for part in parts)
            keys, values = torch.cat([own[0], key], dim=2), torch.cat([own[1], value], dim=2)
            present += [keys, values]
            x = x + attention.join(attend(query, keys, values, history[None, None]))
            x = layer.rest(x, (cross[0], cross[1]), None)
        return (self.norm(x)[0] @ self.table).log_softmax(-1), present
