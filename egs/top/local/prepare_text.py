"""TOP's sentences and trees as data dirs without audio.

    python local/prepare_text.py --corpus ~/top-dataset-semantic-parsing --out data

writes `text_train`, `text_dev` and `text_test` (text, text.raw, semantics; the number in an id is
the line in the published file) and `text_findings.txt`, which lists every faulty row. With
`--stop` instead of `--corpus` text and trees come from STOP's manifests.

`--leave_out UNSUPPORTED` leaves out the sentences that later work leaves out; the paper uses all.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import kaldi_dir, licence, tables
from atat.datadir.corpus import Oddities
from atat.datadir.corpus_top import Row, has_intent, read_stop, read_top, stop_folder, top_folder
from atat.text.trees import to_string

LEFT_OUT = "left_out"  # file in text_test: rows that are left out, so that recordings know


def write_text(folder: Path, corpus: str, part: str, rows: Sequence[Row]) -> None:
    """Write a data dir of sentences; the corpus is their speaker."""
    ids = [f"{corpus}-{part}-{row.number:06d}" for row in rows]
    kaldi_dir.write(
        folder,
        [
            kaldi_dir.Utterance(
                id=key, speaker=corpus, text=row.text, semantics=to_string(row.tree)
            )
            for key, row in zip(ids, rows)
        ],
    )
    tables.write_table(folder / "text.raw", {key: row.raw for key, row in zip(ids, rows)})
    tables.write_table(
        folder / "utt2group",
        {key: "nested" if row.nested else "flat" for key, row in zip(ids, rows)},
    )


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/prepare_text.py "
        "--corpus ~/top-dataset-semantic-parsing --out data",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--corpus", type=Path, help="TOP: train.tsv, eval.tsv, test.tsv")
    source.add_argument("--stop", type=Path, help="STOP: manifests/*.tsv")
    parser.add_argument("--out", type=Path, default=Path("data"), help="where data dirs go")
    parser.add_argument(
        "--leave_out",
        nargs="*",
        default=[],
        metavar="WORD",
        help="leave out trees with such a word in an intent, e.g. UNSUPPORTED",
    )
    parser.add_argument(
        "--max_lost", type=float, default=0.01, help="share of a file's rows that may be unusable"
    )
    options = parser.parse_args(argv)
    if options.corpus:
        folder = top_folder(options.corpus, stop_option="--stop")
        corpus, read = "top", read_top
    else:
        corpus, folder, read = "stop", stop_folder(options.stop), read_stop
    oddities = Oddities()
    usable = 0
    for part in ("train", "dev", "test"):
        rows, count = read(folder, part, oddities)
        usable += len(rows)
        left_out = [row for row in rows if has_intent(row, options.leave_out)]
        kept = [row for row in rows if not has_intent(row, options.leave_out)]
        if not kept:
            raise InputError(
                f"{folder}: --leave_out {' '.join(options.leave_out)} leaves nothing of {part}"
            )
        write_text(options.out / f"text_{part}", corpus, part, kept)
        licence.write(options.out / f"text_{part}", licence.of_corpus(folder, corpus.upper()))
        tables.write_table(
            options.out / f"text_{part}" / LEFT_OUT,
            {f"{corpus}-{part}-{row.number:06d}": row.text for row in left_out},
        )
        print(
            f"{part}: {len(kept)} of {count} sentences, {sum(row.nested for row in kept)} with "
            f"nested intents; {len(left_out)} left out by intent, "
            f"{count - len(rows)} unusable"
        )
    oddities.close(
        options.out / "text_findings.txt",
        kept=usable,
        max_lost=options.max_lost,
        corpus=folder,
        noun="rows",
    )


if __name__ == "__main__":
    cli.run(main)
