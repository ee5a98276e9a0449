"""Serves a trained model on this machine: a page for people, JSON for programs.

    atat serve exp/joint/model
    atat serve --demo

Knows the options; what is served is in `app`, who may ask in `guard`.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from atat.base import cli
from atat.base.calibration import OF_NO_USE
from atat.base.errors import InputError
from atat.engine import named_model

if TYPE_CHECKING:
    from atat.apps.server.limits import Limits

DESCRIPTION = cli.guide(
    "Serves a trained model: record or type in a browser and see what the model understands. "
    "Programs get the same answers as JSON (POST /recognize, POST /understand; /openapi.json "
    "describes them). A model that answers questions about recordings is asked in a field of the "
    "page, by programs with /recognize?question=. Only this machine is served, unless --host says "
    "otherwise, and nothing that is said or typed is stored. Ctrl-C ends it.",
    "atat serve --demo",
    "atat serve exp/tiny/books_tts/seed1/model",
    "curl --data-binary @order.wav http://127.0.0.1:8000/recognize",
    reads="MODEL, a packed model (a folder, an archive, a name of the Hugging Face hub, or "
    "demo:music or demo:barista, which come with atat).",
    writes="nothing; a line for each request on the terminal, which does not say what was said",
)


def main(argv: list[str] | None = None) -> None:
    """Entry point of `atat serve`."""
    options = _parser().parse_args(argv)
    cli.check_positive(options, "parallel", "characters", "beam")
    _check(options)
    # Imported late: --help and mistakes need neither torch nor a server.
    from atat.apps.recognizer import Recognizer
    from atat.apps.server import guard, running
    from atat.apps.server.app import Service

    started = time.monotonic()
    with running.listen(options.host, options.port) as listening:
        recognizer = Recognizer.load(
            options.model,
            device=options.device,
            threshold=options.threshold,
            transcribe=not options.no_transcript,
            longest=options.longest,
            **cli.search_of(options),
        )
        if options.threshold is not None and recognizer.calibration is None:
            print(OF_NO_USE, file=sys.stderr)
        service = Service(
            recognizer,
            options.title or _title(options.model),
            limits=_limits(options),
            show_answers=options.show_answers,
            log=lambda line: print(line, file=sys.stderr, flush=True),
        )
        service.warm()
        port = listening.getsockname()[1]
        here = options.host in guard.LOOPBACK
        names = [*guard.LOOPBACK, options.host.lower(), *(one.lower() for one in options.name)]
        shown = f"[{options.host}]" if ":" in options.host else options.host
        print(f"{options.model}: loaded in {time.monotonic() - started:.1f} s", file=sys.stderr)
        if not here:
            print(
                f"warning: everyone who reaches {options.host} can use this server; it has "
                "neither passwords nor encryption, and browsers give a microphone only to "
                "localhost or https",
                file=sys.stderr,
            )
        ready = f"http://{shown}:{port} is ready; Ctrl-C ends it"
        app = service.app(tuple(dict.fromkeys(names)), any_address=not here)
        running.run(
            app, service.turns, listening, lambda: print(ready, file=sys.stderr, flush=True)
        )
    print("\nended", file=sys.stderr)


def _limits(options: argparse.Namespace) -> Limits:
    from atat.apps.server.limits import Limits

    needed = options.longest * 2 * 16_000 / 1e6  # the page sends wav of 16 bits at 16 kHz
    return Limits(
        seconds=options.longest,
        megabytes=options.largest or max(needed, Limits.megabytes),
        characters=options.characters,
        parallel=options.parallel,
        waiting=options.waiting,
        patience=options.patience,
    )


def _title(model: str) -> str:
    """What tells models apart in a path: .../NAME/seed1/model is NAME/seed1."""
    parts = [part for part in Path(model).parts if part not in ("/", ".", "..", "model")]
    return "/".join(parts[-2:]) or "model"


def _check(options: argparse.Namespace) -> None:
    if options.demo == (options.model is not None):
        raise InputError("give either a packed model or --demo; `atat serve --help` has examples")
    if options.demo:
        options.model = named_model.MUSIC
    if options.waiting < 0:
        raise InputError(f"--waiting is {options.waiting}; expected 0 or more")
    for name in ("longest", "largest", "patience"):
        value = getattr(options, name)
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"--{name} is {value:g}; expected more than 0")
    cli.check_threshold(options)
    if not 0 <= options.port < 65536:
        raise InputError(f"--port is {options.port}; expected 0 to 65535")


def _parser() -> argparse.ArgumentParser:
    from atat.apps.server.limits import Limits

    parser = cli.Parser("atat serve", description=DESCRIPTION, formatter_class=cli.HelpFormatter)
    add = parser.add_argument
    add("model", metavar="MODEL", nargs="?", help=named_model.KINDS)
    add(
        "--demo",
        action="store_true",
        help="in place of MODEL demo:music, which comes with atat (English)",
    )
    add("--port", type=int, default=8000, help="0: the first from 8000 on that is free")
    add("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0: the whole network")
    add(
        "--name",
        action="append",
        default=[],
        help="a further name by which the server may be called, such as that of this machine in "
        "your network; may be repeated",
    )
    add("--title", help="what the page calls the model (default: from its path)")
    cli.add_device(parser)
    add(
        "--threshold",
        type=float,
        help="confidence below which an answer is not understood (default: the model's own)",
    )
    add(
        "--no_transcript",
        action="store_true",
        help="do not transcribe: faster, but slots of recordings have no times",
    )
    cli.add_search(parser)
    add("--longest", type=float, default=Limits.seconds, help="seconds of a recording")
    add(
        "--largest",
        type=float,
        help=f"megabytes of a recording (default: {Limits.megabytes:g}, or what the longest has as "
        "wav of 16 bits at 16 kHz)",
    )
    add("--characters", type=int, default=Limits.characters, help="of a sentence")
    add("--parallel", type=int, default=Limits.parallel, help="answers made at once")
    add(
        "--waiting",
        type=int,
        default=Limits.waiting,
        help="requests that may wait; the next is told to try again (503)",
    )
    add(
        "--patience",
        type=float,
        default=Limits.patience,
        help="seconds that a request may have to wait, by the time of those before it; else 503",
    )
    add(
        "--show_answers",
        action="store_true",
        help="write what was understood to the terminal, too",
    )
    return parser
