"""Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1) and its masks.

Shapes: B batch, H heads, T positions, S positions attended to, d width of a head.
Masks: True = attend.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Scores of one attention computed at once on a CPU: half a GiB.
LARGEST_SCORES = 2**27


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """(B,) lengths -> (B, size), True where a position belongs to the sequence."""
    return torch.arange(size, device=lengths.device)[None] < lengths[:, None]


def attention_mask(lengths: Tensor, size: int) -> Tensor | None:
    """(B,) -> (B, 1, 1, size) for attention; None when nothing is padded (a faster kernel).

    On a GPU the mask is always made: checking whether it is needed would wait for the device. So it
    is in an export, whose graph takes no turns.
    """
    exporting = torch.compiler.is_exporting()
    if not exporting and lengths.device.type == "cpu" and int(lengths.min()) == size:
        return None
    return length_mask(lengths, size)[:, None, None, :]


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, causal: bool = False
) -> Tensor:
    """Scaled dot-product attention: (B, H, T, d), (B, H, S, d) twice -> (B, H, T, d).

    mask broadcasts to (B, H, T, S): True = attend, or numbers that are added to the scores.
    On a CPU this uses batched products: torch's own kernel makes one small product for each
    block, up to six times as slow with oneDNN, and its backward pass in bf16 is three times as
    slow (measured at T of 20 to 350).
    """
    if torch.compiler.is_exporting():
        return _attend_in_a_graph(query, key, value, mask)
    batch, heads, length, width = query.shape
    size = key.shape[2]
    if query.device.type != "cpu" or batch * heads * length * size > LARGEST_SCORES:
        if mask is not None and mask.dtype != torch.bool:
            mask = mask.to(query.dtype)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal)
    if causal:
        mask = torch.ones(length, size, dtype=torch.bool).tril()[None, None]
    scores = torch.baddbmm(
        query.new_zeros(1) if mask is None else _bias(mask, query),
        query.reshape(-1, length, width),
        key.reshape(-1, size, width).transpose(1, 2),
        alpha=width**-0.5,
    )
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    return (weights @ value.reshape(-1, size, width)).view(query.shape)


def _attend_in_a_graph(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """`attend` in the operators that onnxruntime joins best; the same for every size."""
    scores = query @ key.transpose(2, 3) * query.shape[3] ** -0.5
    if mask is not None:
        scores = scores + _bias_of(mask, query)
    return scores.softmax(-1) @ value


def _bias(mask: Tensor, query: Tensor) -> Tensor:
    """A mask of four dimensions -> the term added to scores (B x H, T, S); broadcasts to them."""
    bias = _bias_of(mask, query)
    if len(bias) == bias.shape[1] == 1:
        return bias[0]
    return bias.expand(*query.shape[:2], -1, -1).flatten(0, 1)


def _bias_of(mask: Tensor, query: Tensor) -> Tensor:
    """The numbers that a mask adds to scores."""
    if mask.dtype == torch.bool:
        mask = query.new_zeros(1).expand(mask.shape).masked_fill(~mask, float("-inf"))
    return mask.to(query.dtype)
