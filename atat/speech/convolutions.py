"""Lengths that a stack of convolutions without padding turns into each other.

Speech encoders begin with such a stack over the waveform: it says how many samples a state takes.
Each convolution is (kernel, stride) in its own inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Stack = Sequence[tuple[int, int]]


def shift(stack: Stack) -> int:
    """Samples from one output to the next."""
    return math.prod(stride for _, stride in stack)


def shortest(stack: Stack) -> int:
    """The fewest samples that give an output."""
    needed = 1
    for kernel, stride in reversed(stack):
        needed = (needed - 1) * stride + kernel
    return needed


def outputs(stack: Stack, samples: int) -> int:
    """Outputs of so many samples."""
    if samples < shortest(stack):
        return 0
    for kernel, stride in stack:
        samples = (samples - kernel) // stride + 1
    return samples
