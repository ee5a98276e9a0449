"""Copies of training confs with data in another folder, or with other values of some keys.

    atat conf_copy conf/*.yaml --out exp/conf --move data/train /corpora/data/all
    atat conf_copy conf/e2e.yaml --out exp/conf --move data data_mini --set steps=6
    atat conf_copy conf/{e2e,atat}.yaml --out exp/conf/3 --fill fold data/folds/3
    atat conf_copy conf/*.yaml --out exp/conf --encoder moonshine-tiny

With `--fit`, sources whose data dirs are missing are left out (`atat.prepare.conf_fit`); with
`--encoder` the models read the states of that speech encoder (`atat.prepare.conf_encoder`).

Values are changed, never text: a folder may have any name, with blanks, quotes or `#` in it, or
that of a task. A copy has all values of the conf and of its bases (`atat.base.yaml_file`), so it
needs none. Comments are not copied. Of the keys of a conf it knows which are never folders.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from atat.base import cli, config
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.yaml_file import Content
from atat.prepare import conf_encoder, conf_fit

# Keys whose values are names, which a folder may have, too.
NAMES = frozenset(
    "asr classes embeddings espnet_name features fixed kind layers_read loss objectives part "
    "positions precision reads schedule select system task unfreeze units".split()
)


def moved(value: Any, old: str, new: str) -> Any:
    """A YAML value in which the folder `old` is `new`, and every path below it below `new`.

    What a key of `NAMES` holds is not the folder, though it may be called so.
    """
    old, new = old.rstrip("/"), new.rstrip("/")

    def change(text: str, key: str) -> str:
        is_in = text.startswith(f"{old}/") or (text == old and key not in NAMES)
        return new + text[len(old) :] if is_in else text

    return _changed(value, change)


def filled(value: Any, name: str, text: str) -> Any:
    """A YAML value with every {name} in it replaced by `text`."""
    return _changed(value, lambda found, _: found.replace(f"{{{name}}}", text))


def _changed(value: Any, change: Callable[[str, str], str], key: str = "") -> Any:
    """A YAML value with its texts changed, at any depth; change: a text and its key -> a text."""
    if isinstance(value, dict):
        return {name: _changed(item, change, str(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_changed(item, change, key) for item in value]
    return change(value, key) if isinstance(value, str) else value


def read(options: argparse.Namespace) -> dict[Path, Content]:
    """The path of the copy of each conf, and what it holds after the changes of `add_options`.

    Raises InputError, before anything is written, for a conf whose copy would be itself or that of
    another one, and if `--move` finds nothing to move in any of them.
    """
    found: dict[Path, Content] = {}
    for path in options.confs:
        copy = options.out / path.name
        if copy.resolve() == path.resolve():
            raise InputError(f"--out {options.out} is the folder of {path}; name another one")
        if copy in found:
            raise InputError(
                f"{path}: another conf is called {path.name}, too, and both would be {copy}; "
                "copy them in two calls with other --out"
            )
        found[copy] = _read(path, options)
    return _moved(found, *options.move) if options.move else found


def _moved(contents: Mapping[Path, Content], old: str, new: str) -> dict[Path, Content]:
    """Confs with what lies in the folder `old` in `new`; InputError if no path does."""
    other = f"{old}?"  # than OLD, which NEW may be
    if all(moved(one.values, old, other) == one.values for one in contents.values()):
        names = ", ".join(copy.name for copy in contents)
        raise InputError(
            f"--move {old} {new}: no path in {names} is {old} or below it; name the folder as they "
            "do, or leave out --move"
        )
    return {
        copy: replace(one, values=moved(one.values, old, new)) for copy, one in contents.items()
    }


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every command that writes copies of confs."""
    parser.add_argument("confs", nargs="+", type=Path, help="training confs, conf/*.yaml")
    parser.add_argument("--out", type=Path, required=True, help="folder for the copies")
    parser.add_argument(
        "--move",
        nargs=2,
        metavar=("OLD", "NEW"),
        help="the folder OLD is NEW in the copies, and what is below OLD is below NEW",
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


def _read(path: Path, options: argparse.Namespace) -> Content:
    """A conf with what `--encoder` and `--set` change in it."""
    changes = list(options.set)
    if options.encoder:
        changes = [*conf_encoder.changes(config.read(path), options.encoder), *changes]
    return config.read(path, changes)


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
    for path, (copy, content) in zip(options.confs, read(options).items()):
        values: Any = content.values
        for name, text in options.fill:
            values = filled(values, name, text)
        if options.fit:
            values = conf_fit.fitted(values, str(path))
        with atomic_write(copy) as stream:
            yaml.safe_dump(values, stream, sort_keys=False, allow_unicode=True)
