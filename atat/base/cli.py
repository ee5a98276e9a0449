"""What all commands share: help, start, errors and interrupts."""

from __future__ import annotations

import argparse
import errno
import itertools
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from atat.base import extras, limits, suggest
from atat.base.errors import InputError, WorkFailed

_DENIED = "permission denied; ask for the right to read or write it (chmod), or give another path"
# What can be wrong with a path that a user has given, and how to fix it.
_SENTENCES: dict[int | None, str] = {
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: "is on a read-only file system; give a path that can be written to",
    errno.EISDIR: "is a folder, a file was expected; give the path of a file",
    errno.ENOTDIR: "a part of this path is a file, not a folder; correct the path",
    errno.EEXIST: "is a file, a folder was expected; remove it or give another path",
    errno.ENAMETOOLONG: "this name is too long for the file system; give a shorter one",
    errno.ELOOP: "its symbolic links lead in a circle; remove the link",
}


# Exit codes of commands that answer recordings and sentences.
ALL, SOME_NOT, BAD_INPUT = 0, 1, 2  # understood; not understood; what could not be read


SEVERAL = ("+", "*")  # nargs


class _Store(argparse._StoreAction):
    """Of an option of several values that is given again, all values count; those that are given
    replace the default."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        before = getattr(namespace, self.dest, None)
        if option_string and self.nargs in SEVERAL and before and before is not self.default:
            values = [*before, *values]
        super().__call__(parser, namespace, values, option_string)


class Parser(argparse.ArgumentParser):
    """That of all commands: who mistypes an option is told the nearest one, options may stand
    between several recordings or files, and one that takes several values may be given again."""

    # What is behind --, while argparse reads the options, and then the rest; newer ones take it.
    _behind: list[str] | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register("action", None, _Store)  # of its groups, too
        self.register("action", "store", _Store)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse's, but an unknown option is an error before a missing one is."""
        if self._subparsers is not None:  # the options are those of the subcommand
            return super().parse_known_args(args, namespace)
        args = list(sys.argv[1:] if args is None else args)
        own = self._get_positional_actions()
        if self._behind is not None:
            reads_options = all(one.nargs == argparse.SUPPRESS for one in own)
            more = [] if reads_options else self._behind
            return super().parse_known_args([*args, *more], namespace)
        self._check_options(args)
        if not self._can_mix(own):
            return super().parse_known_args(args, namespace)
        whole = hasattr(argparse.ArgumentParser, "_parse_known_args2")  # Python 3.12.8, 3.13.1
        end = args.index("--") if "--" in args and not whole else len(args)
        self._behind = args[end:]
        try:
            return self.parse_known_intermixed_args(args[:end], namespace)
        finally:
            self._behind = None

    def _can_mix(self, own: Sequence[argparse.Action]) -> bool:
        """Whether there are several values without an option, or may be; argparse cannot do it
        where one excludes an option."""
        exclusive = [
            one for group in self._mutually_exclusive_groups for one in group._group_actions
        ]
        several = len(own) > 1 or any(one.nargs in SEVERAL for one in own)
        return several and not any(one in exclusive for one in own)

    def _check_options(self, args: Sequence[str]) -> None:
        known = self._option_string_actions
        for one in itertools.takewhile(lambda one: one != "--", args):
            name = one.partition("=")[0]
            if name.startswith("--") and not any(option.startswith(name) for option in known):
                near = suggest.nearest(name, known)
                more = f"did you mean {near}?" if near else f"{self.prog} --help lists them"
                self.error(f"unknown option {name}; {more}")


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows the defaults that say something, and keeps the layout of the description."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        told = "(default: " in (action.help or "")
        if told or action.default is None or action.default is False or action.default == []:
            return action.help
        return super()._get_help_string(action)


def guide(what: str, *examples: str, reads: str, writes: str) -> str:
    """The description of a command: what it does, reads and writes, and how it is called."""
    paragraphs = [
        textwrap.fill(what, 88),
        textwrap.fill(f"Reads: {reads}", 88, subsequent_indent="  ", break_on_hyphens=False),
        textwrap.fill(f"Writes: {writes}", 88, subsequent_indent="  ", break_on_hyphens=False),
        "\n  ".join(["Example:" if len(examples) == 1 else "Examples:", *examples]),
    ]
    return "\n\n".join(paragraphs)


def run(main: Callable[[], None], *, continues: bool = True) -> None:
    """Run a command: a user's mistake is one line and exit code 2, never a traceback.

    continues: whether the command goes on where it was interrupted when it is run again.
    """
    _announce_other_checkout()
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except WorkFailed as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except ModuleNotFoundError as error:
        sentence = extras.explain(error)
        if sentence is None:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        again = "; run the same command again to continue" if continues else ""
        print(f"\ninterrupted{again}", file=sys.stderr)
        sys.exit(130)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error).strip().splitlines()
        print(
            f"error: not enough memory{f' ({reason[0]})' if reason else ''}; give the command less "
            "at once (a smaller --beam, --nj or batch, shorter recordings), or end other programs",
            file=sys.stderr,
        )
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output (head, less) has ended: nothing more can be printed.
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        if error.errno in _SENTENCES and error.filename is not None:
            print(f"error: {error.filename}: {_SENTENCES[error.errno]}", file=sys.stderr)
            sys.exit(2)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" while writing {error.filename}" if error.filename else ""
        print(
            f"error: the disk is full{where}; finished work is kept. "
            "Make room and run the same command again to continue.",
            file=sys.stderr,
        )
        sys.exit(1)


