"""The one decoder that audio and text share, with its tied embedding and generator.

AT-AT, "Architecture": the task's label takes the place of the start symbol, and the generator's
weights are those of the embedding. Knows token ids, not their meaning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atat.nn.attention import attention_mask
from atat.nn.decoder_cache import DecoderState
from atat.nn.settings import DecoderSettings
from atat.nn.transformer import DecoderLayer, Positions


class TiedEmbedding(nn.Module):
    """Embedding of the target tokens, and the generator with the same weights.

    Tokens added after pretraining (new intents and slots) are a separate parameter, joined to the
    pretrained rows in use. Freezing the pretrained rows then works: in a shared parameter, Adam
    would move rows even at zero gradient.
    """

    def __init__(self, vocabulary: int, width: int, extension: int = 0) -> None:
        super().__init__()
        self.base = nn.Parameter(torch.empty(vocabulary, width))
        self.extension = nn.Parameter(torch.empty(extension, width))
        for rows in (self.base, self.extension):
            nn.init.normal_(rows, std=width**-0.5)

    def weight(self) -> Tensor:
        """(V, D), pretrained rows first."""
        return torch.cat([self.base, self.extension]) if len(self.extension) else self.base

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, U) -> (B, U, D)."""
        return F.embedding(tokens, self.weight())

    def logits(self, hidden: Tensor) -> Tensor:
        """(B, U, D) -> (B, U, V)."""
        return F.linear(hidden, self.weight())


class Decoder(nn.Module):
    """Transformer decoder over the memory of either encoder."""

    def __init__(
        self, settings: DecoderSettings, width: int, vocabulary: int, extension: int = 0
    ) -> None:
        super().__init__()
        self.embedding = TiedEmbedding(vocabulary, width, extension)
        self.positions = Positions(width, settings.dropout)
        self.layers = nn.ModuleList(
            DecoderLayer(width, settings.heads, settings.feed_forward, settings.dropout)
            for _ in range(settings.layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, memory: Tensor, memory_lengths: Tensor) -> Tensor:
        """Teacher forcing: tokens (B, U), memory (B, S, D) -> logits (B, U, V)."""
        mask = attention_mask(memory_lengths, memory.shape[1])
        x = self.positions(self.embedding(tokens))
        for layer in self.layers:
            x = layer(x, memory, mask)
        return self.embedding.logits(self.norm(x))

    def start(self, memory: Tensor, memory_lengths: Tensor, beam: int) -> DecoderState:
        """The state before the first step for `beam` hypotheses of each utterance."""
        cross = [layer.cross_attention.keys_values(memory) for layer in self._layers()]
        return DecoderState(cross, attention_mask(memory_lengths, memory.shape[1]), beam)

    def step(self, tokens: Tensor, state: DecoderState) -> Tensor:
        """The next token's logits: tokens (N,), one for each hypothesis -> (N, V)."""
        state.advance()
        embedded = self.embedding(tokens.view(-1, state.beam))  # (B, K, D)
        x = self.positions.at(embedded, state.position)
        for number, layer in enumerate(self._layers()):
            x = layer.step(x, state, number)
        return self.embedding.logits(self.norm(x)).flatten(0, 1)

    def _layers(self) -> Iterator[DecoderLayer]:
        return cast("Iterator[DecoderLayer]", iter(self.layers))  # a ModuleList is untyped
