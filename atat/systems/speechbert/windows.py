"""Windows over a paragraph that is longer than what BERT reads at once (Devlin et al. 2019, as in
its code for SQuAD: of fixed length, a stride apart), and one score of each word out of them all.

A word lies in several windows. Of these the one counts in which it has the most context: words on
both sides, the fewer of the two decide; then a longer window; then an earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from atat.base.errors import InputError

MARKS = 3  # [CLS] question [SEP] words [SEP]


class Window(NamedTuple):
    """Words of a paragraph."""

    first: int
    end: int  # after the last


def windows(words: int, question: int, longest: int, stride: int) -> list[Window]:
    """Windows that together hold every word of a paragraph.

    words: of the paragraph; question: words of the question; longest: words and marks of a
    sequence; stride: words from one window to the next, 0: there may be one only. Raises
    InputError for a question that leaves too little room, and for a paragraph that does not fit.
    """
    room = longest - MARKS - question
    if room < max(min(stride, words), 1):
        raise InputError(
            f"the question has {question} words and leaves room for {max(room, 0)} of the "
            f"paragraph's {words} (max_length {longest}, stride {stride}): "
            f"it is too long; shorten it, {'lower stride, ' if room > 0 else ''}or raise max_length"
        )
    if words <= room:
        return [Window(0, words)]
    if not stride:
        raise InputError(
            f"the paragraph has {words} words, and beside the question {room} fit into max_length "
            f"{longest}; raise it, or let windows move over the paragraph: stride 128"
        )
    starts = [0]
    while starts[-1] + room < words:
        starts.append(starts[-1] + stride)
    return [Window(start, min(start + room, words)) for start in starts]


def chosen(found: Sequence[Window]) -> np.ndarray:
    """The number (W,) of the window that counts for each word; see the module."""
    words = np.arange(found[-1].end)
    context = [
        np.where(
            (words >= first) & (words < end),
            np.minimum(words - first, end - 1 - words) + 0.01 * (end - first),
            -1.0,
        )
        for first, end in found
    ]
    best: np.ndarray = np.argmax(context, 0)
    return best


def merged(found: Sequence[Window], values: Sequence[np.ndarray]) -> np.ndarray:
    """Values of each window's words (end - first, K) -> one row for each word (W, K)."""
    of = chosen(found)
    rows = [values[window][word - found[window].first] for word, window in enumerate(of)]
    return np.stack(rows)
