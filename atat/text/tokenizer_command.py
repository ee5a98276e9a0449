"""The command `atat tokenizer`: train one on the texts and tags of data dirs, or add tags to one.

    atat tokenizer train --data data/train --vocab_size 5000 --out data/tokenizer
    atat tokenizer extend --tokenizer data/tokenizer --data data/books --out data/more

Knows nothing of ids: `tokenizer` gives them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.base.files import fields, read_lines
from atat.text import trees
from atat.text.tokenizer import Tokenizer


def read_data(folders: Iterable[str | Path]) -> tuple[list[str], set[str]]:
    """Texts and tags of data dirs: from `text`, and the words and tags of `semantics`.

    Raises InputError for a folder with neither file, and, with file and line, for a malformed
    tree.
    """
    texts: list[str] = []
    tags: set[str] = set()
    for folder in map(Path, folders):
        paths = [folder / name for name in ("text", "semantics") if (folder / name).is_file()]
        if not paths:
            raise InputError(f"{folder}: has neither text nor semantics; expected a data dir")
        for path in paths:
            for number, line in enumerate(read_lines(path), start=1):
                value = " ".join(fields(line)[1:])  # tabs separate, too
                if path.name == "text":
                    texts.append(value)
                    continue
                try:
                    tree = trees.parse(value)
                except trees.SemanticsError as error:
                    raise InputError(f"{path}:{number}: {error}") from None
                texts.append(" ".join(trees.words(tree)))
                tags |= trees.tags(tree)
    return texts, tags


def main(argv: list[str] | None = None) -> None:
    """Train a tokenizer from data dirs, or add the tags of data dirs to one."""
    show = cli.HelpFormatter
    parser = cli.Parser(
        prog="atat tokenizer",
        description=cli.guide(
            "Train a tokenizer, or add the tags of further data dirs to one.",
            "atat tokenizer train --data data/train --vocab_size 1000 --out data/tokenizer",
            "atat tokenizer extend --tokenizer data/tokenizer --data data/books --out "
            "data/tokenizer_books",
            reads="DATA/text and DATA/semantics; extend also reads the folder of a tokenizer.",
            writes="OUT, the folder of a tokenizer. In a YAML file of a training it is the "
            "key tokenizer.",
        ),
        formatter_class=show,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser(
        "train",
        help="learn word pieces and collect tags",
        description=cli.guide(
            "Learn word pieces from the text of data dirs, and collect the tags of their trees.",
            "atat tokenizer train --data data/train --vocab_size 1000 --out data/tokenizer",
            reads="DATA/text and DATA/semantics; one of them is enough.",
            writes="OUT, the folder of a tokenizer.",
        ),
        formatter_class=show,
    )
    train.add_argument("--vocab_size", type=int, default=5000, help="number of word pieces")
    extend = commands.add_parser(
        "extend",
        help="append new tags, keeping every id",
        description=cli.guide(
            "Append the tags of data dirs to a tokenizer. Word pieces and every id stay, so a "
            "model that was trained with the old tokenizer can start a training with the new "
            "one (--init).",
            "atat tokenizer extend --tokenizer exp/joint/model/tokenizer --data data/books "
            "--out data/tokenizer_books",
            reads="the folder TOKENIZER, which may be exp/NAME/model/tokenizer; DATA/semantics.",
            writes="OUT, the folder of the new tokenizer.",
        ),
        formatter_class=show,
    )
    extend.add_argument(
        "--tokenizer",
        required=True,
        default=argparse.SUPPRESS,
        help="folder of the tokenizer to extend",
    )
    for command in (train, extend):
        command.add_argument(
            "--data", nargs="+", required=True, default=argparse.SUPPRESS, help="data dirs to read"
        )
        command.add_argument(
            "--out",
            required=True,
            default=argparse.SUPPRESS,
            help="folder to write the tokenizer to",
        )
    options = parser.parse_args(argv)

    if options.command == "train":
        tokenizer = Tokenizer.train(*read_data(options.data), options.vocab_size)
    else:
        base = Tokenizer.load(options.tokenizer)
        tokenizer = base.extend(read_data(options.data)[1])
    tokenizer.save(options.out)
    if options.command == "train" and tokenizer.num_pieces < options.vocab_size:
        print(
            f"{options.out}: the text holds no more than {tokenizer.num_pieces} pieces, "
            f"--vocab_size {options.vocab_size} is more; the tokenizer has those it holds"
        )
    print(
        f"{options.out}: {tokenizer.num_pieces} pieces, {len(tokenizer.open_ids)} tags, "
        f"{tokenizer.vocab_size} ids, fingerprint {tokenizer.fingerprint()}"
    )
