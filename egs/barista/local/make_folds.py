"""Folds for cross-validation on the real recordings.

    python local/make_folds.py --data data/real --out data/folds

writes `data/folds/{0..4}/{train,dev,test}`. A fold is drawn by a hash of the speaker id, so that a
recording stays in its fold when others are added. With `--text` (see transcribe_with_labels.py)
`train_text` is the part of `train` that has a transcript; the test sets never have one.

The benchmark publishes no speaker ids, and each of its fifty-odd speakers recorded about ten
orders: a speaker is most likely in train and in test of the same fold. The figures are those of
a system that has heard its users before, and too good for one that has not.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import kaldi_dir, licence, tables
from atat.datadir.folds import part_of

Keep = Callable[[kaldi_dir.Utterance], bool]


def write_part(
    folder: Path, utterances: Sequence[kaldi_dir.Utterance], keep: Keep, source: Path
) -> int:
    """Write those utterances of a data dir, with their groups; returns how many they are."""
    chosen = [utterance for utterance in utterances if keep(utterance)]
    if not chosen:
        raise InputError(f"{folder}: no utterances for it in {source}; use fewer folds")
    kaldi_dir.write(folder, chosen)
    licence.write(folder, licence.of(source))
    if (source / "utt2group").exists():
        groups = tables.read_table(source / "utt2group")
        tables.write_table(folder / "utt2group", {one.id: groups[one.id] for one in chosen})
    return len(chosen)


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/make_folds.py "
        "--data data/real --out data/folds",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="data dir to cut into folds")
    parser.add_argument("--text", type=Path, help="data dir with text for some of the utterances")
    parser.add_argument("--out", type=Path, default=Path("data/folds"), help="where folds go")
    parser.add_argument("--folds", type=int, default=5, help="number of folds")
    parser.add_argument(
        "--dev_share", type=float, default=0.1, help="share of what is not test that becomes dev"
    )
    options = parser.parse_args(argv)
    if options.folds < 2:
        raise InputError(f"--folds {options.folds}: expected 2 or more")
    utterances = kaldi_dir.load(options.data)
    texts = tables.read_table(options.text / "text") if options.text else {}
    silent = [replace(utterance, text=None) for utterance in utterances]
    spoken = [replace(one, text=texts[one.id]) for one in utterances if one.id in texts]
    for fold in range(options.folds):
        out = options.out / str(fold)

        def keep(part: str, fold: int = fold) -> Keep:
            return lambda one: part_of(one.speaker, fold, options.folds, options.dev_share) == part

        counts = {
            part: write_part(out / part, silent, keep(part), options.data)
            for part in ("train", "dev", "test")
        }
        if spoken:
            counts["train_text"] = write_part(
                out / "train_text", spoken, keep("train"), options.data
            )
        print(f"{out}: " + ", ".join(f"{name} {number}" for name, number in counts.items()))
    print("no speaker ids are published: train and test of a fold may share speakers")


if __name__ == "__main__":
    cli.run(main)
