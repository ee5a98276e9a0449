"""Segments of speech as vectors, and back (Chuang et al. 2020, sections 2.2 and 3.2.1).

Encoder: a bidirectional LSTM over the frames of a segment; its two last states go through two
linear layers, a rectifier between them, to the vector z. Decoder: an LSTM that begins with z as its
state and reads at each frame what it has written at the one before, first zeros. The segments of a
batch are packed: what z is depends on nothing but the segment's own frames. Computed in fp32.

Shapes: W segments, N frames of all of them one after the other, D values of a frame, H width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

from atat.nn.cmvn import Cmvn


class SegmentEncoder(nn.Module):
    """Frames of segments -> a vector of each."""

    def __init__(self, inputs: int, hidden: int, width: int) -> None:
        """inputs: D; hidden: of the LSTM, in each direction; width: H."""
        super().__init__()
        self.cmvn = Cmvn(inputs)
        self.lstm = nn.LSTM(inputs, hidden, batch_first=True, bidirectional=True)
        self.linear = nn.Sequential(
            nn.Linear(2 * hidden, width), nn.ReLU(), nn.Linear(width, width)
        )

    @property
    def inputs(self) -> int:
        """D."""
        return self.lstm.input_size

    @property
    def hidden(self) -> int:
        """Of the LSTM, in each direction."""
        return self.lstm.hidden_size

    def forward(self, frames: Tensor, sizes: Tensor) -> Tensor:
        """Frames (N, D), not normalised; sizes (W,), each 1 or more -> (W, H)."""
        with torch.autocast(frames.device.type, enabled=False):
            segments = self.cmvn(frames.float()).split(sizes.tolist())
            packed = pack_padded_sequence(
                pad_sequence(list(segments), batch_first=True),
                sizes.cpu(),
                batch_first=True,
                enforce_sorted=False,
            )
            _, (last, _) = self.lstm(packed)
            found: Tensor = self.linear(torch.cat([last[0], last[1]], 1))
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
        # The longest first, so that those that go on at a frame are the first ones.
        ordered, order = sizes.sort(descending=True, stable=True)
        going_on = [int((ordered > time).sum()) for time in range(int(ordered[0]))]
        with torch.autocast(vectors.device.type, enabled=False):
            hidden = vectors.float()[order]
            memory = torch.zeros_like(hidden)
            frame = hidden.new_zeros(len(hidden), self.linear.out_features)
            written = []
            for count in going_on:
                hidden, memory = self.cell(frame[:count], (hidden[:count], memory[:count]))
                frame = self.linear(hidden)
                written.append(frame)
        return torch.cat(written)[_places(sizes, order, going_on)]


def _places(sizes: Tensor, order: Tensor, going_on: list[int]) -> Tensor:
    """Where each frame (N,) is among those written at the first time, then at the second, ..."""
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    counts = torch.tensor([0, *going_on[:-1]], device=order.device).cumsum(0)
    starts = sizes.cumsum(0) - sizes
    time = torch.arange(int(sizes.sum()), device=order.device)
    time = time - starts.repeat_interleave(sizes)
    return counts[time] + rank.repeat_interleave(sizes)
