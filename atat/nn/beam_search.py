"""Beam search, batched over utterances. Knows only token ids.

A scorer gives the next token's logits of every hypothesis, an optional constraint says which
tokens may follow, and an optional guide has an opinion of its own on the likely ones. Finished
utterances leave the batch. With beam 1 it is greedy search.

Shapes: B utterances, K beam, N = B x K hypotheses, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from atat.text.search_options import Constraint, Hypothesis, SearchOptions

NEVER = float("-inf")
# Dropping finished utterances copies the caches: it pays once this share of the batch is done.
DROP_SHARE = 0.25


class Scorer(Protocol):
    """Gives the next token's logits and keeps its own caches in line with the search."""

    def step(self, tokens: Tensor) -> Tensor:
        """Last tokens (N,) -> logits (N, V)."""

    def reorder(self, hypotheses: Tensor) -> None:
        """Row i continues the former row hypotheses[i]; (N,)."""

    def keep(self, utterances: Tensor) -> None:
        """Drop all utterances but these; (B',)."""


class Guide(Protocol):
    """Judges hypotheses besides the scorer, in log probabilities with a weight of their own."""

    weight: float  # of the guide; the scorer has 1 - weight
    width: int  # the scorer's best continuations of a hypothesis that the guide judges

    def gains(self, tokens: Tensor) -> Tensor:
        """Continuations (N, C) -> how much the log probability of each row grows by it (N, C)."""

    def advance(self, hypotheses: Tensor, tokens: Tensor) -> None:
        """Row i continues the former row hypotheses[i] with tokens[i]; each (N,)."""

    def keep(self, utterances: Tensor) -> None:
        """Drop all utterances but these; (B',)."""


@dataclass
class _Beams:
    """The state of a search over the utterances still in the batch."""

    utterances: list[int]  # remaining rows of the caller's batch
    tokens: Tensor  # (B, K, t): so far, start symbol first
    scores: Tensor  # (B, K): log probability so far
    limits: list[int]  # per utterance: tokens at most
    done: list[bool]  # per utterance: its search has ended
    states: list[list[Hashable]] = field(default_factory=list)  # (B, K), with a constraint


@torch.inference_mode()
def beam_search(
    scorer: Scorer,
    start: Tensor,
    eos: int,
    options: SearchOptions = SearchOptions(),
    *,
    limits: Sequence[int] | None = None,
    constraint: Constraint | None = None,
    guide: Guide | None = None,
) -> list[list[Hypothesis]]:
    """The best hypotheses of each utterance, best first, `options.nbest` at most.

    start (B,): first token of each utterance, here its task's label; limits: most tokens of each
    utterance, the end symbol counted (default: options.max_length for all). A search ends for an
    utterance once `beam` hypotheses have ended and none that goes on would be among the `nbest` if
    it ended where it is: where a constraint leaves poor ways only, several of them may end before
    the good one does. At its limit every hypothesis is ended.
    """
    batch, beam = len(start), options.beam
    limits = [min(limit, options.max_length) for limit in limits or [options.max_length] * batch]
    beams = _Beams(
        utterances=list(range(batch)),
        tokens=start[:, None, None].expand(batch, beam, 1),
        scores=torch.full((batch, beam), NEVER, device=start.device),
        limits=limits,
        done=[False] * batch,
    )
    # All hypotheses of an utterance start the same: only the first one may grow at first.
    beams.scores[:, 0] = 0.0
    if constraint is not None:
        beams.states = [[constraint.start()] * beam for _ in range(batch)]
    finished: list[list[Hypothesis]] = [[] for _ in range(batch)]
    for length in range(1, max(limits) + 1):
        logits = scorer.step(beams.tokens[:, :, -1].reshape(-1))
        log_probs = _masked(logits.float().log_softmax(-1), beams, eos, length, constraint)
        source, token, scores = _candidates(log_probs, beams.scores, guide)
        rows = _select(beams, finished, source, token, scores, eos, length, options, constraint)
        if rows is None:
            break
        scorer.reorder(rows)
        if guide is not None:
            guide.advance(rows, beams.tokens[:, :, -1].reshape(-1))
        _drop_finished(scorer, guide, beams)
    return [_ranked(hypotheses, options.nbest) for hypotheses in finished]


def _masked(
    log_probs: Tensor, beams: _Beams, eos: int, length: int, constraint: Constraint | None
) -> Tensor:
    """(N, V) with forbidden tokens at -inf; at the limit only the end is allowed."""
    beam = beams.tokens.shape[1]
    if constraint is not None:
        allowed = [
            constraint.allowed(state, limit - length + 1)
            for states, limit in zip(beams.states, beams.limits)
            for state in states
        ]
        forbidden = ~torch.from_numpy(np.stack(allowed))
        log_probs = log_probs.masked_fill(forbidden.to(log_probs.device), NEVER)
    at_limit = [limit <= length for limit in beams.limits]
    if any(at_limit):
        rows = torch.tensor(at_limit, device=log_probs.device).repeat_interleave(beam)
        only_end = torch.full_like(log_probs, NEVER)
        only_end[:, eos] = log_probs[:, eos]
        log_probs = torch.where(rows[:, None], only_end, log_probs)
    return log_probs


