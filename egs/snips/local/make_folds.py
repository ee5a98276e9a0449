"""Folds for cross-validation on SNIPS smart lights, drawn by sentence.

    python local/make_folds.py --data data/close --folds 5 --out data/folds/close

writes `data/folds/close/{0..4}/{train,dev,test}`. A hash of the normalised sentence says in which
fold a recording is tested and, where it is not, whether it is in dev: so no sentence is in two of
the three sets, the folds are the same for close and far field, and a recording stays where it is
when others come or go. Folds differ in size by chance. The corpus has no folds of its own.

Speakers are not kept apart: each test set has speakers of training, as published figures have.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import edit
from atat.datadir.files import DataDir
from atat.datadir.folds import part_of


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/make_folds.py "
        "--data data/close --out data/folds/close",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="data dir with text")
    parser.add_argument("--out", type=Path, required=True, help="where folds go")
    parser.add_argument("--folds", type=int, default=5, help="number of folds")
    parser.add_argument(
        "--dev_share", type=float, default=0.1, help="share of what is not test that becomes dev"
    )
    options = parser.parse_args(argv)
    if options.folds < 2:
        raise InputError(f"--folds {options.folds}: expected 2 or more")
    for fold in range(options.folds):
        counts = []
        for part in ("train", "dev", "test"):

            def choose(data: DataDir, fold: int = fold, part: str = part) -> list[str]:
                return [
                    key
                    for key, text in data.table("text").items()
                    if part_of(text, fold, options.folds, options.dev_share) == part
                ]

            out = options.out / str(fold) / part
            counts.append(f"{part} {edit.subset(options.data, out, choose)}")
        print(f"{options.out / str(fold)}: {', '.join(counts)}")
    print("no sentence is in two of train, dev and test; speakers are")


if __name__ == "__main__":
    cli.run(main)
