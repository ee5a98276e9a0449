"""Transcripts of the real recordings: pocketsphinx, told by the label what was ordered.

    python local/transcribe_with_labels.py --data data/real --corpus ~/speech-to-intent-benchmark \\
        --out data/real_transcribed

The label leaves only the wording open ("can I get", "make me"; the order of the slots), which is
heard with the published grammar bound to the label's values. `text` is written for the recordings
in which such a sentence was found. It comes from labels: use it for training folds only
(make_folds.py --text sees to that), never for a test set.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from order_grammar import load, slots_of
from picovoice import GRAMMAR, corpus_folder
from word_network import network

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import kaldi_dir, licence
from atat.prepare.sphinx import Job, check_words, decode, jobs_for
from atat.text.trees import parse


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/transcribe_with_labels.py "
        "--data data/real --corpus ~/speech-to-intent-benchmark --out data/real_transcribed",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="data dir with wav.scp, semantics")
    parser.add_argument("--corpus", type=Path, required=True, help="clone of the benchmark")
    parser.add_argument("--out", type=Path, required=True, help="data dir to write")
    parser.add_argument("--nj", type=int, default=1, help="processes")
    options = parser.parse_args(argv)
    grammar = load(corpus_folder(options.corpus) / GRAMMAR)
    utterances = kaldi_dir.load(options.data)
    jobs: list[Job] = []
    skipped = 0
    for utterance in utterances:
        if utterance.semantics is None:
            raise InputError(f"{options.data / 'semantics'}: no such file; transcripts need labels")
        order = slots_of(grammar, parse(utterance.semantics))
        if grammar.complaints(order):
            skipped += 1  # the grammar has no sentence for such a label
            continue
        jobs += jobs_for([utterance], network=network(grammar, order))
    check_words({arc[3] for job in jobs if job.network for arc in job.network.arcs if arc[3]})
    heard = decode(jobs, options.out / "journal.jsonl", options.nj)
    transcribed = []
    for utterance in utterances:
        text = heard[utterance.id].text if utterance.id in heard else ""
        found = grammar.understand(text)
        if found is not None and grammar.canonical(found) == utterance.semantics:
            transcribed.append(replace(utterance, text=text))
    kaldi_dir.write(options.out, transcribed)
    licence.write(options.out, licence.of(options.data))
    print(
        f"{options.out}: {len(transcribed)} of {len(utterances)} recordings transcribed; "
        f"{skipped} have labels outside the grammar"
    )


if __name__ == "__main__":
    cli.run(main)
