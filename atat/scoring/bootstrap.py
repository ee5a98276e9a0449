"""Percentile bootstrap of ratios of counts: how much a figure would change on other test data.

If speakers are known, whole speakers are drawn with replacement, since the utterances of one
person resemble each other; else utterances. The spread from training (seeds) is not included.

Knows nothing of metrics or files: it gets arrays of counts and the name of the speaker of each
row. All draws come from a seed, so the same counts give the same interval.

Shapes: K clusters (speakers, or utterances), M figures, R replicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

REPLICATES = 5000
LEVEL = 95.0  # per cent of the replicates that an interval covers
# A measure defined in few clusters (WER if one speaker of twenty has a transcript) is undefined in
# the draws that miss them: a third of the draws with one such cluster, an eighth with two. Draws
# of a single cluster all agree, which is no evidence: below this share no interval is given.
MIN_DEFINED = 0.9
# Decimals of a difference in points: below them are the rounding errors of sums and means, which
# depend on the order of the runs and would make systems unequal that are equal.
DECIMALS = 9
# Numbers drawn at a time: limits the memory to some tens of MB for any K and R.
_CHUNK = 2_000_000


@dataclass(frozen=True)
class Interval:
    """A figure in per cent with its interval; None if there is nothing to measure.

    Only the interval is None if the figure is defined in too few draws (`MIN_DEFINED`).
    """

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Comparison:
    """Difference (first - second, in points of per cent) of two systems on the same data."""

    first: float | None
    second: float | None
    difference: Interval
    p_value: float | None  # two-sided: how often resampling changes the sign; None: undefined
    draws: int = 0  # draws in which both figures are defined; the others are no evidence
    replicates: int = REPLICATES  # draws made


def cluster_sums(
    counts: np.ndarray, speakers: Sequence[str] | None = None
) -> tuple[np.ndarray, list[str]]:
    """Sum the rows of `counts` (utterances, …) by speaker: (K, …) and the K names, sorted.

    If no speaker or only one is known, which gives no interval, each row is a cluster of its own
    and the names are empty.
    """
    names = sorted(set(speakers or ()))
    if len(names) < 2:
        return counts, []
    assert speakers is not None and len(speakers) == len(counts)
    position = {name: index for index, name in enumerate(names)}
    sums = np.zeros((len(names), *counts.shape[1:]), dtype=np.float64)
    np.add.at(sums, [position[speaker] for speaker in speakers], counts)
    return sums, names


def defined(counts: np.ndarray) -> np.ndarray:
    """Of `counts` (utterances, M, 2) the number of utterances (M,) in which a figure is defined."""
    found: np.ndarray = (counts[:, :, 1] > 0).sum(axis=0)
    return found


def intervals(
    counts: np.ndarray,
    *,
    utterances: int | np.ndarray,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> list[Interval]:
    """An interval for each of M ratios, `counts` (K, M, 2); none for a single cluster.

    If a figure is 0 or 100 % in all clusters, resampling would give an interval of width 0; the
    exact binomial bound (Clopper and Pearson 1934) for `utterances`, the number in which a
    figure is defined, (M,) or the same for all, replaces it.
    """
    values = ratios(counts.sum(axis=0))
    known = np.broadcast_to(utterances, values.shape)
    drawn = resample(counts, seed=seed, replicates=replicates)
    found = []
    for figure, value in enumerate(values):
        low, high = _percentiles(drawn[:, figure])
        low, high = _widen(counts[:, figure], int(known[figure]), low, high)
        found.append(Interval(_plain(value), low, high))
    return found


def compare(
    first: np.ndarray, second: np.ndarray, *, seed: int = 0, replicates: int = REPLICATES
) -> Comparison:
    """Paired bootstrap: both systems are scored on the same drawn clusters.

    `first` and `second` (K, S, 2) hold the counts of S runs (seeds) each; S may differ. The
    figure of a system is the mean of its runs' ratios. Draws in which one is undefined are
    ignored.
    """
    assert len(first) == len(second), "the two systems must have the same clusters"
    runs = first.shape[1]
    drawn = resample(np.concatenate([first, second], axis=1), seed=seed, replicates=replicates)
    difference = _rounded(drawn[:, :runs].mean(axis=1) - drawn[:, runs:].mean(axis=1))
    known = difference[~np.isnan(difference)]
    one, two = (_plain(ratios(c.sum(axis=0)).mean()) for c in (first, second))
    if one is None or two is None:
        return Comparison(one, two, Interval(None, None, None), None, known.size, replicates)
    bounds = _percentiles(difference) if len(first) > 1 else (None, None)
    interval = Interval(float(_rounded(one - two)), *bounds)
    p_value = _p_value(known, _differing(first, second)) if interval.low is not None else None
    return Comparison(one, two, interval, p_value, known.size, replicates)


def _rounded(difference: np.ndarray | float) -> np.ndarray:
    """Without rounding errors; 0 has no sign."""
    found: np.ndarray = np.round(difference, DECIMALS) + 0.0
    return found


def _p_value(known: np.ndarray, differing: int) -> float:
    """Two-sided p of the drawn differences; `differing` clusters differ between the systems.

    Resampling alone would treat two clusters that agree by chance as certainty: p is never below
    the probability that as many coins all fall alike, the smallest p of a sign test.
    """
    # One is added to count and trials: a finite number of replicates cannot prove p = 0.
    tail = min(np.sum(known <= 0), np.sum(known >= 0)) + 1
    return min(1.0, max(2 * float(tail) / (known.size + 1), 2.0 ** (1 - differing)))


def _differing(first: np.ndarray, second: np.ndarray) -> int:
    """Number of clusters in which the mean counts of the runs differ, (K, S, 2) and (K, S', 2)."""
    # Close is equal: counts may be fractions (F1), whose sums depend on the order of the runs.
    one, two = first.mean(axis=1), second.mean(axis=1)
    return int((~np.isclose(one, two, rtol=1e-9, atol=1e-9)).any(axis=1).sum())


def mean_interval(
    counts: np.ndarray, *, utterances: int, seed: int = 0, replicates: int = REPLICATES
) -> Interval:
    """Like `intervals`, for the mean ratio of S runs on the same clusters, `counts` (K, S, 2).

    It is undefined if that of one run is. utterances: the number in which the figure is defined.
    """
    drawn = resample(counts, seed=seed, replicates=replicates).mean(axis=1)
    low, high = _percentiles(drawn)
    low, high = _widen(counts.sum(axis=1), utterances, low, high)
    return Interval(_plain(ratios(counts.sum(axis=0)).mean()), low, high)


def resample(counts: np.ndarray, *, seed: int, replicates: int) -> np.ndarray:
    """(R, M) ratios in per cent, each from K clusters drawn with replacement from (K, M, 2)."""
    clusters, figures, _ = counts.shape
    if not clusters:
        return np.full((replicates, figures), np.nan)
    rng = np.random.default_rng(seed)
    flat = counts.reshape(clusters, -1).astype(np.float64)
    drawn = np.empty((replicates, figures))
    step = max(1, _CHUNK // clusters)
    for start in range(0, replicates, step):
        rows = min(step, replicates - start)
        # How often each cluster was drawn, (rows, K): sums are then one matrix product.
        picks = rng.integers(clusters, size=(rows, clusters)) + clusters * np.arange(rows)[:, None]
        times = np.bincount(picks.ravel(), minlength=rows * clusters).reshape(rows, clusters)
        drawn[start : start + rows] = ratios((times @ flat).reshape(rows, figures, 2))
    return drawn


def ratios(counts: np.ndarray) -> np.ndarray:
    """Per cent of (..., 2) numerators and denominators; NaN where the denominator is 0."""
    numerator, denominator = counts[..., 0], counts[..., 1]
    empty = np.full(numerator.shape, np.nan)
    return 100 * np.divide(numerator, denominator, out=empty, where=denominator != 0)


def _percentiles(drawn: np.ndarray) -> tuple[float | None, float | None]:
    known = drawn[~np.isnan(drawn)]
    if known.size < MIN_DEFINED * drawn.size:
        return None, None
    tail = (100 - LEVEL) / 2
    low, high = np.percentile(known, [tail, 100 - tail])
    return float(low), float(high)


def _widen(
    counts: np.ndarray, utterances: int, low: float | None, high: float | None
) -> tuple[float | None, float | None]:
    """The exact binomial bound if all clusters of `counts` (K, 2) are all wrong or all right."""
    numerator, denominator = counts[:, 0], counts[:, 1]
    if low is None:
        return low, high
    bound = 100 * (1 - ((100 - LEVEL) / 200) ** (1 / utterances))
    if not numerator.any():
        return 0.0, bound
    if np.array_equal(numerator, denominator):
        return 100 - bound, 100.0
    # Draws of a single cluster all agree, which is no evidence.
    return (low, high) if len(counts) > 1 else (None, None)


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
