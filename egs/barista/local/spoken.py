"""Data dirs of sentences to be spoken, by the speakers of conf/voices.yaml.

Knows nothing of what is said, and makes no audio: that is `atat synthesis`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atat.prepare import voices

VOICES = Path(__file__).resolve().parent.parent / "conf" / "voices.yaml"


@dataclass(frozen=True)
class Sentence:
    """Something to say, normalised, and its meaning."""

    text: str
    semantics: str


def write_spoken(
    folder: Path, sentences: Sequence[Sentence], path: Path, part: str, rng: random.Random
) -> None:
    """Write a data dir for `atat synthesis`: each sentence by a speaker drawn by the shares.

    The speakers are those that the file of voices, `path`, has for a part of the data.
    """
    casts = voices.cast(path, part, rng)
    shares = [cast.share for cast in casts]
    tables: dict[str, dict[str, str]] = {
        name: {} for name in ("text", "semantics", "utt2spk", "spk2voice")
    }
    for number, sentence in enumerate(sentences):
        cast = rng.choices(casts, shares)[0]
        chosen = rng.choice(range(len(cast.voices)))
        speaker = f"{cast.engine}-{part}-{chosen:03d}"
        key = f"{speaker}-{number:06d}"
        tables["text"][key], tables["semantics"][key] = sentence.text, sentence.semantics
        tables["utt2spk"][key], tables["spk2voice"][speaker] = speaker, cast.voices[chosen]
    voices.write_sentences(folder, tables)
    print(f"{folder}: {len(sentences)} sentences to be spoken by {len(tables['spk2voice'])} voices")
