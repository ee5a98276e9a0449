"""Which tags of TOP the model to start from has seen already: zero-shot wants none.

    python local/known_tags.py --tokenizer exp/pretrain/model/tokenizer --data data/text_train

Two corpora may use the same name (IN:PLAY_MUSIC) for the same thing: it is then known from
pretraining and not learned from text alone. `--leave_out` of run.sh leaves such sentences out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from atat.base import cli
from atat.datadir import tables
from atat.text.tokenizer import Tokenizer
from atat.text.trees import is_open, parse, tags


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/known_tags.py "
        "--tokenizer ../pretrain/exp/four_tasks/seed1/model/tokenizer --data data/text_train",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--tokenizer", type=Path, required=True, help="that of the model")
    parser.add_argument("--data", type=Path, required=True, help="data dir with trees")
    options = parser.parse_args(argv)
    known = set(Tokenizer.load(options.tokenizer).symbols)
    trees = [tags(parse(tree)) for tree in tables.read_table(options.data / "semantics").values()]
    wanted = {tag for tree in trees for tag in tree if is_open(tag)}
    shared = wanted & known
    print(f"{len(shared)} of the {len(wanted)} tags are known to the model to start from")
    if shared:
        with_one = sum(not shared.isdisjoint(tree) for tree in trees)
        print(
            f"  {with_one} of {len(trees)} sentences have some of them and are not wholly new: "
            + " ".join(tag[1:] for tag in sorted(shared))
        )


if __name__ == "__main__":
    cli.run(main)
