"""Commands of other domains with their meaning: text for nlu, a part of them to be spoken.

    python local/prepare_outdomain_text.py --snips_nlu ~/2017-06-custom-intent-engines \\
        --top ~/top-dataset-semantic-parsing --out data

writes `nlu_outdomain/{train,dev}` (text, semantics) from SNIPS NLU and TOP, and
`tts_commands/{train,dev}`: some of these, with voices, to be spoken by `atat synthesis`.
Each corpus is optional. A sentence of SNIPS NLU becomes a tree by bracketing its slots inside its
intent; trees of TOP are as published. Words are normalised within each span, and the text is that
of the tree. Rows of TOP that cannot be used are listed in `nlu_outdomain/<part>/findings.txt`.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterable
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import kaldi_dir, licence
from atat.datadir.corpus import Oddities
from atat.datadir.corpus_snips_nlu import TRAIN, VALIDATE, read_snips_nlu
from atat.datadir.corpus_top import read_top, top_folder
from atat.prepare.spoken import Sentence, write_spoken
from atat.text.trees import Tree, to_string, words

VOICES = Path(__file__).resolve().parent.parent / "conf" / "voices.yaml"

PARTS = {"train": TRAIN, "dev": VALIDATE}  # of SNIPS NLU


def to_speak(texts: Iterable[str], shortest: int, longest: int) -> list[str]:
    """Those of such a length in words and of plain letters only."""
    return [
        text
        for text in texts
        if shortest <= len(text.split()) <= longest and re.fullmatch(r"[a-z' ]+", text)
    ]


def write_trees(folder: Path, trees: dict[str, list[Tree]]) -> None:
    """Write a data dir of text and semantics; the corpus is the speaker."""
    utterances = [
        kaldi_dir.Utterance(
            id=f"{corpus}-{number:06d}",
            speaker=corpus,
            text=" ".join(words(tree)),
            semantics=to_string(tree),
        )
        for corpus, listed in trees.items()
        for number, tree in enumerate(dict.fromkeys(listed))
    ]
    kaldi_dir.write(folder, utterances)
    print(f"{folder}: {len(utterances)} sentences")


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/prepare_outdomain_text.py "
        "--top ~/top-dataset-semantic-parsing --out data",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--snips_nlu", type=Path, help="SNIPS' folder of seven intents")
    parser.add_argument("--top", type=Path, help="folder with train.tsv and eval.tsv of TOP")
    parser.add_argument("--out", type=Path, default=Path("data"), help="where data dirs go")
    parser.add_argument("--spoken", type=int, default=6000, help="sentences to be spoken, train")
    parser.add_argument("--dev", type=int, default=200, help="sentences to be spoken, dev")
    parser.add_argument("--min_words", type=int, default=3, help="shortest sentence to be spoken")
    parser.add_argument("--max_words", type=int, default=14, help="longest sentence to be spoken")
    parser.add_argument("--voices", type=Path, default=VOICES, help="the voices to choose from")
    parser.add_argument("--seed", type=int, default=1, help="draws sentences and voices")
    parser.add_argument(
        "--max_lost", type=float, default=0.01, help="share of the rows of TOP that may be unusable"
    )
    options = parser.parse_args(argv)
    if not (options.snips_nlu or options.top):
        raise InputError("no corpus given; name one or both: --snips_nlu DIR --top DIR")
    spoken: set[str] = set()
    for part, count in (("dev", options.dev), ("train", options.spoken)):
        prepare(options, part, count, spoken)


def prepare(options: argparse.Namespace, part: str, count: int, spoken: set[str]) -> None:
    """Write the data dirs of one part; `spoken` collects sentences, none of which comes twice."""
    trees: dict[str, list[Tree]] = {}
    licences = []
    if options.snips_nlu:
        rows = read_snips_nlu(options.snips_nlu, PARTS[part], option="--snips_nlu")
        trees["snips"] = [row.tree for row in rows]
        licences.append(licence.of_corpus(options.snips_nlu, "SNIPS NLU"))
    if options.top:
        oddities = Oddities()
        requests, _ = read_top(top_folder(options.top, option="--top"), part, oddities)
        trees["top"] = [row.tree for row in requests]
        licences.append(licence.of_corpus(options.top, "TOP"))
        oddities.close(
            options.out / "nlu_outdomain" / part / "findings.txt",
            kept=len(requests),
            max_lost=options.max_lost,
            corpus=options.top,
            noun="rows",
        )
    write_trees(options.out / "nlu_outdomain" / part, trees)
    licence.write(options.out / "nlu_outdomain" / part, *licences)
    meanings = {
        " ".join(words(tree)): to_string(tree) for listed in trees.values() for tree in listed
    }
    total = sum(len(listed) for listed in trees.values())
    sentences = [
        text
        for text in to_speak(meanings, options.min_words, options.max_words)
        if text not in spoken
    ]
    generator = random.Random(f"{part} {options.seed}")
    generator.shuffle(sentences)
    chosen = sentences[:count]
    spoken.update(chosen)
    if chosen:
        write_spoken(
            options.out / "tts_commands" / part,
            [Sentence(text, meanings[text]) for text in chosen],
            options.voices,
            part,
            generator,
        )
        licence.write(options.out / "tts_commands" / part, *licences)
    print(
        f"{part}: {total - len(sentences)} of {total} sentences are too short or long, said "
        "already or hold odd letters"
    )


if __name__ == "__main__":
    cli.run(main)
