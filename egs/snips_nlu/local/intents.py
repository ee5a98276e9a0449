"""Data dirs for classifiers: the same recordings, with nothing but the intent for meaning.

    python local/intents.py --data data/train data/dev data/test

writes `data/train_intent`, ... beside them, in whose `semantics` [IN:PLAY_MUSIC play ... ] is
[IN:PLAY_MUSIC ].
"""

from __future__ import annotations

import argparse
from pathlib import Path

from atat.base import cli
from atat.datadir import edit, tables
from atat.text.trees import Tree, parse, to_string


def intent_of(tree: str) -> str:
    """The tree of an intent alone."""
    return to_string(Tree(parse(tree).label, ()))


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/intents.py --data data/test",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data dirs")
    options = parser.parse_args(argv)
    for data in options.data:
        out = data.with_name(f"{data.name}_intent")
        count = edit.subset(data, out, lambda all_of_it: list(all_of_it.speakers))
        trees = tables.read_table(out / "semantics")
        tables.write_table(out / "semantics", {key: intent_of(tree) for key, tree in trees.items()})
        print(f"{out}: {count} utterances")


if __name__ == "__main__":
    cli.run(main)
