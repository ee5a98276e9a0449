"""The parts that every transformer here is made of: attention, layers, positions, key/value cache.

Pre-norm layers as in Vaswani et al. 2017 with the normalisation moved in front (the arrangement
of the ESPnet recipes AT-AT builds on, Karita et al. 2019). Knows neither audio nor text.

Shapes: B batch, T positions, S memory positions, D width, H heads, K hypotheses of an utterance
(the beam), N hypotheses of all (= B x K), E entries of the cache.
Masks: True = attend.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


# Scores of one attention that are written out at once, on a CPU: half a GiB.
LARGEST_SCORES = 2**27


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """(B,) lengths -> (B, size), True where a position belongs to the sequence."""
    return torch.arange(size, device=lengths.device)[None] < lengths[:, None]


class Dropout(nn.Module):
    """Dropout whose random numbers are cheap on a CPU, where they otherwise cost a tenth of a step.

    One random byte decides about a value, so the rate is a multiple of 1/256; what is kept is
    scaled by exactly that rate.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        dropped = round(self.rate * 256)
        if not self.training or dropped == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.rate)
        return _Dropped.apply(x, _kept(x.shape, dropped), 256 / (256 - dropped))


def _kept(shape: torch.Size, dropped: int) -> Tensor:
    """Bytes of a shape, 0 for `dropped` of 256 and 1 for the others."""
    # Drawing eight bytes at a time is several times as fast as drawing them one by one.
    words = torch.empty(-(-shape.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
    bytes_ = words.view(torch.uint8)[: shape.numel()].view(shape)
    # Not `bytes_ >= dropped`: torch is slow where a truth value becomes a number.
    return bytes_.clamp_(dropped - 1, dropped).sub_(dropped - 1)


class _Dropped(torch.autograd.Function):
    """x times the bytes times the factor; only the bytes are kept for the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor, factor: float) -> Tensor:
        ctx.save_for_backward(kept)
        ctx.factor = factor
        # The factor stays a Python number: in bf16 it would be rounded, and the mean with it.
        return (x * kept.to(x.dtype)).mul_(factor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (kept,) = ctx.saved_tensors
        return (gradient * kept.to(gradient.dtype)).mul_(ctx.factor), None, None


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, causal: bool = False
) -> Tensor:
    """Scaled dot-product attention: (B, H, T, d), (B, H, S, d) twice -> (B, H, T, d).

    mask broadcasts to (B, H, T, S): True where to attend, or numbers that are added to the scores.
    On a CPU written out as batched products: torch's own kernel makes one small product for each
    block, up to six times as slow where oneDNN makes them, and its backward pass in bf16 is three
    times as slow (measured at T of 20 to 350).
    """
    batch, heads, length, width = query.shape
    size = key.shape[2]
    if query.device.type != "cpu" or batch * heads * length * size > LARGEST_SCORES:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal)
    if causal:
        mask = torch.ones(length, size, dtype=torch.bool).tril()[None, None]
    scores = torch.baddbmm(
        query.new_zeros(1) if mask is None else _bias(mask, query),
        query.reshape(-1, length, width),
        key.reshape(-1, size, width).transpose(1, 2),
        alpha=width**-0.5,
    )
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    return (weights @ value.reshape(-1, size, width)).view(query.shape)


def _bias(mask: Tensor, query: Tensor) -> Tensor:
    """A mask of four dimensions -> what is added to the scores (B x H, T, S); broadcasts to it."""
    bias = mask
    if mask.dtype == torch.bool:
        bias = query.new_zeros(1).expand(mask.shape).masked_fill(~mask, float("-inf"))
    bias = bias.to(query.dtype)
    if len(bias) == bias.shape[1] == 1:
        return bias[0]
    return bias.expand(*query.shape[:2], -1, -1).flatten(0, 1)


class Positions(nn.Module):
    """Adds sinusoidal positions (Vaswani et al. 2017, section 3.5) after scaling by sqrt(D)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.dropout = Dropout(dropout)
        self.register_buffer("table", sinusoids(512, width), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return self.dropout(x * math.sqrt(self.width) + self._rows(0, x.shape[1]))

    def at(self, x: Tensor, position: int) -> Tensor:
        """(B, K, D) -> (B, K, D); all at the same position."""
        return self.dropout(x * math.sqrt(self.width) + self._rows(position, position + 1))

    def _rows(self, start: int, end: int) -> Tensor:
        if end > len(self.table):
            self.table = sinusoids(2 * end, self.width).to(self.table)
        return self.table[start:end]


def sinusoids(length: int, width: int) -> Tensor:
    """(length, width) table of sines and cosines of falling frequency."""
    position = torch.arange(length, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    table = torch.zeros(length, width)
    table[:, 0::2] = torch.sin(position * rate)
    table[:, 1::2] = torch.cos(position * rate)
    return table


class Heads(nn.Module):
    """What self- and cross-attention share: splitting the width into heads and back."""

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

    def step(self, x: Tensor, state: "DecoderState", layer: int) -> Tensor:
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


class FeedForward(nn.Module):
    """Two products with a ReLU between."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.inner = nn.Linear(width, inner)
        self.outer = nn.Linear(inner, width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.dropout(F.relu(self.inner(x))))


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
        """x (B, T, D), lengths (B,) -> (B, T, D); what stands beyond a length is meaningless."""
        mask = attention_mask(lengths, x.shape[1])
        x = self.positions(x)
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x)


def attention_mask(lengths: Tensor, size: int) -> Tensor | None:
    """(B,) -> (B, 1, 1, size) for attention; None when nothing is padded (a faster kernel).

    On a GPU the mask is always made: asking whether it is needed would wait for the device.
    """
    if lengths.device.type == "cpu" and int(lengths.min()) == size:
        return None
    return length_mask(lengths, size)[:, None, None, :]


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
        return self._rest(x, keys_values, memory_mask)

    def step(self, x: Tensor, state: "DecoderState", layer: int) -> Tensor:
        """The new position of every hypothesis: x (B, K, D) -> (B, K, D)."""
        x = x + self.self_attention.step(self.self_norm(x), state, layer)
        return self._rest(x, state.cross[layer], state.memory_mask)

    def _rest(
        self, x: Tensor, keys_values: tuple[Tensor, Tensor], memory_mask: Tensor | None
    ) -> Tensor:
        x = x + self.dropout(self.cross_attention(self.cross_norm(x), keys_values, memory_mask))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class DecoderState:
    """Everything a decoder keeps between two steps of a search. Passed, never hidden.

    The K hypotheses of an utterance share one cache: each step adds K entries to it, and each
    hypothesis attends to those it has come by. So a step of the search moves no keys and values; it
    only notes by which entries the hypotheses go on.

    cross: per layer keys and values of the memory, each (B, H, S, D/H), one copy for all beams;
    memory_mask (B, 1, 1, S).
    """

    BLOCK = 8  # positions that room is made for at a time; unused room is attended to by nobody

    def __init__(
        self, cross: list[tuple[Tensor, Tensor]], memory_mask: Tensor | None, beam: int
    ) -> None:
        self.cross, self.memory_mask, self.beam = cross, memory_mask, beam
        self.position = -1
        key = cross[0][0]
        batch, heads, _, width = key.shape
        # Per layer keys and values, (2, B, H, E, D/H) with room for E entries
        self._entries = [key.new_zeros(2, batch, heads, 0, width) for _ in cross]
        # (B, K, E): 0 where a hypothesis has come by an entry, -inf elsewhere
        self._past = torch.zeros(batch, beam, 0, device=key.device)

    def advance(self) -> None:
        """On to the next position, where each hypothesis has an entry of its own."""
        self.position += 1
        entries, first = self._past.shape[2], self.position * self.beam
        if first == entries:
            room = self.BLOCK * self.beam
            self._entries = [F.pad(layer, (0, 0, 0, room)) for layer in self._entries]
            self._past = F.pad(self._past, (0, room), value=float("-inf"))
        self._past[:, :, first : first + self.beam].diagonal(dim1=1, dim2=2).zero_()

    def self_keys_values(self, layer: int) -> tuple[Tensor, Tensor]:
        """A layer's keys and values of all entries, each (B, H, E, D/H)."""
        return self._entries[layer][0], self._entries[layer][1]

    def self_mask(self) -> Tensor:
        """(B, 1, K, E), added to the scores."""
        return self._past[:, None]

    def new_entries(self) -> slice:
        """Where the entries of this position are."""
        return slice(self.position * self.beam, (self.position + 1) * self.beam)

    def reorder(self, hypotheses: Tensor) -> None:
        """Row i continues what was row hypotheses[i], of the same utterance; (N,)."""
        past = self._past.flatten(0, 1).index_select(0, hypotheses)
        self._past = past.view(self._past.shape)

    def keep(self, utterances: Tensor) -> None:
        """Drop all utterances but these (K,) int64: the finished ones leave the batch."""
        self._entries = [layer.index_select(1, utterances) for layer in self._entries]
        self._past = self._past.index_select(0, utterances)
        self.cross = [
            (key.index_select(0, utterances), value.index_select(0, utterances))
            for key, value in self.cross
        ]
        if self.memory_mask is not None:
            self.memory_mask = self.memory_mask.index_select(0, utterances)
