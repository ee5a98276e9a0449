"""The audio encoder: filterbank frames in, a shorter sequence of hidden states out.

A few 2D convolutions, each followed by max-pooling, then a transformer encoder (AT-AT,
"Architecture" and "Experimental Details"; the front end after Mohamed et al. 2019). Knows
nothing of targets.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atat.settings import AudioEncoderSettings
from atat.transformer import Encoder, length_mask


class ConvolutionalFrontEnd(nn.Module):
    """3x3 convolutions with ReLU and max-pooling; time and frequency both shrink.

    Padding changes nothing: what lies beyond an utterance's end is set to zero again before every
    convolution, exactly as the convolution itself pads, and zero never wins a maximum after ReLU.
    """

    def __init__(
        self,
        mel_bins: int,
        channels: tuple[int, ...],
        time_pool: tuple[int, ...],
        freq_pool: tuple[int, ...],
        width: int,
    ) -> None:
        super().__init__()
        inputs = (1, *channels[:-1])
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, kernel_size=3, padding=1) for i, o in zip(inputs, channels)
        )
        self.pools = tuple(zip(time_pool, freq_pool))
        bins = mel_bins
        for pool in freq_pool:
            bins = -(-bins // pool)
        self.projection = nn.Linear(channels[-1] * bins, width)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """features (B, T, F), lengths (B,) -> (B, T', D), lengths (B,)."""
        x = features[:, None]  # (B, C, T, F)
        for convolution, pool in zip(self.convolutions, self.pools):
            x = x * length_mask(lengths, x.shape[2])[:, None, :, None]
            # Neighbouring channels side by side in memory: the convolution is about twice as fast.
            x = F.relu(convolution(x.contiguous(memory_format=torch.channels_last)))
            x = x * length_mask(lengths, x.shape[2])[:, None, :, None]
            x = F.max_pool2d(x, pool, ceil_mode=True)
            lengths = shortened(lengths, pool[0])
        return self.projection(x.transpose(1, 2).flatten(2)), lengths


def shortened(lengths: Tensor, pool: int) -> Tensor:
    """Lengths after pooling that keeps a last, incomplete window."""
    return torch.div(lengths + pool - 1, pool, rounding_mode="floor")


class AudioEncoder(nn.Module):
    """Front end and transformer."""

    def __init__(self, settings: AudioEncoderSettings, width: int) -> None:
        super().__init__()
        self.front_end = ConvolutionalFrontEnd(
            settings.mel_bins,
            settings.conv_channels,
            settings.time_pool,
            settings.freq_pool,
            width,
        )
        self.encoder = Encoder(
            width, settings.layers, settings.heads, settings.feed_forward, settings.dropout
        )

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """features (B, T, F), normalised; lengths (B,) -> memory (B, T', D), lengths (B,)."""
        x, lengths = self.front_end(features, lengths)
        return self.encoder(x, lengths), lengths


class Cmvn(nn.Module):
    """Global mean and variance normalisation; travels with the model's weights."""

    def __init__(self, mel_bins: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(mel_bins))
        self.register_buffer("inverse_std", torch.ones(mel_bins))

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, F) -> (B, T, F)."""
        return (features - self.mean) * self.inverse_std
