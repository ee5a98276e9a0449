"""Copies of training confs whose data lie in another folder, or with other values of some keys.

    atat conf_copy conf/*.yaml --out exp/conf --move data/train /corpora/data/all
    atat conf_copy conf/e2e.yaml --out exp/conf --move data data_mini --set steps=6

Values are changed, never text: a folder may have any name, with blanks, quotes or `#` in it.
Comments are not copied. Knows nothing of the keys of a conf.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from atat.base import config
from atat.base.errors import InputError
from atat.base.files import atomic_write


def moved(value: Any, old: str, new: str) -> Any:
    """A YAML value in which every path below the folder `old` is below `new`."""
    if isinstance(value, dict):
        return {key: moved(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [moved(item, old, new) for item in value]
    if isinstance(value, str) and value.startswith(f"{old}/"):
        return new + value[len(old) :]
    return value


def copy_path(path: Path, out: Path) -> Path:
    """Where the copy of a conf goes; InputError where that is the conf itself."""
    copy = out / path.name
    if copy.resolve() == path.resolve():
        raise InputError(f"--out {out} is the folder of {path}; name another one")
    return copy


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="atat conf_copy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("confs", nargs="+", type=Path, help="training confs, conf/*.yaml")
    parser.add_argument("--out", type=Path, required=True, help="folder for the copies")
    parser.add_argument(
        "--move",
        nargs=2,
        required=True,
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
    options = parser.parse_args(argv)
    for path in options.confs:
        copy = copy_path(path, options.out)
        values = moved(config.read_yaml(path, options.set), *options.move)
        with atomic_write(copy) as stream:
            yaml.safe_dump(values, stream, sort_keys=False, allow_unicode=True)
