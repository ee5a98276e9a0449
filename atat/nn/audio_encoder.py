"""The audio encoder: filterbank frames in, a shorter sequence of hidden states out.

A few 2D convolutions, each followed by max-pooling, then a transformer encoder (AT-AT,
"Architecture" and "Experimental Details"; the front end after Mohamed et al. 2019); or, over the
states of a pretrained encoder, a linear layer and the transformer. Knows nothing of targets.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atat.nn.attention import length_mask
from atat.nn.settings import AudioEncoderSettings
from atat.nn.transformer import Encoder


class ConvolutionalFrontEnd(nn.Module):
    """3x3 convolutions with ReLU, strided or followed by max-pooling; time and frequency shrink.

    Padding changes nothing: frames beyond an utterance's end are zero at every convolution,
    exactly as the convolution itself pads, and zero never wins a maximum after ReLU.
    """

    def __init__(self, settings: AudioEncoderSettings, width: int) -> None:
        super().__init__()
        channels = (1, *settings.conv_channels)
        strides = zip(settings.time_stride, settings.freq_stride)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, stride=stride)
            for inputs, outputs, stride in zip(channels, channels[1:], strides)
        )
        self.time_strides = settings.time_stride
        self.pools = tuple(zip(settings.time_pool, settings.freq_pool))
        bins = settings.mel_bins
        for factor in (f for pair in zip(settings.freq_stride, settings.freq_pool) for f in pair):
            bins = -(-bins // factor)
        self.projection = nn.Linear(channels[-1] * bins, width)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """features (B, T, F), lengths (B,) -> (B, T', D), lengths (B,)."""
        # (B, C, T, F) with the channels of a position adjacent in memory: convolution is twice as
        # fast, pooling ten times. With one channel, torch sees this only by the stride.
        x = _zero_beyond(features[:, None], lengths)[:, 0, :, :, None].permute(0, 3, 1, 2)
        for convolution, stride, pool in zip(self.convolutions, self.time_strides, self.pools):
            x = F.relu(convolution(x.contiguous(memory_format=torch.channels_last)))
            lengths = shortened(lengths, stride)
            x = _zero_beyond(x, lengths)
            if pool != (1, 1):
                x = F.max_pool2d(x, pool, ceil_mode=True)
                lengths = shortened(lengths, pool[0])
        return self.projection(x.transpose(1, 2).flatten(2)), lengths


def _zero_beyond(x: Tensor, lengths: Tensor) -> Tensor:
    """(B, C, T, F) with zeros where t is not below the utterance's length."""
    # As numbers: torch is slow at converting bool.
    return x * length_mask(lengths, x.shape[2])[:, None, :, None].to(x.dtype)


def shortened(lengths: Tensor, factor: int) -> Tensor:
    """Lengths after a stride, or a pooling that keeps a last, incomplete window."""
    return torch.div(lengths + factor - 1, factor, rounding_mode="floor")


class StackedFrontEnd(nn.Module):
    """States of a pretrained encoder: each normalised, some side by side, projected to the width.

    Padding changes nothing: states beyond an utterance's end are zero after the normalisation.
    """

    def __init__(self, settings: AudioEncoderSettings, width: int) -> None:
        super().__init__()
        self.stack = settings.stack
        self.norm = nn.LayerNorm(settings.mel_bins)
        self.projection = nn.Linear(self.stack * settings.mel_bins, width)

    def forward(self, states: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """states (B, T, F), lengths (B,) -> (B, ceil(T / stack), D), lengths (B,)."""
        x = self.norm(states)
        x = x * length_mask(lengths, x.shape[1])[:, :, None].to(x.dtype)
        x = F.pad(x, (0, 0, 0, -x.shape[1] % self.stack))
        x = x.unflatten(1, (-1, self.stack)).flatten(2)
        return self.projection(x), shortened(lengths, self.stack)


class AudioEncoder(nn.Module):
    """Front end and transformer."""

    def __init__(self, settings: AudioEncoderSettings, width: int) -> None:
        super().__init__()
        over_states = settings.kind == "pretrained"
        front_end = StackedFrontEnd if over_states else ConvolutionalFrontEnd
        self.front_end = front_end(settings, width)
        self.encoder = Encoder(
            width, settings.layers, settings.heads, settings.feed_forward, settings.dropout
        )

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """features (B, T, F), normalised; lengths (B,) -> memory (B, T', D), lengths (B,)."""
        x, lengths = self.front_end(features, lengths)
        return self.encoder(x, lengths), lengths
