"""A tiny BERT that has learned nothing, where a miniature needs one: no download, no pretraining.

    atat miniature_bert --data data_mini/train --out data_mini/bert

Its word pieces are the most frequent words of the data dir's text, and letters for all others; its
weights are random. It is saved as `transformers` saves a BERT, so that whatever takes one by its
folder takes this. Knows nothing of what it is for.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from atat.base import cli, extras, permissions
from atat.base.errors import InputError
from atat.datadir import tables
from atat.text import bert_files, word_pieces

PIECES = 200  # at most
WIDTH, LAYERS, HEADS = 32, 2, 2


def write(texts: Iterable[str], folder: Path, seed: int = 1) -> None:
    """Write a BERT with word pieces of some texts; it is a function of these and the seed."""
    import torch

    with extras.needed("bert", by="a miniature of BERT"):
        from transformers import BertTokenizer

    vocabulary = word_pieces.of_texts(texts, PIECES).get_vocab()
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "vocab.txt", "w", encoding="utf-8") as stream:
        stream.writelines(f"{piece}\n" for piece in sorted(vocabulary, key=vocabulary.__getitem__))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = bert_files.scratch(WIDTH, LAYERS, HEADS, len(vocabulary))
    with permissions.of_new_files(folder / "model.safetensors"):
        model.save_pretrained(folder)


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = cli.Parser(
        prog="atat miniature_bert",
        description=cli.guide(
            "Write a tiny BERT with the word pieces of a data dir and random weights. A miniature "
            "run trains with it instead of a pretrained one.",
            "atat miniature_bert --data data_mini/train --out data_mini/bert",
            reads="DATA/text.",
            writes="OUT, a BERT as `transformers` saves it.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="data dir with text")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    options = parser.parse_args(argv)
    texts = tables.read_table(options.data / "text")
    if not texts:
        raise InputError(f"{options.data / 'text'}: empty; expected sentences")
    write(texts.values(), options.out)
    print(f"{options.out}: a BERT of {LAYERS} layers x {WIDTH}, from scratch")
