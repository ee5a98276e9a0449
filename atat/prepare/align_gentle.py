"""Word alignments from the JSON of Gentle, the aligner of the paper.

Gentle gives every word of the transcript a `case`: `success` with times, or
`not-found-in-audio` without. A run of words that were not found shares the gap between its found
neighbours (or the edge of the audio) by the words' letters; if the gap is too small for them, or
no word was found, the utterance counts as not aligned. Knows nothing of audio.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atat.base.errors import InputError
from atat.base.json_file import read_json
from atat.datadir.ctm import NotAligned, Word, normalize_words

SHORTEST = 0.04  # s per word: a smaller gap shows that Gentle is wrong


def read_gentle(path: str | Path, duration: float | None = None) -> list[Word]:
    """Normalised words of one JSON file, in order.

    `duration` is the length of the audio in seconds; with it, words at the end that Gentle has not
    found share the time after the last found one. Raises NotAligned if they cannot be placed,
    InputError for a file that is not Gentle's.
    """
    entries = [
        (str(_field(entry, "word", path, number)), _times(entry, path, number))
        for number, entry in enumerate(_entries(Path(path)), start=1)
        # With disfluencies on, Gentle also lists sounds that are not in the transcript.
        if _field(entry, "case", path, number) != "not-found-in-transcript"
    ]
    if entries and all(times is None for _, times in entries):
        raise NotAligned(f"{path}: Gentle has found none of the {len(entries)} words in the audio")
    return normalize_words(_fill_gaps(entries, duration, path))


def _entries(path: Path) -> Sequence[Mapping[str, Any]]:
    content = read_json(path, "align it with Gentle again")
    words = content.get("words") if isinstance(content, dict) else None
    if not isinstance(words, list) or not all(isinstance(word, dict) for word in words):
        raise InputError(f"{path}: no list `words` of objects, which Gentle's JSON has")
    return words


def _field(entry: Mapping[str, Any], key: str, path: str | Path, number: int) -> Any:
    if key not in entry:
        raise InputError(f"{path}: word {number} has no `{key}`, which Gentle gives every word")
    return entry[key]


def _times(entry: Mapping[str, Any], path: str | Path, number: int) -> tuple[float, float] | None:
    if entry["case"] != "success":
        return None
    start, end = (_field(entry, key, path, number) for key in ("start", "end"))
    for value in (start, end):
        if not isinstance(value, (int, float)) or not _is_finite(value):
            raise InputError(f"{path}: word {number} has {value!r:.40} as a time, expected seconds")
    return float(start), float(end)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond any float
        return False


def _fill_gaps(
    entries: Sequence[tuple[str, tuple[float, float] | None]],
    duration: float | None,
    path: str | Path,
) -> list[Word]:
    words: list[Word] = []
    missing: list[str] = []
    for text, times in entries:
        if times is None:
            missing.append(text)
            continue
        words += _share(missing, words[-1].end if words else 0.0, times[0], path)
        words.append(Word(text, times[0], times[1] - times[0]))
        missing = []
    if missing and duration is None:
        raise NotAligned(f"{path}: Gentle has not found the last word {missing[-1]!r} in the audio")
    return words + _share(missing, words[-1].end if words else 0.0, duration or 0.0, path)


def _share(missing: Sequence[str], start: float, end: float, path: str | Path) -> list[Word]:
    """Words one after the other from start to end, each in proportion to its letters."""
    if missing and end - start < SHORTEST * len(missing):
        raise NotAligned(
            f"{path}: Gentle has not found {' '.join(missing)!r} in the audio, and the "
            f"{end - start:.2f} s between its neighbours are too short for it"
        )
    words = []
    per_letter = (end - start) / max(sum(map(len, missing)), 1)
    for text in missing:
        words.append(Word(text, start, per_letter * len(text)))
        start = words[-1].end
    return words
