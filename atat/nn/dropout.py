"""Dropout with cheap random numbers on a CPU, where they otherwise cost a tenth of a step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Module):
    """Dropout that uses one random byte per value on a CPU.

    So the rate there is the nearest multiple of 1/256, zero below 1/512; kept values are scaled by
    exactly that rate.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        dropped = round(self.rate * 256)
        if not self.training or dropped == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.rate)
        return _Dropped.apply(x, _kept(x.shape, dropped), 256 / (256 - dropped))


def _kept(shape: torch.Size, dropped: int) -> Tensor:
    """Bytes of a shape, 0 for `dropped` of 256 and 1 for the others."""
    # Drawing eight bytes at a time is several times as fast as drawing them one by one.
    words = torch.empty(-(-shape.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
    bytes_ = words.view(torch.uint8)[: shape.numel()].view(shape)
    # Not `bytes_ >= dropped`: torch is slow at converting bool to numbers.
    return bytes_.clamp_(dropped - 1, dropped).sub_(dropped - 1)


class _Dropped(torch.autograd.Function):
    """x times the bytes times the factor; only the bytes are kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor, factor: float) -> Tensor:
        ctx.save_for_backward(kept)
        ctx.factor = factor
        # The factor stays a Python number: in bf16 it would be rounded, and the mean with it.
        return (x * kept.to(x.dtype)).mul_(factor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (kept,) = ctx.saved_tensors
        return (gradient * kept.to(gradient.dtype)).mul_(ctx.factor), None, None
