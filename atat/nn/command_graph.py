"""The network of `atat.nn.acoustic` with an intent module as one graph, for runtimes without torch.

It reads one recording, so that nothing is padded: the same numbers as the layers give for a
recording alone. torch's exporter knows no recurrent layer over any number of frames; the layer is
an operator of its own here, which `GRU` of ONNX stands for.

Shapes: T samples, N frames, I inputs, H hidden units of a direction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from atat.nn.acoustic import HIDDEN, POOL, AcousticModel, IntentModule


class CommandGraph(nn.Module):
    """Samples (1, T) -> log probabilities (1, values) of the values of all fields of a command."""

    def __init__(self, acoustic: AcousticModel, intent: IntentModule, sizes: Sequence[int]) -> None:
        """sizes: the number of values of each field."""
        super().__init__()
        self.sincnet = acoustic.phonemes.sincnet
        halved = [*acoustic.phonemes.layers, *acoustic.words.layers]
        self.halved = nn.ModuleList(GruGraph(layer.gru) for layer in halved)
        self.last = GruGraph(intent.layer.gru)
        self.head = intent.head
        self.sizes = list(sizes)

    def forward(self, samples: Tensor) -> Tensor:
        length = samples.new_full((1,), samples.shape[1], dtype=torch.long)
        states, _ = self.sincnet(samples, length)
        for layer in self.halved:
            rows = layer(states).transpose(1, 2)
            states = functional.avg_pool1d(rows, POOL, ceil_mode=True).transpose(1, 2)
        logits = self.head(self.last(states)).amax(1)
        return torch.cat([one.log_softmax(1) for one in logits.split(self.sizes, 1)], 1)


class GruGraph(nn.Module):
    """A bidirectional GRU of one layer, its weights as ONNX lays them out: gates z, r, n."""

    of_input: Tensor  # (2, 3H, I)
    of_state: Tensor  # (2, 3H, H)
    biases: Tensor  # (2, 6H)

    def __init__(self, gru: nn.GRU) -> None:
        super().__init__()
        ways = [[turned(one.detach()) for one in way] for way in gru.all_weights]
        self.register_buffer("of_input", torch.stack([way[0] for way in ways]))
        self.register_buffer("of_state", torch.stack([way[1] for way in ways]))
        self.register_buffer("biases", torch.stack([torch.cat(way[2:]) for way in ways]))

    def forward(self, states: Tensor) -> Tensor:
        """(1, N, I) -> (1, N, 2H)."""
        found: Tensor = _bigru(states, self.of_input, self.of_state, self.biases)
        return found


def turned(gates: Tensor) -> Tensor:
    """Rows of the gates r, z, n as those of z, r, n, and the other way round."""
    first, second, third = gates.chunk(3)
    return torch.cat([second, first, third])


@torch.library.custom_op("atat::bigru", mutates_args=())
def _bigru(states: Tensor, of_input: Tensor, of_state: Tensor, biases: Tensor) -> Tensor:
    weights = []
    for way in zip(of_input, of_state, *biases.chunk(2, 1)):
        weights += [turned(one) for one in way]
    first = states.new_zeros(2, len(states), of_state.shape[2])
    return torch.gru(states, first, weights, True, 1, 0.0, False, True, True)[0]


@_bigru.register_fake
def _shape(states: Tensor, of_input: Tensor, of_state: Tensor, biases: Tensor) -> Tensor:
    return states.new_empty(*states.shape[:2], 2 * of_state.shape[2])


def operators() -> dict[Callable[..., Any], Callable[..., Any]]:
    """What stands for the operators of this module in a graph, for torch's exporter."""
    from onnxscript import opset18 as onnx

    def gru(states: Any, of_input: Any, of_state: Any, biases: Any) -> Any:
        found, _ = onnx.GRU(
            onnx.Transpose(states, perm=[1, 0, 2]),
            of_input,
            of_state,
            biases,
            direction="bidirectional",
            hidden_size=HIDDEN,
            linear_before_reset=1,
        )  # (N, 2, 1, H)
        sizes: Any = onnx.Constant(value_ints=[0, 0, -1])
        return onnx.Reshape(onnx.Transpose(found, perm=[2, 0, 1, 3]), sizes)

    return {torch.ops.atat.bigru.default: gru}