def is_out_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Whether there was no memory left, of the machine or of a GPU; torch has errors of its own."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def _announce_other_checkout() -> None:
    """Warn when the user stands in one checkout of atat and the environment runs another's code."""
    running = Path(__file__).resolve().parents[2]
    try:
        here = Path.cwd()
    except FileNotFoundError:  # the folder was removed under us
        return
    for folder in (here, *here.parents):
        if (folder / "atat" / "__init__.py").is_file() and (folder / "tools/install.sh").is_file():
            if not folder.samefile(running):
                print(
                    f"warning: this runs {running}/atat, not the code of {folder}; "
                    f"to run the latter, set PYTHONPATH={folder}",
                    file=sys.stderr,
                )
            return


def add_search(parser: argparse.ArgumentParser, *, beam: str = "4, or as calibrated") -> None:
    """The search that answers: None for each option that is not given; beam: its width then."""
    add = parser.add_argument
    add("--beam", type=int, help=f"width of the search (default: {beam})")
    add("--well_formed", action="store_true", default=None, help="let only well-formed trees out")
    add("--bridge", type=float, metavar="SHARE", help="as that of `atat decode`, 0 to 1")


def search_of(options: argparse.Namespace) -> dict[str, Any]:
    """The options of `add_search` that are given."""
    found = {name: getattr(options, name) for name in ("beam", "well_formed", "bridge")}
    return {name: value for name, value in found.items() if value is not None}


def add_device(parser: argparse.ArgumentParser, *, auto: bool = False) -> None:
    """What computes: the CPU unless asked for, or with auto a GPU where there is one."""
    if auto:
        text = "cpu, cuda, cuda:1 ..., or auto: cuda where there is one (default: auto)"
    else:
        text = "cpu, cuda, cuda:1 ...: what computes (default: cpu)"
    parser.add_argument("--device", default="auto" if auto else "cpu", help=text)


def check_positive(options: argparse.Namespace, *names: str) -> None:
    """Raise InputError unless each of these options is 1 or more; None means not given."""
    for name in names:
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"--{name} is {value}; expected 1 or more")


def check_threshold(options: argparse.Namespace) -> None:
    """Raise InputError unless --threshold is a confidence; None means not given."""
    limits.confidence(**{"--threshold": options.threshold})
