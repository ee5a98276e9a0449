"""Copies of training confs with data in another folder, or with other values of some keys.

    atat conf_copy conf/*.yaml --out exp/conf --move data/train /corpora/data/all
    atat conf_copy conf/e2e.yaml --out exp/conf --move data data_mini --set steps=6
    atat conf_copy conf/{e2e,atat}.yaml --out exp/conf/3 --fill fold data/folds/3
    atat conf_copy conf/*.yaml --out exp/conf --encoder moonshine-tiny

With `--fit`, sources whose data dirs are missing are left out (`atat.prepare.conf_fit`); with
`--encoder` the models read the states of that speech encoder (`atat.prepare.conf_encoder`).

Values are changed, never text: a folder may have any name, with blanks, quotes or `#` in it.
A copy has all values of the conf and of its bases (`atat.base.yaml_file`), so it needs none.
Comments are not copied. Knows nothing of the keys of a conf.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from atat.base import cli, config
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.yaml_file import Content
from atat.prepare import conf_encoder, conf_fit


def moved(value: Any, old: str, new: str) -> Any:
    """A YAML value in which every path below the folder `old` is below `new`."""
    start = f"{old}/"
    return _changed(value, lambda text: new + text[len(old) :] if text.startswith(start) else text)


def filled(value: Any, name: str, text: str) -> Any:
    """A YAML value with every {name} in it replaced by `text`."""
    return _changed(value, lambda found: found.replace(f"{{{name}}}", text))


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    """A YAML value with its texts changed, at any depth."""
    if isinstance(value, dict):
        return {key: _changed(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_changed(item, change) for item in value]
    return change(value) if isinstance(value, str) else value


def copy_path(path: Path, out: Path) -> Path:
    """The path of the copy of a conf; InputError if that is the conf itself."""
    copy = out / path.name
    if copy.resolve() == path.resolve():
        raise InputError(f"--out {out} is the folder of {path}; name another one")
    return copy


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every command that writes copies of confs."""
    parser.add_argument("confs", nargs="+", type=Path, help="training confs, conf/*.yaml")
    parser.add_argument("--out", type=Path, required=True, help="folder for the copies")
    parser.add_argument(
        "--move",
        nargs=2,
        metavar=("OLD", "NEW"),
        help="paths below the folder OLD are below NEW in the copies",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value for a key; may be repeated",
    )
    parser.add_argument(
        "--encoder",
        metavar="NAME",
        help="models read the states of this speech encoder instead of filterbanks, and time masks "
        "last as long as before; --set comes after it",
    )


def read(path: Path, options: argparse.Namespace) -> Content:
    """A conf with what `--encoder`, `--set` and `--move` change in it."""
    changes = list(options.set)
    if options.encoder:
        changes = [*conf_encoder.changes(config.read_yaml(path), options.encoder), *changes]
    content = config.read(path, changes)
    values = moved(content.values, *options.move) if options.move else content.values
    return replace(content, values=values)


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = cli.Parser(
        prog="atat conf_copy",
        description=cli.guide(
            "Copy training confs, with other values of some keys or data in another folder. "
            "Values are changed, never text: a folder may have any name. A copy holds all "
            "values of the conf and of its bases; comments are not copied.",
            "atat conf_copy conf/*.yaml --out exp/conf --move data/train /corpora/data/all",
            "atat conf_copy conf/e2e.yaml --out exp/conf --move data data_mini --set steps=6",
            "atat conf_copy conf/{e2e,atat}.yaml --out exp/conf/3 --fill fold data/folds/3",
            "atat conf_copy conf/*.yaml --out exp/conf --encoder moonshine-tiny",
            reads="training confs (YAML), the files that they name as their base, and the encoder.",
            writes="a conf of the same name in OUT for each of them.",
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    parser.add_argument(
        "--fill",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "TEXT"),
        help="TEXT takes the place of {NAME}; may be repeated",
    )
    parser.add_argument(
        "--fit",
        action="store_true",
        help="leave out sources whose data dir lacks what their task reads",
    )
    options = parser.parse_args(argv)
    for path in options.confs:
        copy = copy_path(path, options.out)
        values: Any = read(path, options).values
        for name, text in options.fill:
            values = filled(values, name, text)
        if options.fit:
            values = conf_fit.fitted(values, str(path))
        with atomic_write(copy) as stream:
            yaml.safe_dump(values, stream, sort_keys=False, allow_unicode=True)
