"""Speakers for synthetic speech: voices of every engine at hand, and the data dirs they speak.

Which voices there are, how fast and how high, stands in `conf/voices.yaml`. Knows nothing of
what is said, and makes no audio: that is `atat synthesis`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atat.base.errors import InputError
from atat.base.files import read_lines
from atat.datadir import tables
from atat.prepare import synthesis

VOICES = Path(__file__).resolve().parent.parent / "conf" / "voices.yaml"
RANGES = {"rate": 2, "pitch": 0, "range": 0}  # option of a voice -> its decimals


@dataclass(frozen=True)
class Sentence:
    """Something to say, normalised, and its meaning."""

    text: str
    semantics: str


@dataclass(frozen=True)
class Cast:
    """Speakers of one engine: speaker id -> voice, and their share of the utterances."""

    share: float
    voices: Mapping[str, str]


def cast(path: Path, part: str, generator: random.Random) -> list[Cast]:
    """Speakers of `part` (train or dev) of all engines in the file which are installed here.

    Raises InputError when the file is malformed or no engine is there.
    """
    import yaml

    content: Mapping[str, Any] = yaml.safe_load("\n".join(read_lines(path)))
    casts, reasons = [], []
    for engine, entry in content.items():
        if reason := synthesis.available(engine):
            reasons.append(f"{engine}: {reason}")
            continue
        try:
            number, names = int(entry["speakers"][part]), entry["voices"][part]
            voices = {
                f"{engine}-{part}-{i:03d}": _voice(engine, entry, names, generator)
                for i in range(number)
            }
            share = float(entry["share"])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(
                f"{path}: {engine}: expected share, speakers.{part} and voices.{part} "
                f"({type(error).__name__}: {error})"
            ) from None
        if voices:
            casts.append(Cast(share, voices))
    if not casts:
        raise InputError(f"{path}: nobody can speak {part}: {'; '.join(reasons) or 'no voices'}")
    for reason in reasons:
        print(f"left out, {reason}")
    return casts


def write_spoken(
    folder: Path, sentences: Sequence[Sentence], casts: Sequence[Cast], generator: random.Random
) -> None:
    """Write a data dir for `atat synthesis`: each sentence by a speaker drawn by the shares."""
    utterances, used = [], {}
    for number, sentence in enumerate(sentences):
        chosen = generator.choices(casts, [one.share for one in casts])[0]
        speaker = generator.choice(sorted(chosen.voices))
        used[speaker] = chosen.voices[speaker]
        utterances.append(
            tables.Utterance(
                id=f"{speaker}-{number:06d}",
                speaker=speaker,
                text=sentence.text,
                semantics=sentence.semantics,
            )
        )
    tables.write(folder, utterances)
    tables.write_table(folder / "spk2voice", used)
    print(f"{folder}: {len(utterances)} sentences to be spoken by {len(used)} voices")


def _voice(
    engine: str, entry: Mapping[str, Any], names: Sequence[str], generator: random.Random
) -> str:
    name = generator.choice(names)
    if "languages" in entry:
        name = f"{generator.choice(entry['languages'])}+{name}"
    options = []
    for key, decimals in RANGES.items():
        if key in entry:
            low, high = entry[key]
            value = generator.uniform(low, high)
            # espeak-ng counts words per minute, the others factors.
            text = f"{value:.0f}" if high > 10 else f"{value:.{decimals}f}"
            options.append(f"{key}={text}")
    return ":".join([engine, str(name), *options])
