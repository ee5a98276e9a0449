"""The parts of every transformer here: multi-head attention, layers, positions.

Pre-norm layers as in Vaswani et al. 2017 with the normalisation moved in front (the arrangement
of the ESPnet recipes AT-AT builds on, Karita et al. 2019). Knows neither audio nor text.

Shapes: B batch, T positions, S memory positions, D width, H heads, K hypotheses of an utterance
(the beam).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atat.nn.attention import attend, attention_mask
from atat.nn.decoder_cache import DecoderState
from atat.nn.dropout import Dropout


class Positions(nn.Module):
    """Adds sinusoidal positions (Vaswani et al. 2017, section 3.5) after scaling by sqrt(D)."""

    table: Tensor  # (positions, D)

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.dropout = Dropout(dropout)
        self.register_buffer("table", sinusoids(torch.arange(512), width), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return self.dropout(x * math.sqrt(self.width) + self._rows(0, x.shape[1]))

    def at(self, x: Tensor, position: int) -> Tensor:
        """(B, K, D) -> (B, K, D); all at the same position."""
        return self.dropout(x * math.sqrt(self.width) + self._rows(position, position + 1))

    def _rows(self, start: int, end: int) -> Tensor:
        if torch.compiler.is_exporting():  # a graph cannot enlarge the table
            return sinusoids(torch.arange(start, end), self.width)
        if end > len(self.table):
            self.table = sinusoids(torch.arange(2 * end), self.width).to(self.table)
        return self.table[start:end]


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """positions (T,) -> (T, width): sines and cosines of falling frequency."""
    position = positions.float()[:, None]
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    return torch.stack([torch.sin(position * rate), torch.cos(position * rate)], dim=2).flatten(1)


class Heads(nn.Module):
    """Base of self- and cross-attention: splits the width into heads and joins them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        assert width % heads == 0
        self.heads = heads
        self.output = nn.Linear(width, width)

    def split(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, H, T, D/H)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def join(self, x: Tensor) -> Tensor:
        """(B, H, T, D/H) -> (B, T, D), through the output projection."""
        return self.output(x.transpose(1, 2).flatten(-2))


class SelfAttention(Heads):
    """Multi-head attention of a sequence to itself; one product makes query, key and value."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.projection = nn.Linear(width, 3 * width)

    def forward(self, x: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """x (B, T, D); mask (B, 1, 1, T) -> (B, T, D)."""
        query, key, value = (self.split(part) for part in self.projection(x).chunk(3, dim=-1))
        return self.join(attend(query, key, value, mask, causal))

    def step(self, x: Tensor, state: DecoderState, layer: int) -> Tensor:
        """The new position of all hypotheses: x (B, K, D) -> (B, K, D); writes their entries."""
        query, key, value = (self.split(part) for part in self.projection(x).chunk(3, dim=-1))
        keys, values = state.self_keys_values(layer)
        keys[:, :, state.new_entries()] = key
        values[:, :, state.new_entries()] = value
        return self.join(attend(query, keys, values, state.self_mask()))


class CrossAttention(Heads):
    """Multi-head attention of target positions to the memory."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.query = nn.Linear(width, width)
        self.memory = nn.Linear(width, 2 * width)

    def keys_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """memory (B, S, D) -> keys and values, each (B, H, S, D/H)."""
        key, value = self.memory(memory).chunk(2, dim=-1)
        return self.split(key).contiguous(), self.split(value).contiguous()

    def forward(self, x: Tensor, keys_values: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        """x (B, U, D); mask (B, 1, 1, S) -> (B, U, D)."""
        query = self.split(self.query(x))
        return self.join(attend(query, *keys_values, mask))

    def weights(self, x: Tensor, keys: Tensor, mask: Tensor | None) -> Tensor:
        """How much each position attends to each state: x (B, U, D), keys (B, H, S, D/H), mask
        (B, 1, 1, S) -> (B, H, U, S), in which each row sums to 1. To look at, not to compute with.
        """
        query = self.split(self.query(x))
        scores = query @ keys.transpose(-1, -2) * query.shape[-1] ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return scores.softmax(-1)


class FeedForward(nn.Module):
    """Two products with a ReLU between."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.inner = nn.Linear(width, inner)
        self.outer = nn.Linear(inner, width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.dropout(F.relu(self.inner(x), inplace=True)))


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each normalised before and added after."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, inner, dropout)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x), mask))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class Encoder(nn.Module):
    """A stack of encoder layers over embedded positions, normalised at the end."""

    def __init__(self, width: int, layers: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.positions = Positions(width, dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(width, heads, inner, dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x (B, T, D), lengths (B,) -> (B, T, D); values beyond a length are meaningless."""
        mask = attention_mask(lengths, x.shape[1])
        x = self.positions(x)
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x)


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the memory, feed-forward."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(width)
        self.self_attention = SelfAttention(width, heads)
        self.cross_norm = nn.LayerNorm(width)
        self.cross_attention = CrossAttention(width, heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, inner, dropout)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None) -> Tensor:
        """x (B, U, D), memory (B, S, D), memory_mask (B, 1, 1, S) -> (B, U, D)."""
        x = x + self.dropout(self.self_attention(self.self_norm(x), causal=True))
        keys_values = self.cross_attention.keys_values(memory)
        return self.rest(x, keys_values, memory_mask)

    def step(self, x: Tensor, state: DecoderState, layer: int) -> Tensor:
        """The new position of every hypothesis: x (B, K, D) -> (B, K, D)."""
        x = x + self.self_attention.step(self.self_norm(x), state, layer)
        return self.rest(x, state.cross[layer], state.memory_mask)

    def rest(
        self, x: Tensor, keys_values: tuple[Tensor, Tensor], memory_mask: Tensor | None
    ) -> Tensor:
        """What follows the self-attention: x (B, U, D) -> (B, U, D)."""
        x = x + self.dropout(self.cross_attention(self.cross_norm(x), keys_values, memory_mask))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
