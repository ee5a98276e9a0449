"""Data for the stand-in of a pretrained model: a training set whose tags have other names.

    atat miniature_standin --data data_mini/train --out data_mini/standin --utterances 40

For `--mini` runs of recipes that finetune a model pretrained elsewhere. The stand-in learns from
the miniature itself, but with other tags, so that the tags of the corpus are new to it, as they
are to a real pretrained model. Knows nothing of models.
"""

from __future__ import annotations

from pathlib import Path

from atat.base import cli
from atat.datadir import tables
from atat.datadir.edit import evenly, subset
from atat.text.trees import Tree, parse, to_string

PREFIX = "STANDIN_"


def renamed(tree: Tree) -> Tree:
    """The same tree with a prefix before the name of every tag."""
    kind, _, name = tree.label.partition(":")
    children = (renamed(child) if isinstance(child, Tree) else child for child in tree.children)
    return Tree(f"{kind}:{PREFIX}{name}", tuple(children))


def write(source: Path, target: Path, utterances: int = 0) -> int:
    """Write the data dir with all utterances (0) or evenly spread ones; returns their number."""
    count = subset(
        source, target, evenly(utterances) if utterances else lambda data: list(data.speakers)
    )
    trees = tables.read_table(target / "semantics")
    tables.write_table(
        target / "semantics", {key: to_string(renamed(parse(tree))) for key, tree in trees.items()}
    )
    return count


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        prog="atat miniature_standin",
        description=cli.guide(
            "Write a copy of a data dir in which all tags have other names. A miniature run "
            "trains on it what stands in for a pretrained model.",
            "atat miniature_standin --data data_mini/train --out data_mini/standin --utterances 40",
            reads="DATA, a data dir with trees (semantics).",
            writes="OUT, a data dir.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="data dir with trees")
    parser.add_argument("--out", type=Path, required=True, help="data dir to write")
    parser.add_argument("--utterances", type=int, default=0, help="evenly spread; 0 = all")
    options = parser.parse_args(argv)
    count = write(options.data, options.out, options.utterances)
    print(f"{options.out}: {count} utterances, their tags renamed")
