"""Parts of a corpus for recipes that limit what is spoken."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from atat.base.errors import InputError
from atat.datadir.parts import PARTS

T = TypeVar("T")


def limits(given: Sequence[int]) -> dict[str, int]:
    """The limit of each part, of one number for all or of three. Raises InputError for others."""
    if len(given) not in (1, len(PARTS)) or min(given) < 0:
        found = " ".join(map(str, given))
        raise InputError(f"--limit {found}: expected one number or three, of train, dev and test")
    return dict(zip(PARTS, given if len(given) > 1 else [*given] * len(PARTS)))


def limited(ordered: Sequence[T], limit: int, seed: int) -> list[T]:
    """`limit` of the rows, above 0 and below their number, drawn by the seed.

    Every n-th: what stands together in the order comes as often as its share says, rounded up or
    down.
    """
    start = random.Random(f"limit {seed}").random()
    return [ordered[int((number + start) * len(ordered) / limit)] for number in range(limit)]
