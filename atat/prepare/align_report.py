"""The table of boundary errors: how far the word boundaries of aligners lie from a reference.

    atat align report --reference data/test/ctm pocketsphinx=exp/ps.ctm \
        ctc=exp/ctc.ctm --out exp/alignment.md

Writes the table as markdown and, beside it, all figures as JSON. Joins on utterance id; knows
nothing of audio or of aligners.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.provenance import provenance
from atat.datadir.ctm import Word, read_ctm
from atat.datadir.word_boundaries import BoundaryErrors, Spread, boundary_errors

ENDINGS = (".md", ".json")
COLUMNS = ("mean", "median", "≤ 20 ms", "≤ 50 ms", "≤ 100 ms")


def report(
    reference: Mapping[str, Sequence[Word]],
    hypotheses: Mapping[str, Mapping[str, Sequence[Word]]],
) -> dict[str, BoundaryErrors]:
    """Name of each alignment to its errors against the reference."""
    return {name: boundary_errors(reference, words) for name, words in hypotheses.items()}


def markdown(errors: Mapping[str, BoundaryErrors]) -> str:
    """The table; one row for starts and one for ends of each alignment, times in ms."""
    lines = [
        f"| alignment | boundary | {' | '.join(COLUMNS)} | words matched | missing | extra |",
        "|---|---|" + "---:|" * (len(COLUMNS) + 3),
    ]
    for name, error in errors.items():
        counts = f"{error.matched} | {error.missing} | {error.extra}"
        lines.append(f"| {name} | start | {_cells(error.starts)} | {counts} |")
        lines.append(f"| | end | {_cells(error.ends)} | | | |")
    return "\n".join(lines) + "\n"


def _cells(spread: Spread) -> str:
    if math.isnan(spread.mean):
        return " | ".join(["–"] * len(COLUMNS))
    shares = [f"{100 * share:.1f} %" for share in spread.within.values()]
    return " | ".join([f"{1000 * spread.mean:.0f} ms", f"{1000 * spread.median:.0f} ms", *shares])


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the `report` command."""
    parser.add_argument("--reference", type=Path, required=True, help="ctm taken as the truth")
    parser.add_argument("ctms", nargs="+", metavar="NAME=CTM", help="alignments to measure")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="the table, with or without its ending; .md and .json are written",
    )


def main(options: argparse.Namespace) -> None:
    """Write and print the table."""
    hypotheses = {}
    for argument in options.ctms:
        name, equals, path = argument.partition("=")
        if not (name and equals and path):
            raise InputError(f"{argument!r}: expected NAME=CTM, such as pocketsphinx=data/ctm")
        if name in hypotheses:
            raise InputError(f"{argument!r}: {name} is named twice; give each ctm its own name")
        hypotheses[name] = read_ctm(path)
    errors = report(read_ctm(options.reference), hypotheses)
    table = markdown(errors)
    out = options.out.with_suffix("") if options.out.suffix in ENDINGS else options.out
    with atomic_write(out.with_name(out.name + ".md")) as stream:
        stream.write(table)
    content = {
        "reference": str(options.reference),
        "alignments": {name: _finite(asdict(error)) for name, error in errors.items()},
        "provenance": provenance(),
    }
    with atomic_write(out.with_name(out.name + ".json")) as stream:
        json.dump(content, stream, indent=2, ensure_ascii=False)
    print(table, end="")


def _finite(value: object) -> object:
    """NaN, which JSON does not have, as null."""
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
