"""Texts as somebody who listens badly takes them, to train what must read such texts.

A letter or a phone becomes another of a like sound, is lost, or is followed by one more; starts of
words come and go. So a text encoder meets the words heard wrongly that it gets over the bridge from
audio (atat/nn/bridge.py), also in a domain of which there is only text. The groups of sounds are
ours, made by hand; what a model really confuses can take their place (atat/text/confusions.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from atat.text.ctc_labels import WORD_START
from atat.text.pronunciation import PHONES


class Ear(Protocol):
    """Somebody who does not hear all phones or letters rightly."""

    def instead(self, symbol: str, share: float, rng: np.random.Generator) -> list[str]:
        """What is heard of a symbol where in the mean `share` of all are not heard rightly."""
        ...


@dataclass(frozen=True)
class Alphabet:
    """Symbols that are misheard for each other; one that is in no group is misheard for none."""

    start: str  # what stands between words, or before each
    alike: tuple[tuple[str, ...], ...]
    symbols: tuple[str, ...]

    def instead(self, symbol: str, share: float, rng: np.random.Generator) -> list[str]:
        """As an `Ear`: any symbol is misheard equally often."""
        if rng.random() >= share:
            return [symbol]
        what = rng.random()
        if what < LOST:
            return []
        if what < LOST + FOLLOWED:
            return [symbol, self._inserted(rng)]
        return [self._substitute(symbol, rng)]

    def _inserted(self, rng: np.random.Generator) -> str:
        return self.start if rng.random() < BLANK else str(rng.choice(self.symbols))

    def _substitute(self, symbol: str, rng: np.random.Generator) -> str:
        """A symbol of a like sound, or any; what is in no group stays, as starts of words do."""
        near = [other for group in self.alike if symbol in group for other in group]
        if not near:
            return symbol
        chosen = self.symbols if rng.random() < FAR else near
        return str(rng.choice([other for other in chosen if other != symbol]))


FAR = 0.2  # share of the substitutions that are by any symbol
# What happens to a symbol that is misheard; else it is substituted.
LOST, FOLLOWED = 0.25, 0.25
BLANK = 0.15  # share of what follows a symbol that is the start of a word


_LETTERS = Alphabet(
    start=" ",
    alike=tuple(map(tuple, "aeiouy bp dt gckqj vfw szcx mn lr hw".split())),
    symbols=tuple("abcdefghijklmnopqrstuvwxyz"),
)
_PHONES = Alphabet(
    start=WORD_START,
    alike=tuple(
        tuple(group.split())
        for group in (
            "IY IH EY EH, EH AE AH, AH AA AO UH ER, UW UH OW AO, AY OY EY, AW OW AA, ER R, P B, "
            "T D TH DH, K G, CH JH SH ZH T D, S Z SH ZH TH, F V TH, M N NG, L R W, W Y L, HH F"
        ).split(",")
    ),
    symbols=PHONES,
)


def misheard(text: str, share: float, rng: np.random.Generator) -> str:
    """The text with a share of its characters misheard, drawn from 0 to twice `share`."""
    words = " ".join("".join(_misheard(text, _LETTERS, share, rng)).split())
    return words or text


def misheard_phones(
    phones: Sequence[str], share: float, rng: np.random.Generator, ear: Ear | None = None
) -> list[str]:
    """The same of phones of the CMU dictionary, with the sign of its start before each word.

    ear: who hears them; by default one for whom all phones are equally hard.
    """
    return _misheard(phones, ear or _PHONES, share, rng) or list(phones)


def _misheard(
    symbols: Sequence[str], ear: Ear, share: float, rng: np.random.Generator
) -> list[str]:
    chance = rng.uniform(0, 2 * share)
    return [heard for symbol in symbols for heard in ear.instead(symbol, chance, rng)]
