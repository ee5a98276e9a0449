"""Shared by all speech synthesisers: the voice specification, the spoken result, word times.

A voice is named by one string, `engine:name[:key=value...]`, for example
`espeak:en-us+f3:rate=160:pitch=55` or `flite:slt:rate=1.1`. This module knows no engine; the
engines are the modules `synthesis_<engine>`, joined in `synthesis`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from atat.base.errors import InputError
from atat.datadir.ctm import Word

SAMPLE_RATE = 16000


class SynthesisError(InputError):
    """An engine could not speak a text, or its words could not be found in the result."""


@dataclass(frozen=True)
class Voice:
    """A voice specification taken apart."""

    engine: str
    name: str
    options: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        options = (f"{key}={value}" for key, value in self.options.items())
        return ":".join([self.engine, self.name, *options])

    def allow(self, keys: Collection[str]) -> None:
        """Refuse options which the engine does not know."""
        unknown = sorted(set(self.options) - set(keys))
        if unknown:
            known = ", ".join(sorted(keys))
            raise InputError(
                f"voice '{self}': unknown option '{unknown[0]}'; {self.engine} has {known}"
            )

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """The numeric option `key`, checked to lie within low..high."""
        text = self.options.get(key)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            raise InputError(f"voice '{self}': {key}={text} is not a number") from None
        if not low <= value <= high:
            raise InputError(f"voice '{self}': {key}={text} is outside {low:g} to {high:g}")
        return value


def parse_voice(spec: str) -> Voice:
    """Take `engine:name[:key=value...]` apart; InputError when it has another form."""
    engine, *rest = spec.strip().split(":")
    if not engine or not rest or not rest[0]:
        raise InputError(
            f"voice '{spec}': expected engine:name[:key=value...], "
            "for example espeak:en-us+f3:rate=160"
        )
    options: dict[str, str] = {}
    for option in rest[1:]:
        key, equals, value = option.partition("=")
        if not equals or not key or not value:
            raise InputError(f"voice '{spec}': option '{option}' is not of the form key=value")
        if key in options:
            raise InputError(f"voice '{spec}': option '{key}' is given twice")
        options[key] = value
    return Voice(engine, rest[0], options)


@dataclass(frozen=True)
class Speech:
    """A spoken text: samples (T,) float32 in [-1, 1] at SAMPLE_RATE.

    words: the words of the text with their times in seconds, or None if the engine does not
    give them; phones: those of `atat.text.phones`, the same way.
    """

    samples: np.ndarray
    words: list[Word] | None
    phones: list[Word] | None = None


def spell_letters(text: str) -> str:
    """Write consecutive single letters in upper case: "nine a m" -> "nine A M".

    The normaliser spells abbreviations with lower-case letters; engines would read the "a" of
    "a m" as the article. No character moves, so that text positions stay valid.
    """
    words = text.split(" ")
    for i in range(len(words) - 1):
        if all(len(word) == 1 and word.isalpha() for word in words[i : i + 2]):
            # "i" and "a" before a letter name are the pronoun and the article more often than
            # not, except in the two times of the day.
            if words[i] in "ia" and words[i + 1].lower() != "m":
                continue
            words[i], words[i + 1] = words[i].upper(), words[i + 1].upper()
    return " ".join(words)


def words_from_starts(
    text: Sequence[str], starts: Sequence[float], pauses: Sequence[float], end: float
) -> list[Word]:
    """Words that end where the next word or a pause begins, the last one at `end` at most.

    starts, pauses, end: seconds; starts and pauses ascend.
    """
    words = []
    for i, (word, start) in enumerate(zip(text, starts)):
        stop = starts[i + 1] if i + 1 < len(starts) else end
        stop = min((pause for pause in pauses if start < pause < stop), default=stop)
        words.append(Word(word, start, max(stop - start, 0.0)))
    return words


def split_phones(phones: Sequence[str], words: Sequence[Sequence[str]]) -> list[int]:
    """The start of each word in the phones of several words spoken as one.

    words: the phones of each word spoken alone; they differ somewhat in context ("of the" loses
    its vowel), so the two sequences are aligned at the least edit cost. A phone that occurs only in
    context goes to the word before it. Returns one index into `phones` per word; raises
    SynthesisError if there are fewer phones than words.
    """
    if len(phones) < len(words):
        raise SynthesisError(f"{len(phones)} phones cannot be shared by {len(words)} words")
    alone = [phone for word in words for phone in word]
    partner = _align(alone, phones)
    starts, first = [0], len(words[0])
    for number, word in enumerate(words[1:], start=1):
        # The word begins at the first phone of this word or a later one that has a partner.
        start = next((partner[i] for i in range(first, len(alone)) if partner[i] >= 0), len(phones))
        low, high = starts[-1] + 1, len(phones) - (len(words) - number)
        starts.append(min(max(start, low), high))
        first += len(word)
    return starts


def _align(source: Sequence[str], target: Sequence[str]) -> list[int]:
    """For each source phone the index of its partner in the target at least edit cost, or -1."""
    rows, columns = len(source) + 1, len(target) + 1
    cost = np.zeros((rows, columns))
    cost[:, 0] = np.arange(rows)
    cost[0, :] = np.arange(columns)
    for i in range(1, rows):
        for j in range(1, columns):
            change = cost[i - 1, j - 1] + _difference(source[i - 1], target[j - 1])
            cost[i, j] = min(change, cost[i - 1, j] + 1, cost[i, j - 1] + 1)
    partner = [-1] * len(source)
    i, j = rows - 1, columns - 1
    while i and j:
        if cost[i, j] == cost[i - 1, j - 1] + _difference(source[i - 1], target[j - 1]):
            i, j = i - 1, j - 1
            partner[i] = j
        elif cost[i, j] == cost[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
    return partner


def _difference(a: str, b: str) -> float:
    """Cost of replacing one phone by another: cheap among vowels and among consonants."""
    if a == b:
        return 0.0
    vowels = "aeiouAEIOUV@3"
    return 0.7 if (a[0] in vowels) == (b[0] in vowels) else 1.6
