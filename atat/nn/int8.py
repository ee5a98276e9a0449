"""Linear layers with weights of 8 bits, for inference on a CPU.

Weights are whole numbers -127 to 127 with one scale for each output; activations are quantised to
8 bits at every call by their own range (dynamic quantisation); the products are torch's. Other
layers (convolutions, norms, the embedding, which is also the generator) stay unchanged.

The range is that of the whole batch, so the other utterances of a batch change the scores of an
utterance in about the fourth digit: the only law of padding that 8 bits break.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from atat.base import processor

LARGEST = 127


class Int8Linear(nn.Module):
    """Replaces an nn.Linear; (..., I) -> (..., O) float32."""

    weight: Tensor  # (O, I) int8
    scale: Tensor  # (O,)
    bias: Tensor  # (O,)

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(outputs, inputs, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(outputs))
        self.register_buffer("bias", torch.zeros(outputs))
        self._product: Any = None  # the weights in the order that torch's kernel wants
        self._reduced = False  # activations in 7 bits

    @classmethod
    def of(cls, linear: nn.Linear) -> Int8Linear:
        """The nearest layer with weights of 8 bits."""
        weight = linear.weight.detach().float()
        scale = weight.abs().amax(dim=1).clamp(min=1e-12) / LARGEST
        layer = cls(linear.in_features, linear.out_features)
        layer.weight.copy_((weight / scale[:, None]).round())
        layer.scale.copy_(scale)
        if linear.bias is not None:
            layer.bias.copy_(linear.bias.detach())
        return layer

    def restored(self) -> nn.Linear:
        """A layer of floats with exactly the values that these weights stand for."""
        rows, columns = self.weight.shape
        linear = nn.Linear(columns, rows)
        with torch.no_grad():
            linear.weight.copy_(self.weight.float() * self.scale[:, None])
            linear.bias.copy_(self.bias)
        return linear.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> Tensor:
        if self._product is None:
            zeros = torch.zeros(len(self.scale), dtype=torch.long)
            with warnings.catch_warnings():
                # Torch means to replace these types; what is pinned has no other way to its kernel.
                warnings.filterwarnings("ignore", message="(?s).*quantize.*deprecated")
                weight = torch._make_per_channel_quantized_tensor(
                    self.weight, self.scale.double(), zeros, 0
                )
            self._product = torch.ops.quantized.linear_prepack(weight, self.bias)
            self._reduced = processor.sums_of_int8_overflow()
        return torch.ops.quantized.linear_dynamic(x.float(), self._product, self._reduced)

    def __getstate__(self) -> dict[str, Any]:
        """Without the reordered weights, which cannot be copied; they are made again."""
        return {**self.__dict__, "_product": None}


def restore(module: nn.Module) -> nn.Module:
    """Replace every Int8Linear by a layer of floats with the same weights, in place.

    What is lost is lost; but activations are no longer rounded, and graphs can be made of it.
    """
    for name, child in module.named_children():
        if isinstance(child, Int8Linear):
            setattr(module, name, child.restored())
        else:
            restore(child)
    return module


def convert(module: nn.Module) -> nn.Module:
    """Replace every linear layer by an Int8Linear, in place.

    A module with a true attribute `keeps_float` stays as it is: one that reads the weights of its
    layers itself.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, Int8Linear.of(child))
        elif not getattr(child, "keeps_float", False):
            convert(child)
    return module
