"""The command line of Kaldi data dirs: `atat datadir COMMAND DIR …`.

    validate   list everything that is wrong, with file, line and how to fix it
    repair     sort, drop what has no partner or is broken, rebuild spk2utt; keeps a backup
    normalize  text and trees as they are spoken: lower case, numbers in words, no signs
    subset     some of the utterances      combine    several dirs as one
    split      one dir in several          relocate   paths after files have moved
    info       what is in it
    overlap    which sentences and speakers of a test set training has, too
    from_…     data dirs of other formats   to_lhotse  manifests (`import_commands`)

Only the command line: the library is `tables` (read, write), `check`, `repair`, `normalize`, `edit`
and `overlap`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from atat.base import cli, limits
from atat.base.errors import InputError
from atat.datadir.import_commands import IMPORTS

if TYPE_CHECKING:
    from atat.datadir.check_audio import AudioOptions
    from atat.datadir.files import DataDir


class _Help(NamedTuple):
    """What the help of a command says: in one line, what it reads and writes, and an example."""

    what: str
    reads: str
    writes: str
    example: str


HELP = {
    "validate": _Help(
        "List everything that is wrong in a data dir",
        "all tables of DIR, and the recordings and features that they name.",
        "nothing in the tables; prints each kind of error with file, line and how to fix it. The "
        "exit code is 2 when there are errors.",
        "atat datadir validate data/train",
    ),
    "repair": _Help(
        "Sort, drop what is broken, rebuild spk2utt; keep a backup",
        "all tables of DIR, and the recordings and features that they name.",
        "the tables of DIR; those it changes are kept in DIR/.backup.",
        "atat datadir repair data/train",
    ),
    "normalize": _Help(
        "Write text and trees as they are spoken; keep text.raw and semantics.raw",
        "DIR/text and DIR/semantics.",
        "DIR/text and DIR/semantics: lower case, numbers in words, no signs. What was "
        "there stays in DIR/text.raw and DIR/semantics.raw.",
        "atat datadir normalize data/train data/test",
    ),
    "subset": _Help(
        "Write some utterances of a data dir as another",
        "all tables of IN.",
        "OUT, a data dir.",
        "atat datadir subset --utterances 500 data/train data/train_500",
    ),
    "combine": _Help(
        "Join data dirs of different utterances",
        "all tables of each IN.",
        "OUT, a data dir.",
        "atat datadir combine data/both data/train data/dev",
    ),
    "split": _Help(
        "Cut a data dir into parts, written to IN/splitK/1 … K",
        "all tables of IN.",
        "K data dirs, IN/splitK/1 … K; speakers stay whole.",
        "atat datadir split data/train --parts 4",
    ),
    "relocate": _Help(
        "Rewrite the beginning of paths in all scp files",
        "DIR/*.scp.",
        "the same files.",
        "atat datadir relocate data/train --old /old/disk --new /new/disk",
    ),
    "info": _Help(
        "Count what is in data dirs",
        "the tables of each DIR.",
        "nothing; prints utterances, speakers, words, hours.",
        "atat datadir info data/train data/test",
    ),
    "overlap": _Help(
        "Count what test sets have in common with training",
        "text and utt2spk of all data dirs.",
        "nothing; prints how many sentences and speakers of each test set training has, too.",
        "atat datadir overlap --train data/train --test data/dev data/test",
    ),
    **{name: _Help(*command[:4]) for name, command in IMPORTS.items()},
}


def main(argv: list[str] | None = None) -> None:
    """Run one of the commands; a data dir with errors is an InputError (exit code 2)."""
    options = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], None] = options.command
    command(options)


def _parser() -> argparse.ArgumentParser:
    parser = cli.Parser(
        prog="atat datadir",
        description=cli.guide(
            "Check, repair, cut, join and import Kaldi data dirs.",
            "atat datadir validate data/train",
            "atat datadir subset --help",
            reads="the tables of data dirs; `from_…`: csv files, audio folders, manifests.",
            writes="the tables of data dirs; `validate`, `info` and `overlap` only print.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        command: Callable[[argparse.Namespace], None],
        name: str,
    ) -> argparse.ArgumentParser:
        what, reads, writes, example = HELP[name]
        hyphened = name.replace("_", "-")
        added = commands.add_parser(
            name,
            aliases=[hyphened] if hyphened != name else [],
            help=what,
            description=cli.guide(what + ".", example, reads=reads, writes=writes),
            formatter_class=cli.HelpFormatter,
        )
        added.set_defaults(command=command)
        return added

    _add_check_options(add(_validate, "validate"))
    repair = add(_repair, "repair")
    _add_check_options(repair)
    repair.add_argument(
        "--max_lost",
        type=float,
        default=0.01,
        help="share of the utterances that may go; more stops, nothing changed",
    )
    repair.add_argument(
        "--drop_undecodable",
        action="store_true",
        help="drop utterances with bytes that are not UTF-8, instead of asking you to convert them",
    )
    add(_normalize, "normalize").add_argument("folders", metavar="DIR", nargs="+", help="data dirs")
    _add_subset_options(add(_subset, "subset"))
    combine = add(_combine, "combine")
    combine.add_argument("target", metavar="OUT", help="data dir to write")
    combine.add_argument("sources", metavar="IN", nargs="+", help="data dirs to join")
    split = add(_split, "split")
    split.add_argument("folder", metavar="IN", help="data dir")
    split.add_argument("--parts", type=int, required=True, help="number of parts, K")
    split.add_argument(
        "--per_utterance",
        action="store_true",
        help="cut inside speakers too; the parts are IN/splitKutt/1 … K",
    )
    relocate = add(_relocate, "relocate")
    relocate.add_argument("folder", metavar="DIR", help="data dir")
    relocate.add_argument("--old", required=True, help="how the paths begin now")
    relocate.add_argument("--new", required=True, help="how they shall begin")
    add(_info, "info").add_argument("folders", metavar="DIR", nargs="+", help="data dirs")
    shared = add(_overlap, "overlap")
    shared.add_argument("--train", metavar="DIR", nargs="+", required=True, help="data dirs")
    shared.add_argument(
        "--test",
        metavar="DIR",
        nargs="+",
        required=True,
        help="data dirs, each compared with each of --train",
    )
    for name, command in IMPORTS.items():
        command.add_options(add(command.run, name))
    return parser


def _add_check_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="data dir")
    parser.add_argument(
        "--no_audio",
        action="store_true",
        help="read neither the recordings nor the features, only the tables that name them",
    )
    parser.add_argument(
        "--allow_pipes",
        action="store_true",
        help="shell commands in wav.scp are no finding (they are never run here)",
    )
    _add_root(parser)
    parser.add_argument("--sample_rate", type=int, default=16000, help="expected rate in Hz")
    parser.add_argument("--nj", type=int, default=0, help="files read at a time; 0 = one a core")


def _add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root",
        type=Path,
        help="folder where relative paths start; without: the data dir, else here",
    )


def _add_subset_options(parser: argparse.ArgumentParser) -> None:
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--utterances", type=int, metavar="N", help="N, evenly spread")
    choice.add_argument("--first", type=int, metavar="N", help="the first N utterances")
    choice.add_argument("--shortest", type=int, metavar="N", help="the N shortest utterances")
    choice.add_argument(
        "--speakers", type=int, metavar="N", help="all utterances of N speakers, evenly spread"
    )
    choice.add_argument("--list", metavar="FILE", help="the utterances in FILE, an id a line")
    choice.add_argument(
        "--speaker_list",
        metavar="FILE",
        help="all utterances of the speakers in FILE, an id a line",
    )
    choice.add_argument(
        "--aligned",
        action="store_const",
        const=True,
        help="the utterances whose words have times in ctm, for task mlm",
    )
    _add_root(parser)
    parser.add_argument("source", metavar="IN", help="data dir")
    parser.add_argument("target", metavar="OUT", help="data dir to write")


def _validate(options: argparse.Namespace) -> None:
    from atat.datadir.check import validate

    report = validate(options.folder, _audio_options(options))
    if report.errors or report.warnings:
        # One stream: the one of the final error, or of the final "no errors".
        print(report, file=sys.stderr if report.errors else sys.stdout)
    if report.errors:
        kinds = "one kind" if len(report.errors) == 1 else f"{len(report.errors)} kinds"
        raise InputError(
            f"{options.folder}: {report.errors.total()} errors of {kinds}; fix "
            f"them, or drop what is broken with: atat datadir repair {options.folder}"
        )
    print(f"{options.folder}: no errors, {report.warnings.total()} warnings")


def _repair(options: argparse.Namespace) -> None:
    from dataclasses import replace

    from atat.datadir import repair as datadir_repair
    from atat.datadir.check import validate

    audio_options = _audio_options(options)
    plan = datadir_repair.plan(
        options.folder, audio_options, drop_undecodable=options.drop_undecodable
    )
    print(plan)
    changed = datadir_repair.apply(plan, max_lost=options.max_lost)
    print(
        f"changed: {' '.join(changed) or 'nothing'}"
        f"{' (the old files are in .backup)' if changed else ''}"
    )
    # Utterances with broken audio are gone; reading all audio again would find nothing.
    left = validate(options.folder, replace(audio_options, check_audio=False))
    if left.errors:
        print(left)
        raise InputError(
            f"{options.folder}: {left.errors.total()} errors are left that only you "
            "can fix; see above"
        )


def _normalize(options: argparse.Namespace) -> None:
    from atat.datadir.normalize import normalize_dir

    for folder in options.folders:
        changed = normalize_dir(folder)
        print(
            f"{folder}: changed {changed['text']} lines of text, {changed['semantics']} of "
            "semantics"
        )


def _subset(options: argparse.Namespace) -> None:
    from atat.datadir import edit as tools

    choices: dict[str, Callable[[Any], Callable[[DataDir], list[str]]]] = {
        "utterances": tools.evenly,
        "first": tools.first,
        "shortest": lambda number: tools.shortest(number, options.root),
        "speakers": tools.whole_speakers,
        "list": tools.listed,
        "speaker_list": tools.of_listed_speakers,
        "aligned": lambda _: tools.aligned,
    }
    name, value = next(
        (name, value) for name in choices if (value := getattr(options, name)) is not None
    )
    count = tools.subset(options.source, options.target, choices[name](value), root=options.root)
    print(f"{options.target}: {count} utterances")


def _combine(options: argparse.Namespace) -> None:
    from atat.datadir.edit import combine

    left_out = combine(options.target, options.sources)
    for name in left_out:
        print(f"left out: {name}, which some of the dirs do not have")
    _print_info(options.target)


def _split(options: argparse.Namespace) -> None:
    from atat.datadir.edit import split

    for part in split(options.folder, options.parts, per_utterance=options.per_utterance):
        print(part)


def _relocate(options: argparse.Namespace) -> None:
    from atat.datadir.edit import relocate

    count = relocate(options.folder, options.old, options.new)
    print(
        f"{options.folder}: {count} paths changed; check with: "
        f"atat datadir validate {options.folder}"
    )


def _info(options: argparse.Namespace) -> None:
    for folder in options.folders:
        _print_info(folder)


def _overlap(options: argparse.Namespace) -> None:
    from atat.datadir.overlap import overlap

    for test in options.test:
        for train in options.train:
            print(f"{test}: {overlap(train, test)} are also in {train}")


def _print_info(folder: str) -> None:
    from atat.datadir.kaldi_dir import load
    from atat.text import trees

    utterances = load(folder)
    facts = [f"{len(utterances)} utterances", f"{len({u.speaker for u in utterances})} speakers"]
    lengths = [u.duration for u in utterances if u.duration is not None]
    if lengths:
        facts.append(f"{sum(lengths) / 3600:.2f} h")
    words = [word for u in utterances for word in (u.text or "").split()]
    if words:
        facts.append(f"{len(words)} words ({len(set(words))} different)")
    tags = {
        token for u in utterances for token in (u.semantics or "").split() if trees.is_open(token)
    }
    if tags:
        intents = sum(tag.startswith("[IN:") for tag in tags)
        facts.append(f"{intents} intents and {len(tags) - intents} slots")
    print(f"{folder}: {', '.join(facts)}")


def _audio_options(options: argparse.Namespace) -> AudioOptions:
    from atat.datadir.check_audio import AudioOptions

    limits.at_least(0, **{"--nj": options.nj})
    return AudioOptions(
        check_audio=not options.no_audio,
        allow_pipes=options.allow_pipes,
        root=options.root,
        sample_rate=options.sample_rate,
        num_jobs=options.nj,
    )
