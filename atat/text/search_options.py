"""How outputs are searched for, and what is found: what the searches with torch and without share.

The searches are `atat.nn.beam_search`, of a batch, and `atat.runtime.search`, of one utterance; the
constraints are in `atat.text.constraint`.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, fields
from typing import Any, Literal, Protocol

import numpy as np

from atat.base.errors import InputError
from atat.base.limits import at_least, confidence

SMALLEST_TREE = 3  # tokens: an intent, its bracket, the end


@dataclass(frozen=True)
class SearchOptions:
    """Options of the search; InputError for those with which nothing, or no tree, is found."""

    beam: int = 4
    max_length: int = 200  # tokens at most, the end symbol counted
    # An output may have this many more tokens than its source suggests, for the tags of a long
    # tree over a short sentence.
    extra_length: int = 30
    length_exponent: float = 1.0  # a hypothesis' score is log probability / length ** this
    nbest: int = 1
    ctc_weight: float = 0.0  # of the CTC head's opinion; the decoder has the rest
    # How much the decoder listens to recordings through the text encoder: 1 only so, 0 not at all;
    # between, it reads both memories, and their log probabilities have these weights.
    bridge: float = 0.0

    def __post_init__(self) -> None:
        at_least(1, beam=self.beam, nbest=self.nbest, max_length=self.max_length)
        at_least(SMALLEST_TREE, extra_length=self.extra_length)

    def check_trees(self) -> None:
        """Raise InputError if no tree is short enough."""
        if self.max_length < SMALLEST_TREE:
            raise InputError(
                f"max_length is {self.max_length}; expected at least {SMALLEST_TREE}: the smallest "
                "tree has 2 tokens and an end"
            )


# The options that change what is found, and what each is where nobody gives it; `nbest` says only
# how much of it is kept.
USUAL: dict[str, Any] = {
    **{field.name: field.default for field in fields(SearchOptions) if field.name != "nbest"},
    "well_formed": False,
    "any_pair": False,
    "values": None,
}


def check_use(threshold: float | None, nbest: int | None, threads: int) -> None:
    """Raise InputError for what a Recognizer cannot be asked: with torch and without, the same."""
    confidence(threshold=threshold)
    at_least(1, nbest=1 if nbest is None else nbest, threads=threads)


@dataclass(frozen=True)
class Hypothesis:
    """A finished output."""

    tokens: tuple[int, ...]  # without start and end symbol
    score: float  # normalised by length; hypotheses are ranked by it
    log_prob: float  # of all its tokens and the end symbol; with a guide, the weighted sum
    at_limit: bool = False  # it ended no earlier than at the length limit


class Constraint(Protocol):
    """Says which tokens may follow a prefix; a state of its own type stands for the prefix."""

    def start(self) -> Hashable:
        """The state before the first token."""

    def allowed(self, state: Any, remaining: int) -> np.ndarray:
        """(V,) bool; `remaining` tokens may still come, the end symbol counted."""

    def advance(self, state: Any, token: int) -> Hashable:
        """The state after one more token."""


# Tokens that an output may have for each state of its audio or token of its text, `extra_length`
# and the end not counted: a text may be shorter than its tree.
TOKENS_FOR = {"audio": 1, "text": 4}


def length_limit(source: Literal["audio", "text"], size: int, options: SearchOptions) -> int:
    """Most tokens of the output for a memory of so many states, as far as the source says it."""
    return TOKENS_FOR[source] * size + options.extra_length
