"""The speakers of synthetic data, drawn from `conf/voices.yaml` of a recipe.

    casts = voices.cast("conf/voices.yaml", "train", random.Random("voices 1"), size="tiny")

The file has a list of casts for each part of the data. A cast is some speakers of one engine:

    train:
      - engine: espeak                  # as `atat synthesis` names it
        voices: [f1, m1, Andrea]        # its voices; `f1:rate=160:pitch=50` has options of its own
        languages: [en-us, en-gb]       # espeak-ng: a speaker's voice is `language+voice`
        speakers: 160                   # how many, or {tiny: 16, full: 48}; without: one a voice
        draw: by_lot                    # voice, language and manner of each speaker; or in_turn
        manner: {rate: [115, 200]}      # options of the voice, drawn between two bounds
        share: 0.5                      # of the utterances, against the sum of all shares

If the casts of a part have shares, all casts with an installed engine speak, each its share. If
they have none, they are alternatives: the first one with an installed engine speaks. `in_turn` (the
default) goes round the lists, `by_lot` draws from them. Equal seeds give equal speakers.

Knows nothing of the text, and makes no audio: `atat synthesis` does.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from atat.base import config
from atat.base.errors import InputError
from atat.datadir import feats_type, kaldi_dir, tables
from atat.datadir.ctm import ALIGNMENT, PHONES
from atat.prepare import synthesis
from atat.prepare.synthesis_voice import parse_voice

# What is said and by whom; of these tables a data dir has no others than it is given.
GIVEN = ("text", "text.raw", "semantics", "utt2spk", "spk2voice")
# Files that synthesis and later steps add; they are removed if sentences or voices change.
DERIVED = ("wav.scp", "utt2dur", "ctm", PHONES, *ALIGNMENT, *feats_type.FILES)


@dataclass(frozen=True)
class CastSettings:
    """A cast as in the file; see the top of this module."""

    engine: str
    voices: tuple[str, ...]
    languages: tuple[str, ...] = ()
    speakers: Any = None  # a number, numbers by size, or None: one a voice
    draw: Literal["in_turn", "by_lot"] = "in_turn"
    manner: dict[str, tuple[float, ...]] = field(default_factory=dict)
    share: float | None = None

    def __post_init__(self) -> None:
        if not self.voices:
            raise InputError("`voices` is empty; name at least one voice")
        counts = self.speakers.values() if isinstance(self.speakers, dict) else [self.speakers]
        if self.speakers is not None and not all(type(n) is int and n > 0 for n in counts):
            raise InputError(
                f"`speakers` is {self.speakers!r}; expected a whole number above 0, "
                "or one for each size: {tiny: 16, full: 48}"
            )
        for name, bounds in self.manner.items():
            if len(bounds) != 2 or bounds[0] > bounds[1]:
                raise InputError(
                    f"`manner.{name}` is {list(bounds)}; expected two bounds, the "
                    "lower one first: [160, 215]"
                )
        if self.share is not None and self.share <= 0:
            raise InputError(f"`share` is {self.share:g}; expected more than 0")

    def count(self, size: str) -> int:
        """The number of speakers."""
        if not isinstance(self.speakers, dict):
            return self.speakers or len(self.voices)
        if size not in self.speakers:
            which = f"no size {size!r}" if size else "a number for each size"
            raise InputError(
                f"`speakers` has {which}; choose one with --size: "
                f"{', '.join(map(str, self.speakers))}"
            )
        return int(self.speakers[size])

    def voice(self, number: int, rng: random.Random) -> str:
        """The voice of a speaker, `engine:name[:option=value ...]`; numbers are from 0."""
        name = self._pick(self.voices, number, rng)
        if self.languages:
            name = f"{self._pick(self.languages, number, rng)}+{name}"
        options = [
            f":{key}={self._between(low, high, rng)}" for key, (low, high) in self.manner.items()
        ]
        return f"{self.engine}:{name}{''.join(options)}"

    def _pick(self, names: tuple[str, ...], number: int, rng: random.Random) -> str:
        return names[number % len(names)] if self.draw == "in_turn" else rng.choice(names)

    def _between(self, low: float, high: float, rng: random.Random) -> str:
        """A value between two bounds: a whole number if both are."""
        if not (low.is_integer() and high.is_integer()):
            return f"{rng.uniform(low, high):.2f}"
        # Drawn in two ways, so that each seed still gives the voices that it gave before.
        if self.draw == "in_turn":
            return str(rng.randint(int(low), int(high)))
        return f"{rng.uniform(low, high):.0f}"


@dataclass(frozen=True)
class Cast:
    """Speakers: a voice for each of them, and their share of the utterances.

    first: the number of the first one among all speakers of the engine in a part of the data.
    """

    engine: str
    voices: tuple[str, ...]
    share: float = 1.0
    first: int = 0


class Speaker(NamedTuple):
    """Who speaks an utterance; no other speaker of the engine has the number."""

    engine: str
    number: int
    voice: str


def draw(casts: Sequence[Cast], rng: random.Random) -> Speaker:
    """A speaker of the casts, which are drawn by their shares."""
    one = rng.choices(casts, [cast.share for cast in casts])[0]
    chosen = rng.randrange(len(one.voices))
    return Speaker(one.engine, one.first + chosen, one.voices[chosen])


def parts(path: str | Path) -> list[str]:
    """The parts of the data that the file has casts for, in its order."""
    return list(config.read_yaml(path))


def cast(path: str | Path, part: str, rng: random.Random, size: str = "") -> list[Cast]:
    """The speakers of a part of the data; one cast, unless the file gives shares.

    `size` chooses among numbers of speakers by size. Raises InputError if the file is of another
    form, or if none of the engines is installed.
    """
    settings = _read_part(path, part)
    together = settings[0].share is not None
    reasons = [_unavailable(path, part, one.engine) for one in settings]
    why = [f"{one.engine}: {reason}" for one, reason in zip(settings, reasons) if reason]
    speaking = [number for number, reason in enumerate(reasons) if reason is None]
    if not speaking:
        raise InputError(f"{path}: no engine can speak `{part}`: {'; '.join(why)}")
    for reason in why if together else ():
        print(f"left out, {reason}")
    made: list[Cast] = []
    for number in speaking if together else speaking[:1]:
        one = settings[number]
        try:
            voices = tuple(one.voice(speaker, rng) for speaker in range(one.count(size)))
            for voice in voices:
                parse_voice(voice)
        except InputError as error:
            raise InputError(f"{path}: in `{part}[{number}]`: {error}") from None
        first = sum(len(cast.voices) for cast in made if cast.engine == one.engine)
        made.append(Cast(one.engine, voices, one.share or 1.0, first))
    return made


def _unavailable(path: str | Path, part: str, engine: str) -> str | None:
    """None if an engine is installed, else why not."""
    try:
        return synthesis.available(engine)
    except InputError as error:
        raise InputError(f"{path}: `{part}`: {error}") from None


def _read_part(path: str | Path, part: str) -> list[CastSettings]:
    """The casts of a part as in the file, at least one."""
    content = config.read_yaml(path)
    if part not in content:
        raise InputError(f"{path}: no casts for `{part}`; there are {', '.join(content) or 'none'}")
    listed = content[part]
    if not isinstance(listed, list) or not listed or not all(isinstance(x, dict) for x in listed):
        raise InputError(
            f"{path}: `{part}`: expected a list of casts, each with the keys engine and voices"
        )
    settings = [
        config.from_dict(one, CastSettings, str(path), f"{part}[{number}].")
        for number, one in enumerate(listed)
    ]
    if len({one.share is None for one in settings}) > 1:
        raise InputError(
            f"{path}: `{part}`: some casts have a `share` and some have none; give "
            "all one (they speak together) or none (the first that can speaks)"
        )
    return settings


def write_sentences(folder: Path, sentences: Mapping[str, Mapping[str, str]]) -> None:
    """Write the tables of a data dir to be spoken; spk2utt is made.

    A folder with the same contents from an earlier run stays, with its audio; a table of `GIVEN`
    that is not among the sentences goes.
    """
    whole: dict[str, tables.Table] = {
        **sentences,
        "spk2utt": kaldi_dir.speakers_to_utterances(sentences["utt2spk"]),
    }
    gone = [name for name in GIVEN if name not in whole and (folder / name).exists()]
    if not all(
        (folder / name).is_file() and tables.read_table(folder / name) == table
        for name, table in whole.items()
    ):
        tables.write_tables(folder, whole, remove=[*gone, *DERIVED])
    elif gone:
        tables.write_tables(folder, {}, remove=gone)
