"""The open baseline: pocketsphinx, searching only sentences of the published grammar.

    python local/pocketsphinx_grammar.py --data data/real --corpus ~/speech-to-intent-benchmark \\
        --out exp/pocketsphinx_grammar/decode_real

writes a decoded dir that `atat score` takes: what was heard, as a canonical tree (a
recording in which no whole sentence was found gets an empty one). It knows the grammar in
advance, as the published engines did, and learns nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from order_grammar import load, vocabulary
from picovoice import GRAMMAR, corpus_folder
from word_network import network

from atat.base import cli
from atat.base.provenance import provenance
from atat.datadir import kaldi_dir
from atat.prepare.hearing import totals
from atat.prepare.sphinx import check_words, decode, jobs_for, version
from atat.scoring import decoded_dir


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/pocketsphinx_grammar.py "
        "--data data/real --corpus ~/speech-to-intent-benchmark "
        "--out exp/pocketsphinx_grammar/decode_real",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="data dir with recordings")
    parser.add_argument("--corpus", type=Path, required=True, help="clone of the benchmark")
    parser.add_argument("--out", type=Path, required=True, help="decoded dir to write")
    parser.add_argument("--nj", type=int, default=1, help="processes")
    options = parser.parse_args(argv)
    grammar = load(corpus_folder(options.corpus) / GRAMMAR)
    check_words(vocabulary(grammar))
    utterances = kaldi_dir.load(options.data)
    jobs = jobs_for(utterances, network=network(grammar))
    heard = decode(jobs, options.out / "journal.jsonl", options.nj)
    hypotheses = {}
    for key, one in heard.items():
        order = grammar.understand(one.text)
        hypotheses[key] = grammar.canonical(order) if order is not None else ""
    seconds = totals(heard)
    nbest = {
        key: [{"text": tree, "score": heard[key].score, "length": len(tree.split())}]
        for key, tree in hypotheses.items()
    }
    decoded_dir.write(
        options.out,
        nbest,
        {
            "task": "slu",
            "data": str(options.data),
            "model": f"{version()}, published grammar",
            "beam": None,
            "well_formed": True,
            "utterances": len(hypotheses),
            "audio_seconds": round(seconds[0], 3),
            "wall_seconds": round(seconds[1], 3),
            "provenance": provenance(),
        },
    )
    found = sum(bool(tree) for tree in hypotheses.values())
    print(
        f"{options.out}: {found} of {len(hypotheses)} recordings hold an order; "
        f"{seconds[1] / seconds[0]:.3f} x real time"
    )


if __name__ == "__main__":
    cli.run(main)
