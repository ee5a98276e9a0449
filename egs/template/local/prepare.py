"""Data dirs from a folder of recordings and a csv file, by atat.datadir.own_corpus.

    python local/prepare.py --corpus ~/commands --csv ~/commands/utterances.csv --out data

Prints what they contain and what the missing columns cost; findings.txt lists what is left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import licence, own_corpus, utterance_table
from atat.datadir.corpus import Oddities


def prepare(corpus: Path, csv: Path, out: Path, max_lost: float) -> None:
    """Write the data dirs of a corpus; raises InputError if too much of it cannot be used."""
    table = utterance_table.read(csv)
    if not corpus.is_dir():
        raise InputError(f"--corpus {corpus}: no such folder; the paths in {csv} start from it")
    oddities = Oddities()
    items = own_corpus.usable(table, corpus, out / "wavs", oddities)
    first = next((f"The first: {what}" for kind, what in oddities.items if "left out" in kind), "")
    kept, where = len(items), out / "findings.txt"
    oddities.close(where, kept=kept, max_lost=max_lost, corpus=csv, noun="rows", advice=first)
    sets = own_corpus.arrange(items)
    own_corpus.write(out, sets, licence.of(corpus))
    for line in (*own_corpus.remarks(table, items), *own_corpus.describe(sets)):
        print(line)


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/prepare.py "
        "--corpus ~/commands --csv ~/commands/utterances.csv --out data",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--corpus", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--csv", type=Path, required=True, help="a row for each utterance")
    parser.add_argument("--out", type=Path, default=Path("data"), help="where data dirs go")
    parser.add_argument(
        "--max_lost",
        type=float,
        default=0.01,
        help="share of the rows that may be unusable before it is an error",
    )
    options = parser.parse_args(argv)
    prepare(options.corpus, options.csv, options.out, options.max_lost)


if __name__ == "__main__":
    cli.run(main)
