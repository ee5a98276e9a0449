"""Batches under a budget: how many sources of like length fit, with their targets, all padded.

A source counts its frames or tokens. A target counts more than its tokens: attention compares each
with each, so that a target of U tokens counts U + U**2 / 1000, twice its tokens at 1,000 of them.
Measured, a training step's memory grows in that way with the square taking over at 250 tokens
in a tiny decoder (2 layers of 32) and at 2,200 in the paper's (6 layers of 256).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat

SQUARED_PER = 1000  # tokens of a target at which its square counts as much as its tokens


def target_cost(tokens: int) -> int:
    """What a target of so many tokens (its end counted) takes of a budget."""
    return tokens + tokens**2 // SQUARED_PER


def batch_slices(
    lengths: Iterable[int],
    budget: int,
    targets: Iterable[int] | None = None,
    max_targets: int = 0,
) -> list[slice]:
    """Lengths that grow -> where each batch lies among them, as full as the budgets let it be.

    budget: frames or tokens of the sources of a batch, padding included; max_targets: the same for
    what `targets` count, the tokens of each target. What alone is over a budget is a batch alone.
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
