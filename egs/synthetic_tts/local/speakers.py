"""The corpus' speakers: how many there are, and which synthetic voice each has.

Reads conf/voices.yaml. Knows nothing of what they say.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from atat.base.errors import InputError
from atat.prepare import synthesis

Voices = Mapping[str, str]  # speaker -> voice specification of `atat synthesis`


def has_flite() -> bool:
    """Whether the "real" voices are flite's; else they are espeak-ng voices kept for this."""
    return synthesis.available("flite") is None


def make_voices(path: str | Path, size: str, seed: int) -> dict[str, Voices]:
    """The voices of train, dev, test and real, in which no voice is in two of them.

    `real_train` are some of the real ones, with speakers of their own.
    """
    content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    rng = random.Random(f"voices {seed}")
    voices: dict[str, Voices] = {}
    try:
        for part, count in content["speakers"][size].items():
            if part.startswith("real") and has_flite():
                voices[part] = _flite_voices(content["flite"], part, count, rng)
            else:
                voices[part] = _espeak_voices(content, part, count, rng)
    except KeyError as error:
        raise InputError(f"{path}: the key {error} is missing") from None
    return voices


def _espeak_voices(content: Mapping[str, Any], part: str, count: int, rng: random.Random) -> Voices:
    languages = content["espeak"][part]["languages"]
    variants = content["espeak"][part]["variants"]
    voices = {}
    for number in range(count):
        name = f"{languages[number % len(languages)]}+{variants[number % len(variants)]}"
        manner = {key: rng.randint(*content[key]) for key in ("rate", "pitch", "range")}
        options = "".join(f":{key}={value}" for key, value in manner.items())
        voices[f"{part}{number:02d}"] = f"espeak:{name}{options}"
    return voices


def _flite_voices(content: Mapping[str, Any], part: str, count: int, rng: random.Random) -> Voices:
    names, rate = content["voices" if part == "real" else part], content["rate"]
    return {
        f"{part}{number:02d}": f"flite:{names[number % len(names)]}:rate={rng.uniform(*rate):.2f}"
        for number in range(count)
    }


def without_voices_of(voices: Voices, others: Voices) -> list[str]:
    """The speakers whose voice none of the others has; rate and pitch make no other voice."""

    def person(voice: str) -> str:
        return voice.split(":")[1].rpartition("+")[2]

    taken = {person(voice) for voice in others.values()}
    return sorted(speaker for speaker, voice in voices.items() if person(voice) not in taken)
