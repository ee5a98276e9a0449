"""A made-up miniature of Fluent Speech Commands, in the layout of the real one.

    python local/make_mini.py --out data_mini/corpus

Ten synthetic speakers say a dozen commands each; all three splits are written (original, unseen,
challenge). What is odd in the published files is odd here, too: an index column (two in the
further splits), commas and curly apostrophes in sentences, labels with capitals. Planted faults: a
recording that is missing, one that is cut off. It shows that the recipe runs; nothing is learned.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fluent import COLUMNS, ORIGINAL, RESPLIT

from atat.base import cli
from atat.base.files import atomic_write
from atat.datadir import licence
from atat.prepare.miniature_speech import Line, speak

SPEAKERS, COMMANDS_EACH = 10, 12
FIRST_DEV, FIRST_TEST = 6, 8  # speakers of the original split: train, dev, test
COMMANDS = (  # sentence, action, object, location
    ("Change language", "change language", "none", "none"),
    ("OK now switch the main language to Chinese", "change language", "Chinese", "none"),
    ("Set my phone's language to Korean", "change language", "Korean", "none"),
    ("Switch the language to English", "change language", "English", "none"),
    ("Use German", "change language", "German", "none"),
    ("Turn on the lights", "activate", "lights", "none"),
    ("Turn the lights on in the kitchen", "activate", "lights", "kitchen"),
    ("Bedroom lights on", "activate", "lights", "bedroom"),
    ("Switch on the bathroom lights", "activate", "lights", "washroom"),
    ("Put on the music", "activate", "music", "none"),
    ("Lamp on", "activate", "lamp", "none"),
    ("Turn the lights off", "deactivate", "lights", "none"),
    ("Kitchen lights off", "deactivate", "lights", "kitchen"),
    ("Switch off the lights in the bedroom", "deactivate", "lights", "bedroom"),
    ("Washroom lights off", "deactivate", "lights", "washroom"),
    ("Pause the music", "deactivate", "music", "none"),
    ("Turn off the lamp", "deactivate", "lamp", "none"),
    ("Turn up the heat in the kitchen", "increase", "heat", "kitchen"),
    ("Increase the temperature in the bathroom", "increase", "heat", "washroom"),
    ("I couldn't hear anything, turn up the volume", "increase", "volume", "none"),
    ("Louder", "increase", "volume", "none"),
    ("That’s too loud", "decrease", "volume", "none"),
    ("Turn the heat down in the bedroom", "decrease", "heat", "bedroom"),
    ("Could you decrease the heating please?", "decrease", "heat", "none"),
    ("Bring me the newspaper", "bring", "newspaper", "none"),
    ("Go get me some juice", "bring", "juice", "none"),
    ("Fetch my shoes", "bring", "shoes", "none"),
    ("Get me my socks", "bring", "socks", "none"),
)
UNSEEN_COMMANDS = COMMANDS[::7]  # held out in the further splits


@dataclass(frozen=True)
class Recording:
    """A command, said by the speaker of a number."""

    speaker: int
    name: str
    path: str
    command: tuple[str, str, str, str]


def recordings(seed: int) -> list[Recording]:
    """What each speaker says; every command is said in the training part of the original split."""
    generator = random.Random(seed)
    made = []
    for speaker in range(SPEAKERS):
        start = speaker * COMMANDS_EACH
        # In turn, so that a few speakers say them all; then shuffled, as the real ones were asked.
        commands = [COMMANDS[(start + i) % len(COMMANDS)] for i in range(COMMANDS_EACH)]
        generator.shuffle(commands)
        name = _hex(f"speaker {seed} {speaker}")[:16]
        for number, command in enumerate(commands):
            key = _hex(f"{name} {number}")
            stem = f"{key[:8]}-{key[8:12]}-11e9-{key[12:16]}-{key[16:28]}"
            made.append(Recording(speaker, name, f"wavs/speakers/{name}/{stem}.wav", command))
    return made


def write_csv(path: Path, rows: Sequence[tuple[int, Recording]], indices: int) -> None:
    """A csv file as pandas writes it, with one or two columns of indices."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["", "Unnamed: 0"][:indices] + list(COLUMNS))
    for number, row in rows:
        writer.writerow([number] * indices + [row.path, row.name, *row.command])
    with atomic_write(path) as out:
        out.write(stream.getvalue())


def write_splits(out: Path, made: Sequence[Recording]) -> None:
    """The csv files of all three splits, each row in one set of each split."""

    def original(one: Recording) -> str:
        if one.speaker >= FIRST_TEST:
            return "test"
        return "dev" if one.speaker >= FIRST_DEV else "train"

    def resplit(one: Recording) -> str:
        if one.speaker >= FIRST_TEST:
            return "test_speaker"
        if one.command in UNSEEN_COMMANDS:
            return "test_utterance"
        return "dev" if one.speaker >= FIRST_DEV else "train"

    splits: list[tuple[str, dict[str, str], Callable[[Recording], str], int]] = [
        ("", ORIGINAL, original, 1),
        ("unseen_splits", RESPLIT, resplit, 2),
        ("challenge_splits", RESPLIT, resplit, 2),
    ]
    for folder, names, part_of, indices in splits:
        for part, name in names.items():
            rows = [pair for pair in enumerate(made) if part_of(pair[1]) == part]
            write_csv(out / "data" / folder / name, rows, indices)


def plant_faults(out: Path, made: Sequence[Recording]) -> None:
    """Remove one recording of training, and the second half of another."""
    missing, cut = (out / made[number].path for number in (1, 2))
    missing.unlink()
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])


def _hex(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/make_mini.py "
        "--out data_mini/corpus",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the corpus")
    parser.add_argument("--seed", type=int, default=1, help="who says what in which order")
    options = parser.parse_args(argv)
    made = recordings(options.seed)
    speak([Line(options.out / one.path, one.command[0], one.speaker) for one in made])
    plant_faults(options.out, made)
    write_splits(options.out, made)
    licence.write(options.out, licence.OWN)
    with atomic_write(options.out / "readme.md") as stream:
        stream.write("# A made-up miniature in the layout of Fluent Speech Commands\n")
    print(f"{options.out}: {len(made)} recordings of {SPEAKERS} synthetic speakers")


if __name__ == "__main__":
    cli.run(main)
