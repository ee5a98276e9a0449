"""Cross entropy with label smoothing, as sums: the trainer divides them by counts of its own.

A step may be spread over several batches and machines; sums give the same mean over all its
tokens however it is spread.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

IGNORE = -100  # target of a padded position: no loss


def cross_entropy_sum(logits: Tensor, outputs: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """Sum over tokens of the smoothed cross entropy, each example times its weight.

    logits (B, U, V), outputs (B, U) with IGNORE where padded, weights (B,) -> scalar, float32.
    Smoothing as in Szegedy et al. 2016: the target is mixed with the uniform distribution.
    """
    losses = F.cross_entropy(
        logits.float().flatten(0, 1),
        outputs.flatten(),
        ignore_index=IGNORE,
        label_smoothing=smoothing,
        reduction="none",
    )
    return (losses.view_as(outputs).sum(1) * weights).sum()


def divergence_sum(logits: Tensor, teacher: Tensor, outputs: Tensor, weights: Tensor) -> Tensor:
    """Sum over tokens of the Kullback-Leibler divergence of `logits` from `teacher`.

    logits, teacher (B, U, V), outputs (B, U) with IGNORE where padded, weights (B,) -> scalar,
    float32. No gradient reaches the teacher.
    """
    wanted = teacher.detach().float().log_softmax(-1)
    said = logits.float().log_softmax(-1)
    divergence = F.kl_div(said, wanted, reduction="none", log_target=True).sum(-1)
    return (divergence.masked_fill(outputs == IGNORE, 0.0).sum(1) * weights).sum()


def correct_tokens(logits: Tensor, outputs: Tensor, weights: Tensor) -> Tensor:
    """Number of tokens predicted right under teacher forcing, each times its example's weight."""
    right = (logits.argmax(-1) == outputs) & (outputs != IGNORE)
    return (right.sum(1) * weights).sum()
