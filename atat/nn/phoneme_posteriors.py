"""A frozen phoneme module that says how probable each phoneme is, every 40 ms (Kim et al. 2021).

It never trains and has no dropout, whatever the model around it does; its weights keep their
precision where others are stored in 8 bits, and it computes in fp32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from atat.nn.acoustic import PhonemeModule


class PhonemePosteriors(nn.Module):
    """Samples (B, T), lengths (B,) -> posteriors (B, N, phonemes), lengths (B,)."""

    keeps_float = True  # atat.nn.int8

    def __init__(self, phonemes: PhonemeModule) -> None:
        super().__init__()
        assert phonemes.head is not None
        self.phonemes = phonemes
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> PhonemePosteriors:
        """Always in evaluation mode."""
        super().train(False)
        return self

    @torch.no_grad()
    def forward(self, samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        assert self.phonemes.head is not None
        with torch.autocast(samples.device.type, enabled=False):
            states, frames = self.phonemes(samples, lengths)
            return self.phonemes.head(states).softmax(-1), frames
