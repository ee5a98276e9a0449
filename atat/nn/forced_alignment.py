"""Forced alignment by the CTC head of our own model.

The best path of a text through the head's log probabilities (Graves et al. 2006, section 4.1,
with the units fixed) comes from torchaudio. Such a path has spikes: a unit takes one or a few
frames and blanks fill the rest. A word begins with the first frame of its first unit and ends
half-way between its last unit and the next word, at most `LONGEST_TAIL` after that unit.
Resolution is the encoder's frame, 40 ms in our confs.

Knows nothing of models or files; `atat align --backend ctc` feeds it.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from atat.datadir.ctm import NotAligned, Word
from atat.text.ctc_labels import BLANK, WORD_START, frames_needed

LONGEST_TAIL = 0.16  # s that may pass after a word's last unit before silence begins


def align_ctc(
    log_probs: Tensor,
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


def _unit_spans(log_probs: Tensor, token_ids: Sequence[int]) -> list[tuple[int, int]]:
    """First frame of each unit on the best path and the one after its last, (first, end)."""
    import torch
    from torchaudio.functional import forced_align

    needed = frames_needed(token_ids)
    if len(log_probs) < needed:
        raise NotAligned(f"too few frames: the text needs {needed}, the audio has {len(log_probs)}")
    # On infinities forced_align would read outside its own array.
    if not torch.isfinite(log_probs).all():
        raise NotAligned("the model's log probabilities are not finite")
    targets = torch.tensor([list(token_ids)], device=log_probs.device)
    path, _ = forced_align(log_probs[None].float(), targets, blank=BLANK)
    spans: list[tuple[int, int]] = []
    previous = BLANK
    for frame, unit in enumerate(path[0].tolist()):
        if unit != BLANK and unit != previous:
            spans.append((frame, frame + 1))
        elif unit != BLANK:
            spans[-1] = (spans[-1][0], frame + 1)
        previous = unit
    assert len(spans) == len(token_ids)
    return spans
