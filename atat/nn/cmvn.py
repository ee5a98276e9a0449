"""Normalisation of features by a global mean and variance, stored with the model's weights.

The statistics are those of `atat cmvn`. Knows nothing of files.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Cmvn(nn.Module):
    """Global mean and variance normalisation; stored with the model's weights."""

    mean: Tensor  # (F,)
    inverse_std: Tensor  # (F,)

    def __init__(self, mel_bins: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(mel_bins))
        self.register_buffer("inverse_std", torch.ones(mel_bins))

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, F) -> (B, T, F)."""
        return (features - self.mean) * self.inverse_std
