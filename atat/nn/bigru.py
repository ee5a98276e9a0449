"""A bidirectional GRU that learns several times faster on a CPU than torch's over packed sequences.

torch differentiates a packed sequence step by step, and each step adds to a gradient as large as
the whole batch, so that the time grows with the square of the length. Here a step of both
directions is one product, and the gradients of the weights are one product over all steps
(backpropagation through time, Werbos 1990). Results are those of `nn.GRU`, to rounding.

Shapes: D = 2 directions, P frames of a packed batch, H hidden units; gates r, z, n as in nn.GRU.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import PackedSequence


def bigru(gru: nn.GRU, packed: PackedSequence) -> PackedSequence:
    """`gru(packed)[0]` of one bidirectional layer, by the faster way where one is needed."""
    learns = packed.data.requires_grad or any(one.requires_grad for one in gru.parameters())
    if packed.data.is_cuda or not (learns and torch.is_grad_enabled()):
        found: PackedSequence = gru(packed)[0]
        return found
    turned = reversal(packed.batch_sizes)
    of_input, of_state, input_bias, state_bias = (
        torch.stack(pair) for pair in zip(*gru.all_weights)
    )
    inputs = torch.stack([packed.data, packed.data[turned]])
    states = _Steps.apply(
        torch.baddbmm(input_bias[:, None], inputs, of_input.transpose(1, 2)),
        of_state.transpose(1, 2),
        state_bias[:, None],
        packed.batch_sizes.tolist(),
    )
    data = torch.cat([states[0], states[1][turned]], 1)
    return packed._replace(data=data)


def reversal(sizes: Tensor) -> Tensor:
    """For each frame (P,) of a packed batch the one that it changes places with, end for start."""
    steps = torch.arange(len(sizes)).repeat_interleave(sizes)  # the time of each frame
    begins = sizes.cumsum(0) - sizes
    rows = torch.arange(len(steps)) - begins[steps]  # its sequence
    lengths = torch.bincount(rows)
    found: Tensor = begins[lengths[rows] - 1 - steps] + rows
    return found


class _Steps(torch.autograd.Function):
    """Gates of the inputs (D, P, 3H), recurrent weights (D, H, 3H) and biases (D, 1, 3H) -> states
    (D, P, H). sizes: how many sequences each step has; they never become more."""

    @staticmethod
    def forward(
        ctx: Any, gates: Tensor, weights: Tensor, biases: Tensor, sizes: list[int]
    ) -> Tensor:
        hidden = weights.shape[1]
        added = torch.empty_like(gates)  # by the recurrence
        opened = torch.empty_like(gates)  # r, z, n
        states = gates.new_empty(*gates.shape[:2], hidden)
        state = gates.new_zeros(len(gates), sizes[0], hidden)
        for here in _frames(sizes):
            of_input, of_state, gate = gates[:, here], added[:, here], opened[:, here]
            state = state[:, : here.stop - here.start]
            torch.baddbmm(biases, state, weights, out=of_state)
            r, z, n = gate.chunk(3, 2)
            both = gate[:, :, : 2 * hidden]
            torch.add(of_input[:, :, : 2 * hidden], of_state[:, :, : 2 * hidden], out=both)
            both.sigmoid_()
            torch.addcmul(of_input[:, :, 2 * hidden :], r, of_state[:, :, 2 * hidden :], out=n)
            n.tanh_()
            state = torch.lerp(n, state, z, out=states[:, here])
        ctx.save_for_backward(weights, states, added[:, :, 2 * hidden :], opened)
        ctx.sizes = sizes
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        weights, states, added, opened = ctx.saved_tensors
        sizes, hidden = ctx.sizes, weights.shape[1]
        before = _before(states, sizes)
        r, z, n = opened.chunk(3, 2)
        # What a gate's gradient is of that of the state, on the side of the recurrence: r, z, n.
        slopes = torch.empty_like(opened)
        of_r, of_z, of_n = slopes.chunk(3, 2)
        torch.mul(1 - z, 1 - n * n, out=of_n)
        torch.mul(before - n, z * (1 - z), out=of_z)
        torch.mul(of_n * added, r * (1 - r), out=of_r)
        inputs = of_n.clone()  # the slope of n on the side of the input
        of_n.mul_(r)
        back = weights.transpose(1, 2)
        wanted = wanted.clone()
        later = torch.zeros_like(wanted[:, : sizes[0]])  # what the steps after this one want
        for here in reversed(_frames(sizes)):
            size = here.stop - here.start
            state = wanted[:, here].add_(later[:, :size])
            grown = slopes[:, here]
            grown.unflatten(2, (3, hidden)).mul_(state[:, :, None])
            torch.mul(state, z[:, here], out=later[:, :size])
            later[:, :size].baddbmm_(grown, back)
        gates = torch.cat([slopes[:, :, : 2 * hidden], inputs.mul_(wanted)], 2)
        return gates, before.transpose(1, 2) @ slopes, slopes.sum(1, keepdim=True), None


def _frames(sizes: list[int]) -> list[slice]:
    """The frames of each step."""
    ends = list(accumulate(sizes))
    return [slice(end - size, end) for end, size in zip(ends, sizes)]


def _before(states: Tensor, sizes: list[int]) -> Tensor:
    """The state that each frame starts from (D, P, H): 0, then that of the step before."""
    found = torch.zeros_like(states)
    steps = _frames(sizes)
    for last, here in zip(steps, steps[1:]):
        found[:, here] = states[:, last.start : last.start + here.stop - here.start]
    return found
