"""Beam search over one utterance, in numpy; the same law as `atat.nn.beam_search`.

Shapes: K beam, V vocabulary, C candidates, twice the beam.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from atat.text.search_options import Constraint, Hypothesis, SearchOptions

NEVER = np.float32(-np.inf)


class Scorer(Protocol):
    """Gives the next token's log probabilities and keeps its cache in line with the search."""

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """Last tokens (K,) -> log probabilities (K, V)."""

    def reorder(self, hypotheses: np.ndarray) -> None:
        """Row i continues the former row hypotheses[i]; (K,)."""


class Mixed:
    """Several scorers of one utterance: probabilities by the weighted mean of what they say."""

    def __init__(self, scorers: Sequence[Scorer], weights: Sequence[float]) -> None:
        self.scorers, self.weights = scorers, np.array(weights, np.float32)

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """(K,) -> (K, V)."""
        said = [scorer.step(tokens) for scorer in self.scorers]
        mean = np.sum([weight * one for weight, one in zip(self.weights, said)], axis=0)
        mean -= mean.max(axis=1, keepdims=True)
        normalised: np.ndarray = mean - np.log(np.exp(mean).sum(axis=1, keepdims=True))
        return normalised

    def reorder(self, hypotheses: np.ndarray) -> None:
        """See `Scorer`."""
        for scorer in self.scorers:
            scorer.reorder(hypotheses)


class _Grown(NamedTuple):
    """A hypothesis with a token more."""

    source: int  # the hypothesis it continues
    token: int
    score: np.float32  # log probability


def beam_search(
    scorer: Scorer,
    start: int,
    eos: int,
    options: SearchOptions = SearchOptions(),
    *,
    limit: int,
    constraint: Constraint | None = None,
) -> list[Hypothesis]:
    """The best hypotheses, best first, `options.nbest` at most.

    start: first token, here the task's label; limit: most tokens, the end symbol counted. The
    search ends once `beam` hypotheses have ended and none that goes on would be among the `nbest`
    if it ended where it is; at the limit every hypothesis is ended.
    """
    beam, limit = options.beam, min(limit, options.max_length)
    tokens: list[tuple[int, ...]] = [()] * beam
    states: list[Hashable] = [constraint.start() if constraint else None] * beam
    # All hypotheses start the same: only the first one may grow at first.
    scores = np.full(beam, NEVER)
    scores[0] = 0.0
    last = np.full(beam, start, np.int64)
    ended: list[Hypothesis] = []
    for length in range(1, limit + 1):
        log_probs = scorer.step(last)
        if constraint is not None:
            allowed = [constraint.allowed(state, limit - length + 1) for state in states]
            log_probs = np.where(np.stack(allowed), log_probs, NEVER)
        if length == limit:
            log_probs = _only(log_probs, eos)
        grown = _grown(log_probs, scores)
        scale = length**options.length_exponent
        for one in grown[:beam]:
            if one.token == eos and one.score > NEVER:
                log_prob = float(one.score)
                found = tokens[one.source]
                ended.append(Hypothesis(found, log_prob / scale, log_prob, length == limit))
        live = [one for one in grown if one.token != eos and one.score > NEVER][:beam]
        if not live or length == limit:
            break
        best = _ranked(ended, options.nbest)
        if len(ended) >= beam and float(live[0].score) / scale <= best[-1].score:
            break
        tokens = [(*tokens[one.source], one.token) for one in live]
        if constraint is not None:
            states = [constraint.advance(states[one.source], one.token) for one in live]
        # Fewer than the beam: the rest repeat the first and can never grow.
        rest = beam - len(live)
        tokens += tokens[:1] * rest
        states = (states if constraint else [None] * len(live)) + states[:1] * rest
        scores = np.array([one.score for one in live] + [NEVER] * rest, np.float32)
        live += live[:1] * rest
        last = np.array([one.token for one in live], np.int64)
        scorer.reorder(np.array([one.source for one in live], np.int64))
    return _ranked(ended, options.nbest)


def _only(log_probs: np.ndarray, token: int) -> np.ndarray:
    """(K, V) with all tokens but one at -inf."""
    only = np.full_like(log_probs, NEVER)
    only[:, token] = log_probs[:, token]
    return only


def _grown(log_probs: np.ndarray, scores: np.ndarray) -> list[_Grown]:
    """The best C continuations of all hypotheses, best first.

    Twice the beam, because up to K of them may be ends.
    """
    beam, vocabulary = log_probs.shape
    judged = min(2 * beam, vocabulary)
    # First the best of each hypothesis: far cheaper than sorting K x V at once.
    token = np.argpartition(log_probs, vocabulary - judged, axis=1)[:, vocabulary - judged :]
    total = (scores[:, None] + np.take_along_axis(log_probs, token, axis=1)).reshape(-1)
    order = np.argsort(-total, kind="stable")[: 2 * beam]
    flat = token.reshape(-1)
    return [_Grown(int(place) // judged, int(flat[place]), total[place]) for place in order]


def _ranked(hypotheses: list[Hypothesis], nbest: int) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)[:nbest]
