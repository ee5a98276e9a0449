"""What a model hears in the place of each phone, counted on recordings with transcripts.

confusions.json    for each phone said, how often which was heard: itself, another, or "" where it
                   was lost; under "" what was heard where nothing was said

`atat confusions` counts; with the key `confusions` of a conf the texts of training are misheard
accordingly (atat/text/mishearing.py), not by groups of like sounds that were made by hand.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.json_file import read_object
from atat.text.ctc_labels import PhoneUnits
from atat.text.word_alignment import align_words

NOTHING = ""  # heard of a phone that was lost, said where one was added
MOST = 0.9  # share of a phone that is misheard at most, however many are to be


def count(said: Sequence[str], heard: Sequence[str]) -> Counter[tuple[str, str]]:
    """How often each phone said was heard as which, by edit distance."""
    places = align_words(said, heard)
    pairs = Counter(
        (NOTHING if place is None else said[place], other) for place, other in zip(places, heard)
    )
    lost = set(range(len(said))).difference(place for place in places if place is not None)
    return pairs + Counter((said[place], NOTHING) for place in lost)


@dataclass(frozen=True)
class Confusions:
    """Counts, and an ear (atat/text/mishearing.py) that hears as they say."""

    counts: Mapping[tuple[str, str], int]  # of pairs of a phone said and a phone heard

    def __post_init__(self) -> None:
        if self.rate == 0:
            raise InputError("no phone was misheard: there are no confusions to learn from")

    @cached_property
    def said(self) -> int:
        """Phones of the transcripts."""
        return sum(number for (phone, _), number in self.counts.items() if phone != NOTHING)

    @cached_property
    def rate(self) -> float:
        """Phones misheard, lost or added, as a share of those said."""
        wrong = sum(number for (phone, other), number in self.counts.items() if phone != other)
        return wrong / max(self.said, 1)

    def instead(self, symbol: str, share: float, rng: np.random.Generator) -> list[str]:
        """What is heard of a symbol where in the mean `share` of all are not heard rightly."""
        heard = self._drawn(symbol, share, rng), self._drawn(NOTHING, share, rng)
        return [phone for phone in heard if phone != NOTHING]

    def _drawn(self, said: str, share: float, rng: np.random.Generator) -> str:
        others, chances = self._wrong.get(said, ((said,), np.ones(1)))
        scale = min(share / self.rate, MOST / chances[-1])
        place = int(np.searchsorted(scale * chances, rng.random(), "right"))
        return others[place] if place < len(others) else said

    @cached_property
    def _wrong(self) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
        """Phone -> what else is heard of it, and the probabilities of these, added up."""
        pairs: dict[str, dict[str, int]] = {}
        totals = Counter({NOTHING: self.said})
        for (phone, other), number in sorted(self.counts.items()):
            if phone != NOTHING:
                totals[phone] += number
            if phone != other:
                pairs.setdefault(phone, {})[other] = number
        return {
            phone: (tuple(others), np.cumsum(list(others.values())) / totals[phone])
            for phone, others in pairs.items()
        }

    def write(self, path: Path, about: Mapping[str, Any]) -> None:
        """Write confusions.json; about: what was heard, and by which model."""
        table: dict[str, dict[str, int]] = {}
        for (phone, other), number in sorted(self.counts.items()):
            table.setdefault(phone, {})[other] = number
        with atomic_write(path) as stream:
            json.dump({**about, "rate": round(self.rate, 4), "heard": table}, stream, indent=1)

    @staticmethod
    def read(path: str | Path) -> Confusions:
        """Raises InputError for what `atat confusions` has not written, and for unknown phones."""
        fix = "make it again with: atat confusions"
        found = read_object(Path(path), fix)
        try:
            pairs = {
                (phone, other): int(number)
                for phone, heard in found["heard"].items()
                for other, number in heard.items()
            }
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InputError(f"{path}: expected what `atat confusions` writes; {fix}") from None
        unknown = {phone for pair in pairs for phone in pair} - {NOTHING, *PhoneUnits().pieces}
        if unknown:
            raise InputError(f"{path}: {min(unknown)!r} is no phone; {fix}")
        try:
            return Confusions(pairs)
        except InputError as error:
            raise InputError(f"{path}: {error}; {fix}") from None
