"""Cuts long utterances at words, so that each part is a sequence that the model can read.

A sequence has a [CLS], frames, a [SEP] and, unless it is speech alone, word pieces and a [SEP] (Kim
et al. 2021: at most 256).
The parts are as long as they can be. A cut lies in the middle between two words, but no farther
from them than MARGIN: of a long silence most is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from atat.datadir.ctm import Word

MARGIN = 0.25  # s


class Part(NamedTuple):
    """Frames first .. last - 1 of an utterance, and the words from .. to - 1 that they hold."""

    first: int
    last: int
    word_from: int
    word_to: int


def marks(pieces: int) -> int:
    """[CLS] and a [SEP], and another one behind text."""
    return 3 if pieces else 2


def whole(frames: int, words: int) -> Part:
    """All of an utterance."""
    return Part(0, frames, 0, words)


def at_words(
    words: Sequence[Word], pieces: Sequence[int], frames: int, per_second: float, longest: int
) -> list[Part]:
    """The parts of an utterance; words that alone are too long are in none.

    words: with their times, and the number of word pieces of each (zeros: speech alone).
    """
    found: list[Part] = []
    start = 0
    while start < len(words):
        best = None
        for end in range(start + 1, len(words) + 1):
            part = _between(words, start, end, frames, per_second)
            number = sum(pieces[start:end])
            if part.last - part.first + number + marks(number) > longest:
                break
            best = part
        if best is not None and best.last > best.first:
            found.append(best)
        start = best.word_to if best is not None else start + 1
    return found


def even(frames: int, longest: int) -> list[Part]:
    """Parts of speech alone whose words have no times, as long as they can be."""
    size = longest - marks(0)
    return [Part(at, min(at + size, frames), 0, 0) for at in range(0, frames, size)]


def _between(words: Sequence[Word], start: int, end: int, frames: int, per_second: float) -> Part:
    """The part of words start .. end - 1."""
    before = words[start - 1].end if start else words[start].start - 2 * MARGIN
    behind = words[end].start if end < len(words) else words[end - 1].end + 2 * MARGIN
    first = max((before + words[start].start) / 2, words[start].start - MARGIN)
    last = min((behind + words[end - 1].end) / 2, words[end - 1].end + MARGIN)
    first, last = (min(max(round(time * per_second), 0), frames) for time in (first, last))
    return Part(int(first), int(last), start, end)
