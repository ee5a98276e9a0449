"""An example corpus as somebody might bring it: a folder of recordings and utterances.csv.

    python local/make_example.py --recordings 1000 --out ~/commands

Music commands of the grammar of egs/synthetic_tts, spoken by 26 synthetic voices; path, speaker,
text, intent and slots. Sentences with nested slots, which these columns cannot hold, are left out.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.datadir import kaldi_dir, licence, tables
from atat.datadir.kaldi_dir import Utterance
from atat.prepare import synthesis
from atat.text import trees
from atat.text.trees import Tree

MAKE_CORPUS = Path(__file__).resolve().parents[2] / "synthetic_tts" / "local" / "make_corpus.py"
SETS = ("train_music", "dev_music", "test_music")


def choose(work: Path, number: int) -> tuple[list[Utterance], dict[str, str]]:
    """`number` flat commands, evenly spread over the speakers, and the voices of all speakers."""
    voices: dict[str, str] = {}
    commands: list[Utterance] = []
    for name in SETS:
        voices |= tables.read_table(work / name / "spk2voice")
        commands += [one for one in kaldi_dir.load(work / name) if is_flat(one)]
    if number > len(commands):
        raise InputError(f"--recordings {number}: expected at most {len(commands)}")
    return [commands[i * len(commands) // number] for i in range(number)], voices


def is_flat(utterance: Utterance) -> bool:
    """Whether no slot holds another tree."""
    tree = trees.parse(utterance.semantics or "")
    return all(isinstance(word, str) for node in slots_of(tree) for word in node.children)


def slots_of(tree: Tree) -> list[Tree]:
    return [child for child in tree.children if isinstance(child, Tree)]


def table(utterances: Sequence[Utterance], folder: Path) -> str:
    """The text of utterances.csv in a folder."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["path", "speaker", "text", "intent", "slots"])
    for one in utterances:
        tree = trees.parse(one.semantics or "")
        slots = "; ".join(
            f"{node.label[3:].lower()}={' '.join(map(str, node.children))}"
            for node in slots_of(tree)
        )
        writer.writerow(
            [
                os.path.relpath(one.wav or "", folder),
                one.speaker,
                one.text,
                tree.label[3:].lower(),
                slots,
            ]
        )
    return stream.getvalue()


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/make_example.py "
        "--recordings 1000 --out ~/commands",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--recordings", type=int, default=1000, help="how many")
    parser.add_argument("--out", type=Path, required=True, help="folder of the corpus")
    parser.add_argument("--nj", type=int, default=2, help="processes that speak")
    options = parser.parse_args(argv)
    work = options.out / "made_from"
    subprocess.run(
        [sys.executable, MAKE_CORPUS, "--size", "tiny", "--out", work],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    utterances, voices = choose(work, options.recordings)
    kaldi_dir.write(work / "spoken", utterances)
    tables.write_table(
        work / "spoken" / "spk2voice", {one.speaker: voices[one.speaker] for one in utterances}
    )
    synthesis.synthesise(work / "spoken", options.out / "recordings", nj=options.nj)
    with atomic_write(options.out / "utterances.csv") as stream:
        stream.write(table(kaldi_dir.load(work / "spoken"), options.out))
    licence.write(options.out, licence.OWN)
    print(f"{options.out}/utterances.csv: {len(utterances)} recordings")


if __name__ == "__main__":
    cli.run(main)
