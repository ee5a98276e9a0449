"""Distances between the word boundaries of two alignments of the same speech.

Knows nothing of files and aligners; `atat align report` prints the figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from atat.datadir.ctm import Word

WITHIN = (0.020, 0.050, 0.100)  # s: limits at which boundary errors are counted


@dataclass(frozen=True)
class Spread:
    """Absolute errors of one kind of boundary, in seconds; `within` maps a limit to a share."""

    mean: float
    median: float
    within: dict[float, float]


@dataclass(frozen=True)
class BoundaryErrors:
    """Distances of word boundaries from the reference; counts of words and utterances."""

    starts: Spread
    ends: Spread
    matched: int
    missing: int
    extra: int
    utterances: int
    utterances_missing: int


def boundary_errors(
    reference: Mapping[str, Sequence[Word]], hypothesis: Mapping[str, Sequence[Word]]
) -> BoundaryErrors:
    """Compare two alignments of the same speech, joined on utterance id and on the words.

    The words of an utterance that the hypothesis lacks count as missing. Utterances that only the
    hypothesis has are ignored. Without any matched word the errors are NaN.
    """
    starts: list[float] = []
    ends: list[float] = []
    missing = extra = utterances_missing = 0
    for utt, reference_words in reference.items():
        words = hypothesis.get(utt, ())
        utterances_missing += utt not in hypothesis
        pairs = match_words(reference_words, words)
        starts += [abs(a.start - b.start) for a, b in pairs]
        ends += [abs(a.end - b.end) for a, b in pairs]
        missing += len(reference_words) - len(pairs)
        extra += len(words) - len(pairs)
    return BoundaryErrors(
        starts=_spread(starts),
        ends=_spread(ends),
        matched=len(starts),
        missing=missing,
        extra=extra,
        utterances=len(reference),
        utterances_missing=utterances_missing,
    )


def match_words(reference: Sequence[Word], hypothesis: Sequence[Word]) -> list[tuple[Word, Word]]:
    """Pair equal words in order: as many as possible, and of those pairings the closest in time.

    The second rule matters if a word repeats and one of its places is missing.
    """
    # best[i][j]: (pairs, minus their distance in seconds) for reference[i:] and hypothesis[j:].
    rows, columns = len(reference), len(hypothesis)
    best = [[(0, 0.0)] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            best[i][j] = max(best[i + 1][j], best[i][j + 1])
            if reference[i].text == hypothesis[j].text:
                best[i][j] = max(
                    best[i][j], _paired(reference[i], hypothesis[j], best[i + 1][j + 1])
                )
    pairs = []
    i = j = 0
    while i < rows and j < columns:
        if best[i][j] == best[i + 1][j]:
            i += 1
        elif best[i][j] == best[i][j + 1]:
            j += 1
        else:
            pairs.append((reference[i], hypothesis[j]))
            i, j = i + 1, j + 1
    return pairs


def _paired(one: Word, other: Word, rest: tuple[int, float]) -> tuple[int, float]:
    distance = abs(one.start - other.start) + abs(one.end - other.end)
    return rest[0] + 1, rest[1] - distance


def _spread(errors: Sequence[float]) -> Spread:
    if not errors:
        return Spread(math.nan, math.nan, dict.fromkeys(WITHIN, math.nan))
    ordered = sorted(errors)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    # The small slack lets an error of exactly 20 ms count as within 20 ms, floats or not.
    within = {limit: sum(e <= limit + 1e-9 for e in errors) / len(errors) for limit in WITHIN}
    return Spread(sum(errors) / len(errors), median, within)
