"""Understand recordings and sentences at a command line.

atat recognize MODEL order.wav another.wav        # a tree each
atat recognize MODEL *.wav | jq .slots            # JSON lines in a pipe
arecord -f S16_LE -r 16000 -d 4 | atat recognize MODEL -
atat recognize MODEL --microphone
atat recognize MODEL --text "play silver river"
atat recognize MODEL news.wav --question "who won" # of a model that answers questions
atat recognize --demo order.wav                   # with the model that comes with the package
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atat.apps import show
from atat.base import cli
from atat.base.calibration import OF_NO_USE
from atat.base.cli import ALL, BAD_INPUT, SOME_NOT
from atat.base.errors import InputError
from atat.datadir.ctm import Word, read_ctm
from atat.engine import named_model
from atat.text.understanding import Understanding

if TYPE_CHECKING:
    from atat.apps.answers import Answered
    from atat.apps.recognizer import Prepared, Recognizer
    from atat.text.tasks import Task

TOGETHER = 8  # recordings of a batch: answers come soon, and faster than one by one
EXIT_CODES = """Exit codes, for scripts:
  0    everything was understood
  1    something was not understood (`understood` is false, and `reason` says why)
  2    something could not be read, or the command is wrong; one line each on stderr says what.
       What could be read is answered all the same
  130  interrupted"""


def main(argv: list[str] | None = None) -> None:
    """Command line; exits with one of the codes."""
    options = _parser().parse_args(argv)
    _check(options)
    try:
        code = run(options)
    except InputError:
        if options.debug:
            traceback.print_exc()
            sys.exit(BAD_INPUT)
        raise
    if code:
        sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = cli.Parser(
        prog="atat recognize",
        description=cli.guide(
            "Understand recordings or sentences with a packed model: a readable tree on a "
            "terminal, one JSON object a line in a pipe (its keys: atat/text/understanding.py).",
            "atat recognize exp/joint/model order.wav",
            "atat recognize exp/joint/model *.wav | jq .slots",
            "arecord -f S16_LE -r 16000 -d 4 | atat recognize exp/joint/model -",
            'atat recognize exp/joint/model --text "play silver river"',
            "atat recognize exp/joint/model --microphone",
            'atat recognize exp/speechbert/model news.wav --question "who won"',
            "atat recognize --demo",
            reads="MODEL, a packed model (its folder, a .zip or .tar of it, the name of one on the "
            "Hugging Face hub, or demo:music or demo:barista, which come with atat); recordings of "
            "any format and rate; or the microphone.",
            writes="answers to stdout, mistakes to stderr.",
        )
        + f"\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", nargs="?", help=named_model.KINDS)
    parser.add_argument(
        "recordings", nargs="*", metavar="WAV", help="recordings; - is a recording on stdin"
    )
    parser.add_argument(
        "--text", action="append", metavar="SENTENCE", help="a sentence; may be given repeatedly"
    )
    parser.add_argument(
        "--demo",
        action="store_true",
        help="in place of MODEL demo:music, which comes with atat (English); without recordings it "
        "hears an example",
    )
    parser.add_argument(
        "--microphone",
        action="store_true",
        help="listen until Ctrl-C, and answer whenever someone stops speaking",
    )
    cli.add_device(parser)
    parser.add_argument(
        "--task", help="slu, asr, nlu ...; by default what writes trees of recordings or of text"
    )
    parser.add_argument(
        "--nbest", type=int, metavar="N", help="show N hypotheses (JSON has those of the beam)"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="not understood below this confidence, 0 to 1 (default: that of `atat calibrate`)",
    )
    parser.add_argument(
        "--question",
        action="append",
        metavar="Q",
        help="a question about the recordings, for a model that answers questions: the words that "
        "answer it and their times (keys: atat/apps/answers.py); may be given repeatedly",
    )
    parser.add_argument(
        "--ctm",
        type=Path,
        metavar="FILE",
        help="with --question: the words of the recordings with times, by the recordings' names "
        "without ending; default: what the recogniser hears that the model names",
    )
    parser.add_argument("--channel", type=int, metavar="C", help="of recordings, from 0")
    parser.add_argument(
        "--longest",
        type=float,
        metavar="S",
        help="seconds of a recording; 0: any number (default: 60)",
    )
    parser.add_argument(
        "--no_transcript",
        action="store_true",
        help="do not transcribe: faster, but slots of recordings have no times, and there is no "
        "confidence if that needs the transcript",
    )
    cli.add_search(parser)
    parser.add_argument(
        "--vad", type=Path, metavar="ONNX", help="with --microphone: silero-vad's network"
    )
    parser.add_argument("--json", action="store_true", help="JSON lines on a terminal, too")
    parser.add_argument("--debug", action="store_true", help="show where in the code it failed")
    return parser


def _check(options: argparse.Namespace) -> None:
    """Raise InputError for options that do not go together, before anything is loaded."""
    if options.demo:
        # The first of the recordings stands where MODEL would.
        options.recordings = [*filter(None, [options.model]), *options.recordings]
        options.model = named_model.MUSIC
    elif options.model is None:
        raise InputError(
            "name a packed model, or give --demo; `atat recognize --help` has examples"
        )
    asked = options.recordings or options.text or options.microphone
    if named_model.is_demo(options.model) and not asked:
        options.recordings = [str(named_model.example(options.model))]
    given = [bool(options.recordings), bool(options.text), options.microphone]
    if sum(given) != 1:
        raise InputError(
            "give recordings, --text or --microphone, and only one of them; "
            "`atat recognize --help` has examples"
        )
    if options.recordings.count("-") > 1:
        raise InputError("- is given twice; stdin can be read once")
    if options.question and not options.recordings:
        raise InputError("--question is about recordings; name one")
    if options.ctm is not None and not options.question:
        raise InputError("--ctm is for --question")
    cli.check_threshold(options)
    if options.vad is not None and not options.microphone:
        raise InputError("--vad finds speech for --microphone; without that leave it out")
    for name in ("channel", "longest"):
        if getattr(options, name) is not None and not options.recordings:
            raise InputError(f"--{name} is of recordings; name one, or leave it out")
    if options.task is not None and options.question:
        raise InputError("a question is no task: give --question or --task")
    if options.question and options.threshold is not None:
        raise InputError("--threshold: answers to questions have no confidence; leave it out")
    if options.question and options.no_transcript:
        raise InputError("--no_transcript: a question is answered by the transcript; leave it out")
    cli.check_positive(options, "nbest", "beam")


def run(options: argparse.Namespace) -> int:
    """Answer everything that was given; returns the exit code."""
    from atat.apps.recognizer import Recognizer

    recognizer = Recognizer.load(
        options.model,
        device=options.device,
        threshold=options.threshold,
        nbest=options.nbest,
        transcribe=not options.no_transcript,
        **({} if options.longest is None else {"longest": options.longest}),
        **cli.search_of(options),
    )
    out = Out(options)
    if options.question:
        _answer(recognizer, options, out)
        return out.code
    task = recognizer.task_for("text" if options.text else "audio", options.task)
    if options.microphone:
        from atat.apps.microphone import listen

        listen(recognizer, task.name, options.vad, lambda found: out.write("microphone", found))
        return out.code
    for names, prepared in _in_batches(_prepared(recognizer, task, options, out)):
        for name, found in zip(names, recognizer.understand(prepared, task)):
            out.write(name, found)
    return out.code


class Out:
    """Writes answers as whoever reads them can use them, and remembers the exit code."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._json = options.json or not sys.stdout.isatty()
        self._nbest = options.nbest
        self._debug = options.debug
        self._threshold = options.threshold
        self._names = "sentence" if options.text else "recording"
        self.code = ALL

    def write(self, name: str, found: Understanding) -> None:
        """One answer."""
        if not found.understood:
            self.code = max(self.code, SOME_NOT)
        elif found.confidence is None and self._threshold is not None:
            self._threshold = None  # once is enough
            print(OF_NO_USE, file=sys.stderr)
        if self._json:
            line = found.to_json(**{self._names: name})
        else:
            colours = show.wants_colours(sys.stdout)
            line = show.render(name, found, colours=colours, nbest=bool(self._nbest)) + "\n"
        print(line, flush=True)

    def write_answer(self, name: str, found: Answered) -> None:
        """The answer to a question."""
        found = replace(found, nbest=found.nbest[: self._nbest])
        if not found.text:
            self.code = max(self.code, SOME_NOT)
        if self._json:
            print(found.to_json(recording=name), flush=True)
        else:
            colours = show.wants_colours(sys.stdout)
            shown = show.render_answer(name, found, colours=colours, nbest=bool(self._nbest))
            print(shown + "\n")

    def refuse(self, error: InputError) -> None:
        """Something that cannot be read: the rest is answered all the same."""
        self.code = BAD_INPUT
        if self._debug:
            traceback.print_exception(error)
        else:
            print(f"error: {error}", file=sys.stderr)


