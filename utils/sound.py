"""Sound data dirs of tones, in memory and on disk, for `faults.py` to spoil.

    plain   an utterance a recording, with features, words, trees, alignments, lengths
    cut     utterances cut from longer recordings by `segments`

Each word is a tone of its own; the same count makes the same dirs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import numpy as np

from atat.base import parallel
from atat.datadir import feature_arks, features, kaldi_dir, tables
from atat.datadir.ctm import Word, write_ctm
from atat.datadir.kaldi_dir import Utterance
from atat.speech import audio

WORDS = "play stop the song lamp radio red blue tango waltz".split()
MELS = 16
WORD = 0.12  # seconds of each word
CUT = 10  # utterances of a recording that is cut


@dataclass
class Dir:
    """A data dir in memory: tables of lines by utterance, to be spoilt and written."""

    folder: Path
    rows: dict[str, dict[str, str]]  # table -> utterance -> its lines, each with its newline
    written: dict[str, bytes] = field(default_factory=dict)  # whole files, instead of rows

    @classmethod
    def of(cls, folder: Path) -> Dir:
        """The tables of a sound data dir."""
        rows: dict[str, dict[str, str]] = {}
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.name[0] != ".":
                table = rows.setdefault(path.name, {})
                for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
                    key = line.split()[0]
                    table[key] = table.get(key, "") + line
        return cls(folder, rows)

    def copy(self) -> Dir:
        """The same, to be spoilt by itself."""
        return Dir(self.folder, {name: dict(table) for name, table in self.rows.items()})

    def content(self, name: str) -> bytes:
        """The bytes of a table as it stands; half characters stand for bytes that are no UTF-8."""
        text = "".join(self.rows[name].values())
        return self.written.get(name, text.encode("utf-8", errors="surrogateescape"))

    def write(self) -> None:
        """Write all tables."""
        for name in self.rows:
            (self.folder / name).write_bytes(self.content(name))

    def value(self, name: str, key: str) -> str:
        """What stands behind a key that has one line."""
        return self.rows[name][key].rstrip("\n").partition(" ")[2]


def make_features(folder: Path, arks: Path, max_lost: float = 0.01) -> None:
    """As `atat features` does, but in this process: starting another takes a second."""
    settings = feature_arks.Settings(num_mels=MELS)
    with mock.patch.object(parallel, "run", lambda work, jobs, _: map(work, jobs)):
        features.make(folder, arks, settings=settings, max_lost=max_lost)


def plain(root: Path, count: int) -> Dir:
    """ROOT/plain, features included."""
    rng, folder = np.random.default_rng(0), root / "plain"
    utterances, times, phones = [], {}, {}
    for number in range(count):
        speaker = f"s{number % 7}"
        name = f"{speaker}-{number:05d}"
        words, tree = _sentence(rng)
        wav = root / "wavs" / f"{name}.wav"
        audio.save(wav, _sound(words, rng))
        times[name] = [Word(word, WORD * i, WORD) for i, word in enumerate(words)]
        phones[name] = [Word("sil", 0.0, WORD), Word("S", WORD, 3 * WORD)]
        utterances.append(
            Utterance(name, speaker, wav=str(wav), text=" ".join(words), semantics=tree)
        )
    kaldi_dir.write(folder, utterances)
    make_features(folder, root / "lfb")
    write_ctm(folder / "ctm", times)
    write_ctm(folder / "phones.ctm", phones)
    speakers = sorted({one.speaker for one in utterances})
    tables.write_table(folder / "spk2gender", {key: "fm"[i % 2] for i, key in enumerate(speakers)})
    return Dir.of(folder)


def cut(root: Path, count: int) -> Dir:
    """ROOT/cut; no features."""
    rng, folder = np.random.default_rng(1), root / "cut"
    utterances = []
    for first in range(0, count, CUT):
        recording, sounds, end = f"r{first:05d}", [], 0.0
        wav = root / "wavs" / f"{recording}.wav"
        for number in range(first, min(first + CUT, count)):
            words, tree = _sentence(rng)
            sounds.append(_sound(words, rng))
            start, end = end, round(end + len(sounds[-1]) / audio.SAMPLE_RATE, 6)
            utterances.append(
                Utterance(
                    f"{recording}-{number:05d}",
                    recording,
                    wav=str(wav),
                    start=start,
                    end=end,
                    text=" ".join(words),
                    semantics=tree,
                    recording=recording,
                )
            )
        audio.save(wav, np.concatenate(sounds))
    kaldi_dir.write(folder, utterances)
    return Dir.of(folder)


def _sentence(rng: np.random.Generator) -> tuple[list[str], str]:
    verb, colour, thing = rng.choice(WORDS[:2]), rng.choice(WORDS[6:8]), rng.choice(WORDS[3:6])
    tree = f"[IN:{verb.upper()} {verb} the [SL:THING {colour} {thing} ] ]"
    return [str(verb), "the", str(colour), str(thing)], tree


def _sound(words: list[str], rng: np.random.Generator) -> np.ndarray:
    times = np.arange(round(WORD * audio.SAMPLE_RATE))
    tones = [0.3 * np.sin(times * (0.05 + 0.05 * WORDS.index(word))) for word in words]
    sound = np.concatenate(tones)
    return (sound + rng.normal(0, 0.01, len(sound))).astype(np.float32)
