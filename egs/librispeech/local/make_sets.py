"""The training set and its dev set from the data dirs of the folders.

    python local/make_sets.py --train data/train_clean_100 data/train_clean_360 \\
        --eval data/dev_clean data/dev_other data/test_clean --out data/train

writes `OUT/asr` (all utterances of --train), `OUT/mlm` (those of them whose words have times) and
`OUT/dev`, by which models are chosen: the dev_* of --eval together, or, where there is none, a
share of the training speakers, which are then in neither `asr` nor `mlm`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import kaldi_dir, tables
from atat.datadir.edit import aligned, combine, subset
from atat.datadir.files import DataDir
from atat.datadir.folds import held_out


def dev_speakers(speakers: Collection[str], share: float) -> set[str]:
    """Speakers kept for dev; raises InputError where none would be left to train on."""
    names = set(speakers)
    if len(names) < 2:
        raise InputError(
            f"the training folders have only the speaker {', '.join(names)}, and "
            "there is no dev-* folder to choose models by; get one"
        )
    return held_out(names, share)


def make(train: Sequence[Path], evaluate: Sequence[Path], out: Path, share: float) -> None:
    """Write asr, mlm and dev; see the top of this file."""
    dev = [folder for folder in evaluate if folder.name.startswith("dev_")]
    if dev:
        combine(out / "asr", list(train))
        combine(out / "dev", list(dev))
    else:
        # Both are cut from a dir of their own: a rerun finds the dev speakers in it again.
        combine(out / "everyone", list(train))
        chosen = dev_speakers({u.speaker for u in kaldi_dir.load(out / "everyone")}, share)
        subset(out / "everyone", out / "dev", _of(chosen, True))
        subset(out / "everyone", out / "asr", _of(chosen, False))
        print(
            f"{out}/dev: no dev-* folder, so training speakers are held out for it: {len(chosen)}"
        )
    _write_aligned(out / "asr", out / "mlm")


def _of(chosen: set[str], inside: bool) -> Callable[[DataDir], list[str]]:
    """A choice for `subset`: the utterances of these speakers, or of the others."""
    return lambda data: [key for key, name in data.speakers.items() if (name in chosen) == inside]


def _write_aligned(source: Path, target: Path) -> None:
    count = subset(source, target, aligned)
    total = len(tables.read_table(source / "utt2spk"))
    print(
        f"{source}: {total} utterances; {target}: {count} of them, the words of "
        f"{total - count} have no times"
    )


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/make_sets.py "
        "--train data/train_clean_100 --eval data/dev_clean --out data/train",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--train", type=Path, nargs="+", required=True, help="dirs to train on")
    parser.add_argument("--eval", type=Path, nargs="*", default=[], help="dirs of dev and test")
    parser.add_argument("--out", type=Path, required=True, help="where asr, mlm and dev go")
    parser.add_argument(
        "--dev_share",
        type=float,
        default=0.02,
        help="share of the training speakers for dev, where there is no dev dir",
    )
    options = parser.parse_args(argv)
    make(options.train, options.eval, options.out, options.dev_share)


if __name__ == "__main__":
    cli.run(main)
