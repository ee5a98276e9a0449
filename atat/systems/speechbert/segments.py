"""The frames of each spoken word: word times in frames, and what is wrong with them.

A word has the frames whose number times the frame shift is nearest to its start up to its end, one
at least. Frames that lie in no word belong to none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from atat.base.errors import InputError
from atat.datadir import ctm
from atat.datadir.ctm import Word

BEYOND = 0.075  # s that a word may end after the last frame: ctm.TOLERANCE and a cut-off window


def segments(words: Sequence[Word], frames: int, shift: float) -> np.ndarray:
    """First frame and the one after the last of each word, (W, 2) int64.

    frames: how many there are; shift: seconds from one to the next. Raises InputError for words
    that end after the frames do.
    """
    if not words:
        return np.zeros((0, 2), dtype=np.int64)
    if frames < 1:
        raise InputError("the recording is shorter than a frame; leave it out")
    late = max(range(len(words)), key=lambda number: words[number].end)
    if words[late].end > frames * shift + max(BEYOND, 2 * shift):
        raise InputError(
            f"word {late + 1} ({words[late].text!r}) ends at {words[late].end:.2f} s, but its "
            f"features end at {frames * shift:.2f} s: the audio is shorter than its alignment; "
            "make the times again (atat align)"
        )
    times = np.array([[word.start, word.end] for word in words])
    found = np.rint(times / shift).astype(np.int64)
    first = np.clip(found[:, 0], 0, frames - 1)
    return np.stack([first, np.clip(found[:, 1], first + 1, frames)], 1)


def fault(words: Sequence[Word] | None, text: str) -> str:
    """Why the times of an utterance cannot be used; empty: they can."""
    if words is None:
        return "no line in ctm; make it with: atat align"
    findings = ctm.check(words, text, None)
    return findings[0] if findings else ""


def cut(features: np.ndarray, of_words: np.ndarray) -> np.ndarray:
    """The frames (N, D) of all words one after the other, of features (T, D)."""
    return np.concatenate([features[first:last] for first, last in of_words])


def sizes(of_words: np.ndarray) -> np.ndarray:
    """How many frames each word has (W,)."""
    found: np.ndarray = of_words[:, 1] - of_words[:, 0]
    return found
