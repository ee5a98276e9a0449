"""Texts as somebody who listens badly writes them down, to train what must read such texts.

A letter becomes another of a like sound, is lost, or is followed by one more; blanks come and go.
So a text encoder meets the misspelt words that it gets over the bridge from audio
(atat/nn/bridge.py), also in a domain of which there is only text. The groups of sounds are ours,
made by hand.
"""

from __future__ import annotations

import numpy as np

ALIKE = ("aeiouy", "bp", "dt", "gckqj", "vfw", "szcx", "mn", "lr", "hw")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
FAR = 0.2  # share of the substitutions that are by any letter
# What happens to a letter that is misheard; else it is substituted.
LOST, FOLLOWED = 0.25, 0.25
BLANK = 0.15  # share of what follows a letter that is a blank


def misheard(text: str, share: float, rng: np.random.Generator) -> str:
    """The text with a share of its characters misheard, drawn from 0 to twice `share`."""
    chance = rng.uniform(0, 2 * share)
    found: list[str] = []
    for character in text:
        if rng.random() >= chance:
            found.append(character)
            continue
        what = rng.random()
        if what < LOST:
            continue
        if what < LOST + FOLLOWED:
            found.append(character + _inserted(rng))
        else:
            found.append(_substitute(character, rng))
    words = " ".join("".join(found).split())
    return words or text


def _inserted(rng: np.random.Generator) -> str:
    return " " if rng.random() < BLANK else str(rng.choice(list(LETTERS)))


def _substitute(character: str, rng: np.random.Generator) -> str:
    """A letter of a like sound, or any; blanks stay."""
    if character not in LETTERS:
        return character
    near = "".join(group for group in ALIKE if character in group)
    return str(rng.choice(list(LETTERS if not near or rng.random() < FAR else near)))
