"""How good confidences are, and fitting them: reliability, acceptance, logistic regression.

A confidence is calibrated if, of the answers with confidence p, a share p is right. N answers,
E pieces of evidence. Knows nothing of models and files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

BINS = 15  # as Guo et al. 2017
PENALTY = 1.0  # of the squared weights of standardised evidence: a normal prior of deviation 1


class Bin(NamedTuple):
    """Answers of similar confidence."""

    low: float
    high: float
    answers: int
    confidence: float  # mean
    right: float  # share


class Point(NamedTuple):
    """What a threshold lets through."""

    threshold: float
    accepted: int
    right: int  # of the accepted
    outside: int  # accepted answers to what is not for the model


def reliability(confidences: np.ndarray, right: np.ndarray, bins: int = BINS) -> list[Bin]:
    """Answers (N,) in bins of equal width; empty bins are left out."""
    edges = np.linspace(0, 1, bins + 1)
    which = np.clip(np.digitize(confidences, edges) - 1, 0, bins - 1)
    return [
        Bin(
            float(edges[number]),
            float(edges[number + 1]),
            int(chosen.sum()),
            float(confidences[chosen].mean()),
            float(right[chosen].mean()),
        )
        for number in range(bins)
        if (chosen := which == number).any()
    ]


def expected_calibration_error(
    confidences: np.ndarray, right: np.ndarray, bins: int = BINS
) -> float | None:
    """Mean distance between confidence and the share that is right (Naeini et al. 2015).

    None without answers.
    """
    if not len(confidences):
        return None
    found = reliability(confidences, right, bins)
    return sum(one.answers * abs(one.confidence - one.right) for one in found) / len(confidences)


def curve(confidences: np.ndarray, right: np.ndarray, outside: np.ndarray) -> list[Point]:
    """What every threshold that makes a difference lets through, from all to nothing.

    outside (N,): answers to what is not for the model, which are never right.
    """
    order = np.argsort(-confidences, kind="stable")
    sorted_ = confidences[order]
    rights = np.cumsum(right[order] & ~outside[order])
    outsiders = np.cumsum(outside[order])
    # A threshold accepts all of the answers that are equally sure.
    last = np.flatnonzero(np.append(sorted_[1:] != sorted_[:-1], True))[: len(order)]
    points = [Point(float(sorted_[i]), int(i) + 1, int(rights[i]), int(outsiders[i])) for i in last]
    return [*reversed(points), Point(1.0 + 1e-9, 0, 0, 0)]


def best_threshold(confidences: np.ndarray, right: np.ndarray) -> float:
    """The threshold at which the share of right answers accepted plus that of others rejected is
    largest: half-way between the two answers that it parts.

    0 if all answers are right, so that there is nothing to learn from.
    """
    good, bad = np.sort(confidences[right]), np.sort(confidences[~right])
    if not len(good) or not len(bad):
        return 0.0
    values = np.unique(confidences)
    middles = np.concatenate([[0.0], (values[1:] + values[:-1]) / 2])
    accepted = 1 - np.searchsorted(good, middles) / len(good)
    rejected = np.searchsorted(bad, middles) / len(bad)
    return float(middles[int(np.argmax(accepted + rejected))])


def fit(
    evidence: np.ndarray, right: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """Logistic regression, evidence (N, E) and right (N,) -> weights (E,) and bias.

    Newton's method on the penalised likelihood. The targets are Platt's (1999): as if one more of
    each kind had been seen, so that a handful of answers that are all right gives no certainty.
    weights (N,): how often each answer counts.
    """
    count = np.ones(len(right)) if weights is None else weights
    mean = (evidence * count[:, None]).sum(0) / count.sum()
    deviation = np.sqrt((count[:, None] * (evidence - mean) ** 2).sum(0) / count.sum())
    deviation[deviation < 1e-9] = 1.0
    rows = np.column_stack([(evidence - mean) / deviation, np.ones(len(right))])
    good, bad = count[right].sum(), count[~right].sum()
    target = np.where(right, (good + 1) / (good + 2), 1 / (bad + 2))
    penalty = np.full(rows.shape[1], PENALTY)
    penalty[-1] = 1e-6
    found = np.zeros(rows.shape[1])
    for _ in range(100):
        said = 1 / (1 + np.exp(-np.clip(rows @ found, -50, 50)))
        gradient = rows.T @ (count * (said - target)) + penalty * found
        spread = count * np.maximum(said * (1 - said), 1e-6)
        step = np.linalg.solve((rows * spread[:, None]).T @ rows + np.diag(penalty), gradient)
        # A long step of Newton's may overshoot where everything is nearly certain.
        step *= min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        found -= step
        if float(np.abs(step).max()) < 1e-9:
            break
    scaled = found[:-1] / deviation
    return scaled, float(found[-1] - (scaled * mean).sum())


def confidences_of(evidence: np.ndarray, weights: Sequence[float], bias: float) -> np.ndarray:
    """(N, E) -> (N,)."""
    return 1 / (1 + np.exp(-np.clip(evidence @ np.asarray(weights) + bias, -700, 700)))
