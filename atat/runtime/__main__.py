"""Recordings in, a line of JSON for each out, with an exported model:

python -m atat.runtime DIR order.wav
python -m atat.runtime DIR --text "two coffees please"
arecord -f S16_LE -r 16000 -d 4 | python -m atat.runtime DIR -
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from atat.base import cli
from atat.base.calibration import OF_NO_USE
from atat.base.cli import ALL, BAD_INPUT, SOME_NOT
from atat.base.errors import InputError
from atat.runtime.recognizer import Recognizer
from atat.text.understanding import Understanding

EXIT_CODES = """Exit codes: 0 everything was understood; 1 something was not; 2 something could not
be read, or the command is wrong. What could be read is answered all the same."""


def main(argv: list[str] | None = None) -> None:
    """Command line; exits with one of the codes."""
    options = _parser().parse_args(argv)
    cli.check_positive(options, "beam", "nbest", "threads")
    if not options.recordings and not options.text:
        raise InputError("give recordings, or sentences with --text")
    if options.recordings.count("-") > 1:
        raise InputError("- is given twice; stdin can be read once")
    code = run(options)
    if code:
        sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = cli.Parser(
        prog="python -m atat.runtime",
        description=cli.guide(
            "Understand recordings or sentences with an exported model, without torch.",
            "python -m atat.runtime exp/joint/device order.wav",
            "arecord -f S16_LE -r 16000 -d 4 | python -m atat.runtime exp/joint/device -",
            reads="DIR, made by `atat export`; recordings: wav files of 16 bits and 16 kHz, or, "
            "where the packages soundfile and soxr are, of any format and rate.",
            writes="a line of JSON for each to standard output, with the keys that "
            "atat/text/understanding.py explains; mistakes to standard error.",
        )
        + f"\n\n{EXIT_CODES}",
        formatter_class=cli.HelpFormatter,
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="exported model")
    add("recordings", nargs="*", metavar="WAV", help="recordings; - is a recording on stdin")
    add(
        "--text",
        nargs="+",
        default=[],
        metavar="SENTENCE",
        help="sentences; may be given repeatedly",
    )
    add("--task", help="of recordings: slu, asr ...; by default what writes trees")
    add("--nbest", type=int, default=1, metavar="N", help="hypotheses written")
    add(
        "--threshold",
        type=float,
        metavar="P",
        help="not understood below this confidence, 0 to 1 (default: that of `atat calibrate`)",
    )
    add("--channel", type=int, metavar="C", help="of recordings, from 0")
    add(
        "--longest",
        type=float,
        default=60.0,
        metavar="S",
        help="seconds of a recording; 0: any number",
    )
    cli.add_search(parser)
    add(
        "--transcribe",
        action="store_true",
        help="write down what was said, too; most calibrations need it, so that there is no "
        "confidence without, and nothing is below a threshold",
    )
    add("--threads", type=int, default=1, help="of a CPU")
    return parser


def run(options: argparse.Namespace) -> int:
    """Answer everything that was given; returns the exit code."""
    recognizer = Recognizer.load(
        options.folder,
        nbest=options.nbest,
        threshold=options.threshold,
        threads=options.threads,
        transcribe=options.transcribe,
        longest=options.longest,
        **cli.search_of(options),
    )

    def hear(name: str) -> Understanding:
        given = sys.stdin.buffer.read() if name == "-" else name
        return recognizer(given, task=options.task, channel=options.channel)

    judged: list[bool] = []

    def written(kind: str, name: str, answer: Callable[[str], Understanding]) -> int:
        """Write one answer, or why there is none; returns its exit code."""
        try:
            found = answer(name)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            return BAD_INPUT
        print(found.to_json(**{kind: name}), flush=True)
        judged.append(not found.understood or found.confidence is not None)
        return ALL if found.understood else SOME_NOT

    codes = [written("recording", name, hear) for name in options.recordings]
    codes += [
        written("sentence", text, lambda text: recognizer(text=text)) for text in options.text
    ]
    if options.threshold is not None and not all(judged):
        print(OF_NO_USE, file=sys.stderr)
    return max(codes)


if __name__ == "__main__":
    cli.run(main, continues=False)
