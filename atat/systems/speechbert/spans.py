"""The most probable spans of words, given how probable each word is as the first and the last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Scored(NamedTuple):
    """Words first to last, inclusive, and the log probability of both."""

    first: int
    last: int
    score: float


def best(log_probs: np.ndarray, longest: int, count: int) -> list[Scored]:
    """The `count` best spans of at most `longest` words, best first; of equals the earlier ones.

    log_probs: (W, 2) of each word as the first, and as the last.
    """
    words = len(log_probs)
    first, more = np.meshgrid(np.arange(words), np.arange(longest), indexing="ij")
    inside = first + more < words
    first, last = first[inside], (first + more)[inside]
    scores = log_probs[first, 0] + log_probs[last, 1]
    order = np.lexsort((last, first, -scores))[:count]
    return [Scored(int(first[at]), int(last[at]), float(scores[at])) for at in order]


def together(of_models: Sequence[np.ndarray]) -> np.ndarray:
    """The log probabilities (W, 2) of several models about the same words as one: their mean,
    which has the order of their sum and the scale of each."""
    found: np.ndarray = np.mean(of_models, 0)
    return found
