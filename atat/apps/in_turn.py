"""Commands of atat, one after the other in one process.

    printf '%s\\0' "atat decode ..." "atat frames ..." | atat in_turn

What recipes do with the decodings of a stage: torch is loaded once, not once for each, which takes
longer than to decode a small test set.
"""

from __future__ import annotations

import shlex
import sys

from atat.base import cli, command_lines
from atat.base.errors import InputError


def main(argv: list[str] | None = None) -> None:
    """Command line; ends with the code of the first command that fails."""
    parser = cli.Parser(
        prog="atat in_turn",
        description=cli.guide(
            "Run command lines of atat one after the other in one process. The first that fails "
            "ends it, with its message and exit code; after that the same command continues.",
            "atat in_turn --commands commands.txt",
            reads="the command lines, one a line, or each ended by a zero byte: `atat decode ...`.",
            writes="what the commands write.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    parser.add_argument(
        "--commands", metavar="FILE", default="-", help="file of the command lines; - is stdin"
    )
    options = parser.parse_args(argv)
    for words in [_words(line) for line in command_lines.read(options.commands)]:
        _run(words)


def _words(line: str) -> list[str]:
    """What follows `atat`."""
    try:
        first, *words = shlex.split(line)
    except ValueError as error:
        raise InputError(f"'{line}': {error}; expected a command line of a shell") from None
    if first != "atat" or not words:
        raise InputError(f"'{line}': expected a command line of atat, such as `atat decode ...`")
    return words


def _run(words: list[str]) -> None:
    from atat import __main__ as commands

    called = sys.argv
    sys.argv = [called[0], *words]  # what is noted beside results (provenance)
    try:
        commands.main(words)
    except SystemExit as end:
        if end.code:
            print(f"in: {shlex.join(['atat', *words])}", file=sys.stderr)
            raise
    finally:
        sys.argv = called
