"""Batches under a budget: how many sources of like length fit, padded to the longest of them."""

from __future__ import annotations

from collections.abc import Iterable


def batch_slices(lengths: Iterable[int], budget: int) -> list[slice]:
    """Lengths that grow -> where each batch lies among them, as full as the budget lets it be.

    budget: frames or tokens of a batch, padding included; a longer source is a batch of its own.
    """
    starts: list[int] = []
    end = 0
    for end, length in enumerate(lengths, 1):
        if not starts or (end - starts[-1]) * length > budget:
            starts.append(end - 1)
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], end])]
