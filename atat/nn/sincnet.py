"""SincNet: band-pass filters whose edges are learned, on raw samples, and two convolutions.

Ravanelli & Bengio 2018 (SincNet), with the sizes of Lugosch et al. 2019. Knows nothing of labels.

Shapes: B recordings, T samples at 16 kHz, C channels, N frames. A frame of the filters is 5 ms, one
of the network 10 ms: N = ceil(T / 160). What a frame says depends on its own recording only:
padding is 0 before every layer, as it is beyond the end of a recording that stands alone.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from atat.nn.attention import length_mask
from atat.nn.audio_encoder import shortened

RATE = 16000  # Hz
FILTERS, LENGTH, STRIDE = 80, 401, 80  # LENGTH and STRIDE in samples
FIRST_EDGE, LAST_EDGE = 30.0, RATE / 2 - 100  # Hz
FIRST_MEL = 80.0  # of the filters' spacing; Ravanelli & Bengio's
LOWEST, NARROWEST = 50.0, 50.0  # Hz, added to every low edge and every width
POOL = 2
SLOPE = 0.2  # of the leaky rectifier
CHANNELS, WIDTH = 60, 5  # of the two convolutions
SUBSAMPLING = STRIDE * POOL  # samples in a frame of the network


class SincFilters(nn.Module):
    """Band-pass filters with a learned low edge and width; samples (B, T) -> (B, C, ceil(T / 80)).

    At the start filter i goes from the centre of filter i - 1 to that of filter i + 1, equally
    spaced in mel. Both parameters are in cycles per sample, and what is learned is their distance
    from a floor of 50 Hz, so that no filter can close. No edge is above half of the sample rate; in
    the published code one filter starts with 8,100 Hz and so passes 7,900 to 8,000 Hz twice.
    """

    window: Tensor  # (LENGTH,)

    def __init__(self) -> None:
        super().__init__()
        highest = 2595 * math.log10(1 + RATE / 2 / 700)
        centres = 700 * (10 ** (torch.linspace(FIRST_MEL, highest, FILTERS).double() / 2595) - 1)
        low = torch.cat([centres.new_tensor([FIRST_EDGE]), centres[:-1]])
        high = torch.cat([centres[1:], centres.new_tensor([LAST_EDGE])])
        self.low = nn.Parameter((low / RATE).float())
        self.width = nn.Parameter(((high - low) / RATE).float())
        window = torch.hamming_window(LENGTH, periodic=False)
        self.register_buffer("window", window, persistent=False)

    def edges(self) -> tuple[Tensor, Tensor]:
        """Low and high edge of each filter (C,), in cycles per sample."""
        low = (self.low.abs() + LOWEST / RATE).clamp(max=0.5 - NARROWEST / RATE)
        return low, (low + self.width.abs() + NARROWEST / RATE).clamp(max=0.5)

    def filters(self) -> Tensor:
        """Impulse responses (C, LENGTH): windowed differences of two sincs, 1 at the maximum."""
        time = torch.arange(LENGTH, device=self.low.device) - LENGTH // 2
        low, high = (edge[:, None] for edge in self.edges())
        passed = 2 * high * torch.sinc(2 * high * time) - 2 * low * torch.sinc(2 * low * time)
        return passed / passed.amax(1, keepdim=True) * self.window

    def forward(self, samples: Tensor) -> Tensor:
        return functional.conv1d(
            samples[:, None], self.filters()[:, None], stride=STRIDE, padding=LENGTH // 2
        )


class SincNet(nn.Module):
    """Samples (B, T), lengths (B,) -> states (B, N, CHANNELS), lengths (B,)."""

    def __init__(self) -> None:
        super().__init__()
        self.sinc = SincFilters()
        self.conv2 = nn.Conv1d(FILTERS, CHANNELS, WIDTH, padding=WIDTH // 2)
        self.conv3 = nn.Conv1d(CHANNELS, CHANNELS, WIDTH, padding=WIDTH // 2)

    def forward(self, samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x = self.sinc(samples).abs()  # (B, C, ceil(T / 80))
        # Nothing is below 0 here, so that a padded 0 never is the larger of two.
        x = functional.max_pool1d(
            without_padding(x, shortened(lengths, STRIDE)), POOL, ceil_mode=True
        )
        lengths = shortened(lengths, SUBSAMPLING)
        x = functional.leaky_relu(x, SLOPE)
        for layer in (self.conv2, self.conv3):
            x = without_padding(functional.leaky_relu(layer(x), SLOPE), lengths)
        return x.transpose(1, 2), lengths


def without_padding(x: Tensor, lengths: Tensor) -> Tensor:
    """x (B, C, N) with zeros beyond the lengths (B,)."""
    return x * length_mask(lengths, x.shape[2])[:, None]
