"""Segments of speech as vectors, and back (Chuang et al. 2020, sections 2.2 and 3.2.1).

Encoder: a bidirectional LSTM over the frames of a segment; its two last states go through two
linear layers, a rectifier between them, to the vector z. Decoder: an LSTM that begins with z as its
state and reads at each frame what it has written at the one before, first zeros. Nothing is padded:
at each time the segments that are longer take part, so what z is depends on nothing but the
segment's own frames. Computed in fp32.

Both run over time here, and not by torch's packed LSTM, whose backward pass on a CPU fills a buffer
as large as all frames for each time: five times as slow with 480 segments of 40 frames.

Shapes: W segments, N frames of all of them one after the other, D values of a frame, H width, n_t
segments that have a frame at time t.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from atat.nn.cmvn import Cmvn


class Times(NamedTuple):
    """The frames of segments in the order of time, those of longer segments first."""

    order: Tensor  # (W,) the segments, the longest first
    counts: list[int]  # n_t
    places: Tensor  # (N,) where each frame is in that order

    @classmethod
    def of(cls, sizes: Tensor) -> Times:
        """Of segments with these sizes (W,)."""
        ordered, order = sizes.sort(descending=True, stable=True)
        times = torch.arange(int(ordered[0]), device=sizes.device)
        going_on = (ordered[None] > times[:, None]).sum(1)
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order), device=sizes.device)
        time = _time(sizes)
        before = going_on.cumsum(0) - going_on
        return cls(order, going_on.tolist(), before[time] + rank.repeat_interleave(sizes))


class SegmentEncoder(nn.Module):
    """Frames of segments -> a vector of each."""

    def __init__(self, inputs: int, hidden: int, width: int) -> None:
        """inputs: D; hidden: of the LSTM, in each direction; width: H."""
        super().__init__()
        self.cmvn = Cmvn(inputs)
        self.onward = nn.LSTMCell(inputs, hidden)
        self.reverse = nn.LSTMCell(inputs, hidden)
        self.linear = nn.Sequential(
            nn.Linear(2 * hidden, width), nn.ReLU(), nn.Linear(width, width)
        )

    @property
    def inputs(self) -> int:
        """D."""
        return self.onward.input_size

    @property
    def hidden(self) -> int:
        """Of the LSTM, in each direction."""
        return self.onward.hidden_size

    def forward(self, frames: Tensor, sizes: Tensor) -> Tensor:
        """Frames (N, D), not normalised; sizes (W,), each 1 or more -> (W, H)."""
        with torch.autocast(frames.device.type, enabled=False):
            times = Times.of(sizes)
            normal = self.cmvn(frames.float())
            ends = (sizes.cumsum(0) - 1).repeat_interleave(sizes)
            states = [
                _last(self.onward, normal, times),
                _last(self.reverse, normal[ends - _time(sizes)], times),
            ]
            found: Tensor = self.linear(torch.cat(states, 1))
        return found


class SegmentDecoder(nn.Module):
    """A vector of each segment -> its frames, normalised as the encoder's are."""

    def __init__(self, outputs: int, width: int) -> None:
        """outputs: D; width: H."""
        super().__init__()
        self.cell = nn.LSTMCell(outputs, width)
        self.linear = nn.Linear(width, outputs)

    def forward(self, vectors: Tensor, sizes: Tensor) -> Tensor:
        """Vectors (W, H), sizes (W,), each 1 or more -> frames (N, D)."""
        times = Times.of(sizes)
        with torch.autocast(vectors.device.type, enabled=False):
            hidden = vectors.float()[times.order]
            memory = torch.zeros_like(hidden)
            frame = hidden.new_zeros(len(hidden), self.linear.out_features)
            written = []
            for count in times.counts:
                hidden, memory = self.cell(frame[:count], (hidden[:count], memory[:count]))
                frame = self.linear(hidden)
                written.append(frame)
            return torch.cat(written).index_select(0, times.places)


def _last(cell: nn.LSTMCell, frames: Tensor, times: Times) -> Tensor:
    """The state (W, hidden) after the last frame of each segment, frames (N, D)."""
    by_time = frames.new_empty(frames.shape).index_copy(0, times.places, frames)
    gates = functional.linear(by_time, cell.weight_ih, cell.bias_ih).split(times.counts)
    hidden = memory = frames.new_zeros(times.counts[0], cell.hidden_size)
    ended: list[Tensor] = []
    for entering, after in zip(gates, [*times.counts[1:], 0]):
        hidden, memory = _step(cell, entering, hidden, memory)
        hidden, over = hidden.split([after, len(hidden) - after])
        memory = memory[:after]
        ended.append(over)
    states = torch.cat(ended[::-1])
    return torch.empty_like(states).index_copy(0, times.order, states)


def _step(cell: nn.LSTMCell, entering: Tensor, hidden: Tensor, memory: Tensor) -> Sequence[Tensor]:
    """One frame of an LSTM, of whose gates (n_t, 4 hidden) the frames' share is known."""
    gates = torch.addmm(entering, hidden, cell.weight_hh.T) + cell.bias_hh
    into, kept, new, out = gates.chunk(4, 1)
    memory = kept.sigmoid() * memory + into.sigmoid() * new.tanh()
    return out.sigmoid() * memory.tanh(), memory


def _time(sizes: Tensor) -> Tensor:
    """The number (N,) of each frame in its segment."""
    starts = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    return torch.arange(len(starts), device=sizes.device) - starts
