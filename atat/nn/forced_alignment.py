"""Forced alignment by the CTC head of our own model.

The words lie where the best path of their units through the head's log probabilities has them
(Graves et al. 2006, section 4.1, with the units fixed). Such a path has spikes: a unit takes one or
a few frames and blanks fill the rest. A word begins with the first frame of its first unit and ends
half-way between its last unit and the next word, at most `LONGEST_TAIL` after that unit.
Resolution is the encoder's frame, 40 ms in our confs.

Knows nothing of models or files, and needs numpy alone; `atat align --backend ctc` feeds it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from atat.datadir.ctm import NotAligned, Word
from atat.text.ctc_labels import BLANK, WORD_START, frames_needed

LONGEST_TAIL = 0.16  # s that may pass after a word's last unit before silence begins


def align_ctc(
    log_probs: np.ndarray,
    token_ids: Sequence[int],
    pieces: Sequence[str],
    frame_seconds: float,
    words: Sequence[str],
) -> list[Word]:
    """Words of one utterance with their times.

    log_probs (T, C) with class 0 the blank; token_ids: the words as units, none of them the
    blank; pieces: the name of each class, where a leading `▁` marks a word's first unit;
    frame_seconds: length of a frame. Raises NotAligned for fewer frames than the text needs and
    for log probabilities that are not finite.
    """
    if not words:
        return []
    groups = _word_of_each(token_ids, pieces)
    assert groups[-1] == len(words) - 1, "units and words disagree"
    spans = _unit_spans(log_probs, token_ids)
    starts: dict[int, int] = {}
    lasts: dict[int, int] = {}
    for (first, last), word in zip(spans, groups):
        starts.setdefault(word, first)
        lasts[word] = last
    aligned = []
    for word, text in enumerate(words):
        following = starts.get(word + 1, len(log_probs))
        tail = min(round(LONGEST_TAIL / frame_seconds), (following - lasts[word] + 1) // 2)
        length = lasts[word] + tail - starts[word]
        aligned.append(Word(text, starts[word] * frame_seconds, length * frame_seconds))
    return aligned


def _word_of_each(token_ids: Sequence[int], pieces: Sequence[str]) -> list[int]:
    """Index of the word which each unit belongs to."""
    groups, word = [], -1
    for token in token_ids:
        # A text whose first unit has no mark still begins with its first word.
        if pieces[token].startswith(WORD_START) or word < 0:
            word += 1
        groups.append(word)
    return groups


def _unit_spans(log_probs: np.ndarray, token_ids: Sequence[int]) -> list[tuple[int, int]]:
    """First frame of each unit on the best path and the one after its last, (first, end)."""
    needed = frames_needed(token_ids)
    if len(log_probs) < needed:
        raise NotAligned(f"too few frames: the text needs {needed}, the audio has {len(log_probs)}")
    if not np.isfinite(log_probs).all():
        raise NotAligned("the model's log probabilities are not finite")
    states = best_path(log_probs, token_ids)
    spans: list[tuple[int, int]] = []
    for unit in range(len(token_ids)):
        frames = np.flatnonzero(states == 2 * unit + 1)
        spans.append((int(frames[0]), int(frames[-1]) + 1))
    return spans


def best_path(log_probs: np.ndarray, token_ids: Sequence[int]) -> np.ndarray:
    """The most likely path (Viterbi) of units through log_probs (T, C): states (T,).

    State 2i+1 is unit i, state 2i the blank before it; the last blank has 2U. Needs U units or
    more, and as many frames as `frames_needed` says.
    """
    labels = np.full(2 * len(token_ids) + 1, BLANK)
    labels[1::2] = token_ids
    emitted = log_probs[:, labels].astype(np.float64)  # (T, S)
    # The blank between two units may be skipped unless they are the same.
    skips = np.zeros(len(labels), dtype=bool)
    skips[3::2] = labels[3::2] != labels[1:-2:2]
    scores = np.full(len(labels), -np.inf)
    scores[:2] = emitted[0, :2]
    steps = np.zeros(emitted.shape, dtype=np.int8)  # states back: 0, 1 or 2
    ways = np.full((3, len(labels)), -np.inf)
    for frame in range(1, len(emitted)):
        ways[0] = scores
        ways[1, 1:] = scores[:-1]
        ways[2, 2:] = np.where(skips[2:], scores[:-2], -np.inf)
        steps[frame] = ways.argmax(0)
        scores = ways.max(0) + emitted[frame]
    state = len(labels) - 1 if scores[-1] >= scores[-2] else len(labels) - 2
    path = np.empty(len(emitted), dtype=np.int64)
    for frame in range(len(emitted) - 1, -1, -1):
        path[frame] = state
        state -= int(steps[frame, state])
    return path