def _candidates(
    log_probs: Tensor, scores: Tensor, guide: Guide | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The best 2K continuations of each utterance: the hypothesis, the token, the score.

    Twice the beam, because up to K of them may be ends. Each (B, 2K), best first.
    """
    batch, beam = scores.shape
    # First the best of each hypothesis: far cheaper than sorting K x V at once.
    judged = min(max(2 * beam, guide.width if guide else 0), log_probs.shape[-1])
    best, token = log_probs.topk(judged, dim=-1)
    if guide is not None:
        best = (1 - guide.weight) * best + guide.weight * guide.gains(token)
    total = (scores[:, :, None] + best.view(batch, beam, judged)).view(batch, -1)
    top, place = total.topk(min(2 * beam, beam * judged), dim=-1)
    return place // judged, token.view(batch, -1).gather(1, place), top


def _select(
    beams: _Beams,
    finished: list[list[Hypothesis]],
    source: Tensor,
    token: Tensor,
    scores: Tensor,
    eos: int,
    length: int,
    options: SearchOptions,
    constraint: Constraint | None,
) -> Tensor | None:
    """Move ends to `finished` and keep the best K others; their rows, or None when done."""
    is_end = token == eos
    _collect(beams, finished, source, scores, is_end, length, options)
    # Stable sort: candidates that go on keep their order, ends move behind them.
    order = is_end.int().sort(dim=1, stable=True).indices[:, : options.beam]
    chosen_source, chosen = source.gather(1, order), token.gather(1, order)
    ended = is_end.gather(1, order)
    beams.scores = scores.gather(1, order).masked_fill(ended, NEVER)
    beams.done = _done(beams, finished, length, options)
    if all(beams.done):
        return None
    index = chosen_source[:, :, None].expand(-1, -1, beams.tokens.shape[2])
    beams.tokens = torch.cat([beams.tokens.gather(1, index), chosen[:, :, None]], dim=2)
    if constraint is not None:
        alive = (beams.scores > NEVER).tolist()
        beams.states = [
            [constraint.advance(states[s], t) if lives else states[s] for s, t, lives in zip(*row)]
            for states, *row in zip(beams.states, chosen_source.tolist(), chosen.tolist(), alive)
        ]
    first = torch.arange(len(beams.utterances), device=source.device)[:, None] * options.beam
    return (first + chosen_source).view(-1)


def _collect(
    beams: _Beams,
    finished: list[list[Hypothesis]],
    source: Tensor,
    scores: Tensor,
    is_end: Tensor,
    length: int,
    options: SearchOptions,
) -> None:
    """Ends among the K best candidates of a search that goes on become finished hypotheses."""
    ends = is_end[:, : options.beam] & (scores[:, : options.beam] > NEVER)
    for row, rank in ends.nonzero().tolist():
        if beams.done[row]:
            continue
        log_prob = float(scores[row, rank])
        tokens = tuple(beams.tokens[row, source[row, rank], 1:].tolist())
        score = log_prob / length**options.length_exponent
        finished[beams.utterances[row]].append(
            Hypothesis(tokens, score, log_prob, length >= beams.limits[row])
        )


def _done(
    beams: _Beams, finished: list[list[Hypothesis]], length: int, options: SearchOptions
) -> list[bool]:
    """Which searches have ended; an ended one stays so until it leaves the batch."""
    scale = length**options.length_exponent
    done = []
    for row, best in enumerate(beams.scores.amax(1).tolist()):
        ended = finished[beams.utterances[row]]
        is_done = beams.done[row] or length >= beams.limits[row]
        if not is_done and len(ended) >= options.beam:
            is_done = best / scale <= _ranked(ended, options.nbest)[-1].score
        done.append(is_done)
    return done


def _drop_finished(scorer: Scorer, guide: Guide | None, beams: _Beams) -> None:
    """Let finished utterances leave the batch, once it is worth copying the rest."""
    left = [row for row, is_done in enumerate(beams.done) if not is_done]
    if len(beams.utterances) - len(left) < max(1, DROP_SHARE * len(beams.utterances)):
        return
    rows = torch.tensor(left, device=beams.tokens.device)
    scorer.keep(rows)
    if guide is not None:
        guide.keep(rows)
    beams.tokens, beams.scores = beams.tokens[rows], beams.scores[rows]
    beams.utterances = [beams.utterances[row] for row in left]
    beams.limits = [beams.limits[row] for row in left]
    beams.done = [False] * len(left)
    if beams.states:
        beams.states = [beams.states[row] for row in left]


def _ranked(hypotheses: list[Hypothesis], nbest: int) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)[:nbest]
