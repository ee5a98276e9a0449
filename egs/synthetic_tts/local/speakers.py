"""The corpus' speakers: which synthetic voice each has.

Reads conf/voices.yaml. Knows nothing of what they say.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from atat.prepare import voices
from atat.prepare.synthesis_voice import parse_voice

Voices = Mapping[str, str]  # speaker -> voice specification of `atat synthesis`


def make_voices(path: str | Path, size: str, seed: int) -> dict[str, Voices]:
    """The voices of train, dev, test and real, in which no voice is in two of them.

    `real_train` are some of the real ones, with speakers of their own.
    """
    rng = random.Random(f"voices {seed}")
    found: dict[str, Voices] = {}
    for part in voices.parts(path):
        cast = voices.cast(path, part, rng, size)[0]
        found[part] = {f"{part}{number:02d}": voice for number, voice in enumerate(cast.voices)}
    return found


def engines_of(voices: Voices) -> set[str]:
    """The engines that speak."""
    return {parse_voice(voice).engine for voice in voices.values()}


def without_voices_of(voices: Voices, others: Voices) -> list[str]:
    """The speakers whose voice none of the others has; rate and pitch make no other voice."""

    def person(voice: str) -> str:
        return parse_voice(voice).name.rpartition("+")[2]

    taken = {person(voice) for voice in others.values()}
    return sorted(speaker for speaker, voice in voices.items() if person(voice) not in taken)