def _prepared(
    recognizer: Recognizer, task: Task, options: argparse.Namespace, out: Out
) -> Iterator[tuple[str, Prepared]]:
    """Name and content of everything that can be read."""
    for text in options.text or ():
        try:
            yield text, recognizer.prepare_text(text, task)
        except InputError as error:
            out.refuse(error)
    for name in options.recordings:
        given: Any = name
        try:
            if name == "-":
                given = sys.stdin.buffer.read()
            yield name, recognizer.prepare(given, task, channel=options.channel, name="stdin")
        except InputError as error:
            out.refuse(error)


def _answer(recognizer: Recognizer, options: argparse.Namespace, out: Out) -> None:
    """Every question about every recording that can be read."""
    from atat.speech.given import samples_of

    timed = None if options.ctm is None else read_ctm(options.ctm)
    for name in options.recordings:
        given: Any = sys.stdin.buffer.read() if name == "-" else name
        try:
            words: Sequence[Word] | None = timed.get(Path(name).stem) if timed else None
            if timed is not None and words is None:
                raise InputError(f"{options.ctm}: no words of {Path(name).stem!r}")
            samples = samples_of(
                given, channel=options.channel, longest=recognizer.longest, name="stdin"
            )
            for question in options.question:
                found = recognizer(samples, question=question, words=words)
                words = found.said  # heard once
                out.write_answer(name, found)
        except InputError as error:
            out.refuse(error)


def _in_batches(
    given: Iterator[tuple[str, Prepared]],
) -> Iterator[tuple[list[str], list[Prepared]]]:
    names: list[str] = []
    prepared: list[Prepared] = []
    for name, one in given:
        names.append(name)
        prepared.append(one)
        if len(names) == TOGETHER:
            yield names, prepared
            names, prepared = [], []
    if names:
        yield names, prepared
