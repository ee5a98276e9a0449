"""Prepares a model for inference: rounds and reorders its weights once instead of per product.

Under autocast every product rounds its weights to bf16 again, and on a CPU oneDNN reorders them. A
decoder's products are small: the rounding took as long as they do, the reordering takes a fifth of
their time. The results are the same, but for a decoder in bf16: its embedding is rounded with the
generator, whose weights it has, and logits move by some hundredths.

The new model shares tensors with the old one: train neither while the other is in use.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atat.nn.decoder import TiedEmbedding

# Layers that autocast multiplies in bf16, and the embedding, which holds the generator's weights.
ROUNDED = (nn.Linear, nn.Conv1d, nn.Conv2d, TiedEmbedding)
ROWS = 128  # rough size of later products; oneDNN asks for it

Model = TypeVar("Model", bound=nn.Module)


def for_inference(model: Model, precision: str = "fp32") -> Model:
    """The model with weights rounded and, on a CPU, reordered; the given model stays unchanged.

    Both share weights that need neither. precision: fp32 or bf16; in bf16 the model must still
    run under autocast, and sums and norms stay in fp32.
    """
    shared: dict[int, Any] = {id(t): t for t in (*model.parameters(), *model.buffers())}
    model = copy.deepcopy(model, shared).eval()
    if precision == "bf16":
        for module in model.modules():
            if isinstance(module, ROUNDED):
                _round(module)
    if next(iter(shared.values())).device.type == "cpu" and can_reorder(precision):
        _replace(model)
    return model


def can_reorder(precision: str = "fp32") -> bool:
    """Whether torch has the product with reordered weights (undocumented, for its compiler).

    In bf16, oneDNN has it only for processors that convert to bf16 (AVX-512 and later).
    """
    if not torch.backends.mkldnn.is_available():
        return False
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return precision != "bf16" or torch.ops.mkldnn._is_mkldnn_bf16_supported()


class ReorderedLinear(nn.Module):
    """Replaces an nn.Linear; (..., I) -> (..., O) in the precision of the weights."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """weight (O, I), bias (O,): float32 or bfloat16."""
        super().__init__()
        self.precision = weight.dtype
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), ROWS)
        self._bias = None if bias is None else bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.precision)  # autocast does not know this product
        return torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")


class ReorderedEmbedding(nn.Module):
    """Replaces the decoder's TiedEmbedding."""

    def __init__(self, tied: TiedEmbedding) -> None:
        super().__init__()
        self._table = tied.weight().detach()
        self._generator = ReorderedLinear(self._table, None)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, U) -> (B, U, D)."""
        return F.embedding(tokens, self._table)

    def logits(self, hidden: Tensor) -> Tensor:
        """(B, U, D) -> (B, U, V)."""
        return self._generator(hidden)


def _round(module: nn.Module) -> None:
    for name, weight in list(module.named_parameters(recurse=False)):
        setattr(module, name, nn.Parameter(weight.detach().bfloat16(), requires_grad=False))


def _replace(module: nn.Module) -> None:
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            setattr(module, name, ReorderedLinear(child.weight, child.bias))
        elif isinstance(child, TiedEmbedding):
            setattr(module, name, ReorderedEmbedding(child))
        elif type(child).__module__.split(".")[0] in ("atat", "torch"):
            _replace(child)  # encoders of other packages may access their layers
