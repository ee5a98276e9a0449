"""Sentences to be spoken by synthesisers, with words and phones to learn from and to test on.

    python local/prepare_spoken.py --text data/read/text data/commands --out data/spoken

writes a data dir for each engine of each part of conf/voices.yaml, OUT/train_espeak, ..., for
`atat synthesis`; those that an earlier run has made besides are removed. Texts are Kaldi's,
`<utterance> <words>`, or data dirs that hold one. No sentence is in two parts; sentences with
digits or signs, and those longer than --max_words, are left out.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import licence, tables
from atat.prepare import voices
from atat.text.normalize import normalize

VOICES = Path(__file__).resolve().parent.parent / "conf" / "voices.yaml"


def sentences(texts: Sequence[Path], longest: int) -> list[str]:
    """The different sentences of all texts that can be spoken, in their order.

    Raises InputError if there is none.
    """
    found: dict[str, None] = {}
    for path in texts:
        table = tables.read_table(path / "text" if path.is_dir() else path)
        lines = (normalize(line) for line in table.values())
        found |= dict.fromkeys(line for line in lines if re.fullmatch("[a-z' ]+", line))
    chosen = [line for line in found if len(line.split()) <= longest]
    if not chosen:
        raise InputError(f"{', '.join(map(str, texts))}: no sentence of at most {longest} words")
    return chosen


def write_part(out: Path, part: str, lines: Iterable[str], rng: random.Random) -> list[Path]:
    """Write a data dir for each engine of a part, each line in one of them, by the shares.

    Returns the data dirs. No other of this part stays: its sentences may now be in another part.
    """
    casts = voices.cast(VOICES, part, rng)
    found: dict[str, dict[str, dict[str, str]]] = {
        cast.engine: {name: {} for name in ("text", "utt2spk", "spk2voice")} for cast in casts
    }
    for number, line in enumerate(lines):
        drawn = voices.draw(casts, rng)
        speaker = f"{drawn.engine}-{part}-{drawn.number:03d}"
        utterance = f"{speaker}-{number:06d}"
        written = found[drawn.engine]
        written["text"][utterance] = line
        written["utt2spk"][utterance] = speaker
        written["spk2voice"][speaker] = drawn.voice
    folders = []
    for engine, written in found.items():
        if written["text"]:
            folders.append(out / f"{part}_{engine}")
            voices.write_sentences(folders[-1], written)
            count, heard = len(written["text"]), len(written["spk2voice"])
            print(f"{folders[-1]}: {count} sentences to be spoken by {heard} voices")
    for folder in sorted(out.glob(f"{part}_*")):
        if folder not in folders and (folder / "utt2spk").is_file():
            shutil.rmtree(folder)
    return folders


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/prepare_spoken.py "
        "--text data/read/text --out data/spoken",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--text", type=Path, nargs="+", required=True, help="texts or data dirs")
    parser.add_argument("--out", type=Path, required=True, help="folder of the data dirs")
    parser.add_argument("--sentences", type=int, default=4000, help="to be spoken for training")
    parser.add_argument("--held_out", type=int, default=200, help="the same for dev and for test")
    parser.add_argument("--max_words", type=int, default=30, help="the longest sentence")
    parser.add_argument("--seed", type=int, default=1, help="draws sentences and voices")
    options = parser.parse_args(argv)
    rng = random.Random(f"acoustic {options.seed}")
    chosen = sentences(options.text, options.max_words)
    rng.shuffle(chosen)
    sizes = {"dev": options.held_out, "test": options.held_out, "train": options.sentences}
    if len(chosen) <= 2 * options.held_out:
        raise InputError(
            f"only {len(chosen)} sentences; more than {2 * options.held_out} are needed, so that "
            "some are left to learn from; give more --text, or a lower --held_out"
        )
    for part, size in sizes.items():
        lines, chosen = chosen[:size], chosen[size:]
        for folder in write_part(options.out, part, lines, rng):
            licence.write(folder, *map(licence.of, options.text))


if __name__ == "__main__":
    cli.run(main)
