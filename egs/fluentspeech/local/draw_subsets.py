"""Random subsets of a training set, for the rows with few recordings.

    python local/draw_subsets.py --data data/train --percent 10 --number 10 --out data/subsets/10 \\
        --confs exp/conf

writes `data/subsets/10/{1..10}`: the data dir `train` and, where a conf names it, its mean and
variance, `cmvn.ark`. For each there are confs, `exp/conf/{e2e,atat}_10/{1..10}.yaml`: those of
`exp/conf/e2e_subset.yaml` and `atat_subset.yaml` with the subset's folder for {subset}, or of
`e2e_10.yaml` where the size has a conf of its own.

Subset k holds the utterances whose hash with the seed k is smallest: it does not change with the
order of the data dir, the sets of two seeds have nothing to do with each other, and the 1 % of a
seed are a part of its 10 %. Speakers and commands are not balanced, as nothing is said of it where
such figures are published (README.md).
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

import yaml

from atat.base import cli, config
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.datadir import cmvn, edit
from atat.datadir.files import DataDir
from atat.prepare.conf_copy import moved

MODELS = ("e2e", "atat")


def chosen(utterances: list[str], percent: float, seed: int) -> list[str]:
    """The utterances of a subset: `percent` of all, rounded, at least one; in order of hash."""

    def order(utterance: str) -> bytes:
        return hashlib.sha256(f"subset {seed} {utterance}".encode()).digest()

    count = max(1, round(len(utterances) * percent / 100))
    return sorted(utterances, key=order)[:count]


def conf_of(confs: Path, model: str, percent: float) -> Path:
    """The conf of a model on subsets, of this size where there is one."""
    own = confs / f"{model}_{percent:g}.yaml"
    return own if own.is_file() else confs / f"{model}_subset.yaml"


def write_confs(
    confs: Path, subset: Path, percent: float, seed: int, models: Sequence[str]
) -> None:
    """Write the confs of one subset."""
    for model in models:
        conf = config.read_yaml(conf_of(confs, model, percent))
        values = moved(conf, "{subset}", str(subset))
        with atomic_write(confs / f"{model}_{percent:g}" / f"{seed}.yaml") as stream:
            yaml.safe_dump(values, stream, sort_keys=False, allow_unicode=True)


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/draw_subsets.py "
        "--data data/train --percent 10 --number 10 --out data/subsets/10 --confs exp/conf",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="data dir to draw from")
    parser.add_argument("--percent", type=float, required=True, help="size of each subset")
    parser.add_argument("--number", type=int, required=True, help="how many; seeds from 1 on")
    parser.add_argument("--out", type=Path, required=True, help="folder for the subsets")
    parser.add_argument(
        "--confs",
        type=Path,
        required=True,
        help="folder of e2e_subset.yaml and atat_subset.yaml, and for the confs",
    )
    parser.add_argument(
        "--models", nargs="+", default=list(MODELS), help="whose confs: MODEL_subset.yaml"
    )
    options = parser.parse_args(argv)
    if not 0 < options.percent <= 100:
        raise InputError(f"--percent {options.percent:g}: expected more than 0, 100 at most")
    needs_cmvn = any(
        "cmvn" in config.read_yaml(conf_of(options.confs, model, options.percent))
        for model in options.models
    )
    for seed in range(1, options.number + 1):

        def choose(data: DataDir, seed: int = seed) -> list[str]:
            return chosen(list(data.speakers), options.percent, seed)

        folder = options.out / str(seed)
        size = edit.subset(options.data, folder / "train", choose)
        print(f"{folder / 'train'}: {size} utterances")
        if needs_cmvn:
            cmvn.main(["--data", str(folder / "train"), "--out", str(folder / "cmvn.ark")])
        write_confs(options.confs, folder, options.percent, seed, options.models)


if __name__ == "__main__":
    cli.run(main)
