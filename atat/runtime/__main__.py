"""Recordings in, a line of JSON for each out, with an exported model:

python -m atat.runtime DIR order.wav
python -m atat.runtime DIR --text "two coffees please"
"""

from __future__ import annotations

import argparse
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.runtime.recognizer import Recognizer


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m atat.runtime",
        description=cli.guide(
            "Understand recordings or sentences with an exported model, without torch.",
            "python -m atat.runtime exp/joint/device order.wav",
            reads="DIR, made by `atat export`; recordings of 16 kHz.",
            writes="a line of JSON for each to standard output, with the keys that "
            "atat/text/understanding.py explains.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="exported model")
    parser.add_argument("recordings", nargs="*", metavar="RECORDING", help="wav files")
    parser.add_argument("--text", nargs="+", default=[], help="sentences, for task nlu")
    parser.add_argument("--task", help="slu or asr, of recordings; by default slu")
    parser.add_argument("--nbest", type=int, default=1, help="hypotheses written")
    cli.add_search(parser)
    parser.add_argument("--transcribe", action="store_true", help="write down what was said, too")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    options = parser.parse_args(argv)
    cli.check_positive(options, "beam", "nbest", "threads")
    if not options.recordings and not options.text:
        raise InputError("give recordings, or sentences with --text")
    recognizer = Recognizer.load(
        options.folder,
        nbest=options.nbest,
        threads=options.threads,
        transcribe=options.transcribe,
        **cli.search_of(options),
    )
    for recording in options.recordings:
        print(recognizer(recording, task=options.task).to_json(), flush=True)
    for text in options.text:
        print(recognizer(text=text).to_json(), flush=True)


if __name__ == "__main__":
    cli.run(main)
