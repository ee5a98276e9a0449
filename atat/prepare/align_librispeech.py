"""Word alignments of LibriSpeech in their condensed form, `<speaker>-<chapter>.alignment.txt`.

A line is `<utt> ",GO,,DO,YOU," "0.490,0.890,1.270,1.380,1.490,2.09"`: the words, an empty one for
silence, and where each ends, in seconds. The last of them is the end of the audio. Not every
utterance of the corpus has a line. Knows nothing of audio.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from atat.base.errors import InputError
from atat.base.files import read_lines
from atat.datadir.ctm import Word, normalize_words

_LINE = re.compile(r'(\S+)\s+"([^"]*)"\s+"([^"]*)"\s*')


def read_librispeech(path: str | Path) -> dict[str, tuple[list[Word], float]]:
    """Utterance id to its normalised words and the end of its audio in seconds.

    Raises InputError with file:line for a line of another form and for times that do not increase.
    """
    alignments: dict[str, tuple[list[Word], float]] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise InputError(f'{path}:{number}: expected <utt> "WORD,,WORD" "0.49,0.89,1.27"')
        utt, labels, ends = match.group(1), match.group(2).split(","), match.group(3).split(",")
        if utt in alignments:
            raise InputError(f"{path}:{number}: a second line for {utt}; remove one of the two")
        alignments[utt] = _words(labels, ends, f"{path}:{number}")
    return alignments


def _words(labels: list[str], ends: list[str], where: str) -> tuple[list[Word], float]:
    if len(labels) != len(ends):
        raise InputError(
            f"{where}: {len(labels)} words (silences included) but {len(ends)} end times"
        )
    words = []
    start = 0.0
    for label, value in zip(labels, ends):
        end = _seconds(value, where)
        if end < start:
            raise InputError(f"{where}: {label or 'silence'!r} ends at {end} s, before it starts")
        if label:
            words.append(Word(label, start, end - start))
        start = end
    return normalize_words(words), start


def _seconds(value: str, where: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise InputError(f"{where}: {value!r} is not a time in seconds")
    return seconds
