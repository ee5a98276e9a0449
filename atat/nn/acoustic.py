"""The acoustic model and the intent module of Lugosch et al. 2019 (Interspeech).

    phoneme module   SincNet, 2 x [BiGRU 128, dropout 0.5, mean of 2]     a state (256) every 40 ms
    word module      2 x [BiGRU 128, dropout 0.5, mean of 2]              a state (256) every 160 ms
    intent module    BiGRU 128, dropout 0.5, linear, maximum over time    one vector of logits

The first two have a linear head, which only their pretraining needs (0 outputs: no head). The
published code masks no padding, so that what it says of a recording depends on the others in its
batch; here sequences are packed, and means and the maximum are taken over valid frames. The layer
norm that the published configuration asks for is never read by the published code, and there is
none here.

Shapes: B recordings, T samples at 16 kHz, N frames of 640 samples, M of 2560, rounded up.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from atat.nn import sincnet
from atat.nn.attention import length_mask
from atat.nn.audio_encoder import shortened
from atat.nn.bigru import bigru
from atat.nn.sincnet import SincNet

HIDDEN, DROPOUT, POOL, LAYERS = 128, 0.5, 2, 2
STATE = 2 * HIDDEN
PHONE_SAMPLES = sincnet.SUBSAMPLING * POOL**LAYERS  # 640: samples in a frame of phonemes
WORD_SAMPLES = PHONE_SAMPLES * POOL**LAYERS  # 2560


class Frames(NamedTuple):
    """States (B, N, STATE), anything beyond their lengths (B,)."""

    states: Tensor
    lengths: Tensor


class Recurrent(nn.Module):
    """A bidirectional GRU with dropout over packed sequences."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.gru = nn.GRU(inputs, HIDDEN, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, frames: Frames) -> Frames:
        packed = pack_padded_sequence(
            frames.states, frames.lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = pad_packed_sequence(bigru(self.gru, packed), batch_first=True)
        return Frames(self.dropout(states), frames.lengths)


class Stack(nn.ModuleList):
    """The recurrent layers of a module, each followed by an average over two frames."""

    def __init__(self, inputs: int) -> None:
        super().__init__([Recurrent(inputs), *(Recurrent(STATE) for _ in range(LAYERS - 1))])

    def forward(self, frames: Frames) -> Frames:
        for layer in self:
            frames = halved(layer(frames))
        return frames


def halved(frames: Frames) -> Frames:
    """The mean of every two frames; an odd last one stays as it is."""
    states, lengths = frames
    longest = states.shape[1]
    valid = length_mask(lengths, longest)
    filled = states.new_zeros(len(states), longest + longest % POOL, states.shape[2])
    filled[:, :longest] = states * valid[:, :, None]
    pairs = filled.unflatten(1, (-1, POOL)).sum(2)
    ends = POOL * torch.arange(pairs.shape[1], device=states.device)
    inside = (lengths[:, None] - ends).clamp(1, POOL)  # 1: no division by 0 in the padding
    return Frames(pairs / inside[:, :, None], shortened(lengths, POOL))


class PhonemeModule(nn.Module):
    """Samples (B, T), lengths (B,) -> frames of 40 ms; `head` gives the phones' logits of each."""

    def __init__(self, phones: int) -> None:
        super().__init__()
        self.sincnet = SincNet()
        self.layers = Stack(sincnet.CHANNELS)
        self.head = nn.Linear(STATE, phones) if phones else None

    def forward(self, samples: Tensor, lengths: Tensor) -> Frames:
        frames: Frames = self.layers(Frames(*self.sincnet(samples, lengths)))
        return frames

    def from_the_top(self) -> list[nn.Module]:
        """Its layers with weights, the last one first, without the head."""
        convolutions = [self.sincnet.conv3, self.sincnet.conv2, self.sincnet.sinc]
        return [*reversed(self.layers), *convolutions]


class WordModule(nn.Module):
    """Frames of 40 ms -> frames of 160 ms; `head` gives the words' logits of each."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.layers = Stack(STATE)
        self.head = nn.Linear(STATE, words) if words else None

    def forward(self, frames: Frames) -> Frames:
        found: Frames = self.layers(frames)
        return found

    def from_the_top(self) -> list[nn.Module]:
        """Its layers with weights, the last one first, without the head."""
        return list(reversed(self.layers))


class IntentModule(nn.Module):
    """Frames of 160 ms -> logits (B, classes), the maximum over time of each."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layer = Recurrent(STATE)
        self.head = nn.Linear(STATE, classes)

    def forward(self, frames: Frames) -> Tensor:
        states, lengths = self.layer(frames)
        logits = self.head(states)
        valid = length_mask(lengths, logits.shape[1])[:, :, None]
        found: Tensor = logits.masked_fill(~valid, float("-inf")).amax(1)
        return found


class AcousticModel(nn.Module):
    """The two pretrained modules, one over the other."""

    def __init__(self, phones: int, words: int) -> None:
        super().__init__()
        self.phonemes = PhonemeModule(phones)
        self.words = WordModule(words)

    def forward(self, samples: Tensor, lengths: Tensor) -> tuple[Frames, Frames]:
        """Samples (B, T), lengths (B,) -> frames of 40 ms and of 160 ms."""
        phonemes = self.phonemes(samples, lengths)
        return phonemes, self.words(phonemes)
