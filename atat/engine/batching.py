"""Batches under a budget: how many sources of similar length fit, with their targets, all padded.

A source counts its frames or tokens. A target counts more than its tokens: attention compares each
token with each, so a target of U tokens counts U + U**2 / 1000, twice its tokens at U = 1,000.
The measured memory of a training step grows in the same way; the square dominates from 250 tokens
on in a tiny decoder (2 layers of 32) and from 2,200 in the paper's (6 layers of 256).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat

SQUARED_PER = 1000  # tokens of a target at which its square counts as much as its tokens


def target_cost(tokens: int) -> int:
    """How much of a budget a target with this many tokens (its end counted) uses."""
    return tokens + tokens**2 // SQUARED_PER


def batch_slices(
    lengths: Iterable[int],
    budget: int,
    targets: Iterable[int] | None = None,
    max_targets: int = 0,
) -> list[slice]:
    """Ascending lengths -> the slice of each batch, as full as the budgets allow.

    budget: frames or tokens of the sources of a batch, padding included; max_targets: the same for
    `targets`, the tokens of each target. An item that alone exceeds a budget is a batch of its own.
    """
    starts: list[int] = []
    end = longest = 0
    pairs = zip(lengths, repeat(0) if targets is None else targets)
    for end, (length, target) in enumerate(pairs, 1):
        longest = max(longest, target)
        count = end - starts[-1] if starts else 0
        if not starts or count * length > budget or count * target_cost(longest) > max_targets:
            starts.append(end - 1)
            longest = target
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], end])]
