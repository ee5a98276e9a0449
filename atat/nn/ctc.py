"""The optional CTC head on the audio encoder: its layer and its loss.

CTC (Graves et al. 2006) is trained on the words only, never on intents and slots, whose order
the audio does not follow. It teaches the encoder to align early in training, and gives forced
alignments afterwards (atat/nn/forced_alignment.py). Label 0 is the blank (atat/text/ctc_labels.py).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CtcHead(nn.Module):
    """A linear layer over the audio memory."""

    def __init__(self, width: int, units: int) -> None:
        super().__init__()
        self.output = nn.Linear(width, units)

    def log_probs(self, memory: Tensor) -> Tensor:
        """memory (B, T, D) -> (B, T, C) float32."""
        return self.output(memory).float().log_softmax(-1)

    def loss(
        self, memory: Tensor, memory_lengths: Tensor, targets: Tensor, target_lengths: Tensor
    ) -> Tensor:
        """Negative log likelihood of each utterance (B,); 0 if its target is empty or too long.

        targets (B, L) padded with anything; target_lengths (B,), 0 = no words known.
        """
        losses = F.ctc_loss(
            self.log_probs(memory).transpose(0, 1),
            targets,
            memory_lengths,
            target_lengths,
            reduction="none",
            zero_infinity=True,
        )
        return torch.where(target_lengths > 0, losses, torch.zeros_like(losses))
