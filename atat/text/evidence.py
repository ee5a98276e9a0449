"""What speaks for an answer being right: numbers that `atat.base.calibration` weighs.

All are of the hypotheses alone, so that every system and every way to run one has them. Needs
neither torch nor numpy.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from atat.text import trees
from atat.text.understanding import Hypothesis, SaidWord

FLOOR = -30.0  # of log probabilities: below it, less is not worse


def evidence(
    nbest: Sequence[Hypothesis],
    heard: Sequence[Hypothesis] | None = None,
    said: Sequence[SaidWord] | None = None,
) -> dict[str, float]:
    """Evidence for the best hypothesis; the more of each, the likelier it is right.

    heard: hypotheses of the transcript of a recording, where there is one; said: its words, or
    those of a text. Names:

        token       mean log probability of a token
        whole       log probability of the whole answer
        ahead       log of its share of the probability of all hypotheses in the list
        agreed      share of the words in slots that were said          (with words)
        used        share of the letters said that are in slots         (with words)
        heard       mean log probability of a token of the transcript   (with a transcript)
    """
    best = nbest[0]
    found = {
        "token": max(best.score, FLOOR),
        "whole": max(best.log_prob, FLOOR),
        "ahead": _ahead(nbest),
    }
    if said is not None:
        found["agreed"], found["used"] = _agreed(best, [one.word for one in said])
    if heard is not None:
        found["heard"] = max(heard[0].score, FLOOR)
    return found


def _ahead(nbest: Sequence[Hypothesis]) -> float:
    """0 where nothing else is likely."""
    best = nbest[0].log_prob
    others = [math.exp(min(one.log_prob - best, 0.0)) for one in nbest[1:]]
    return max(-math.log1p(sum(others)), FLOOR)


def _agreed(best: Hypothesis, said: Sequence[str]) -> tuple[float, float]:
    """Words of slots in the transcript, as a share of the slots' words and of its letters."""
    tree = best.tree
    if tree is None:
        return 0.0, 0.0
    slots = trees.words(trees.drop_words_outside_slots(tree))
    both = Counter(slots) & Counter(said)
    letters = sum(len(word) * count for word, count in both.items())
    agreed = sum(both.values()) / len(slots) if slots else 1.0
    return agreed, letters / max(sum(map(len, said)), 1)
