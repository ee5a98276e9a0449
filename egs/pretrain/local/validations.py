"""How the models did on the dev sets when training ended, as Markdown for RESULTS.md.

    python local/validations.py exp/two_tasks exp/three_tasks --out exp/validations.md

Reads the last of the `validations` in the train.json of each seed. Losses of several models on the
same dev set compare; exact match is that of a greedy search on some utterances.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.scoring.markdown import join, table_text


def rows_of(folder: Path) -> list[list[str]]:
    """Rows for the trainings in a folder, seed1 and so on; one that says "not run" without any."""
    paths = sorted(folder.glob("seed*/train.json"))
    if not paths:
        return [[folder.name, "not run", "", "", ""]]
    return [
        row
        for path in paths
        for row in _rows(
            path, f"{folder.name}, {path.parent.name}" if len(paths) > 1 else folder.name
        )
    ]


def _rows(path: Path, name: str) -> list[list[str]]:
    """A row for each source of the last validation of a training."""
    validations = json.loads(path.read_text(encoding="utf-8"))["validations"]
    if not validations:
        raise InputError(f"{path}: no validation was made; check the key `valid` of its conf")
    last = validations[-1]
    rows = []
    for source in last["sources"]:
        exact = source["exact_match"]
        rows.append(
            [
                name,
                str(last["step"]),
                source["name"],
                f"{source['loss']:.3f}",
                "–" if exact is None else f"{100 * exact:.1f}",
            ]
        )
    return rows


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/validations.py "
        "exp/two_tasks exp/three_tasks --out exp/validations.md",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("folders", type=Path, nargs="+", help="folders of trainings")
    parser.add_argument("--out", type=Path, required=True, help="Markdown file to write")
    options = parser.parse_args(argv)
    header = ["model", "step", "dev set", "loss", "EM, some, greedy"]
    body = [row for folder in options.folders for row in rows_of(folder)]
    with atomic_write(options.out) as stream:
        stream.write(
            join("## Loss on the dev sets at the end of training", table_text(header, body)) + "\n"
        )
    print(f"{options.out}: {len(body)} rows")


if __name__ == "__main__":
    cli.run(main)
