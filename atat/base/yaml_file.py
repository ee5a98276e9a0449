"""YAML files of keys and values, merged with the file they are based on.

    base: other.yaml     # a path relative to this file
    steps: 100           # instead of the base's
    model: {width: 160}  # the other keys of `model` are the base's

Mappings are merged key by key, at any depth. Everything else replaces the value of the base, also
lists (as a whole) and an empty value (null). A base may have a base of its own.

Knows nothing of the keys in the files (`atat.base.config`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from atat.base.errors import InputError

BASE = "base"


@dataclass(frozen=True)
class Content:
    """The merged values, and the values of each source alone; the one that wins comes first.

    Sources are the files, and overrides of the caller.
    """

    values: dict[str, Any]
    layers: tuple[tuple[str, Mapping[str, Any]], ...]
    files: tuple[str, ...]

    def source_of(self, key: str) -> str:
        """The source that holds the value of a key such as "optim.peak" or "train[0].task".

        For a mapping, all sources that hold parts of it, joined by " over ". For a missing key,
        the source of the mapping that lacks it.
        """
        while key:
            found = [source for source, own in self.layers if _has(own, key.split("."))]
            if found:
                mapping = isinstance(_value(self.values, key.split(".")), dict)
                return " over ".join(found if mapping else found[:1])
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return " over ".join(self.files)


def read(path: str | Path, *, bases: bool = True) -> Content:
    """A YAML file merged with its bases; without `bases`, `base` is a key like any other.

    Raises InputError if it is not YAML, not a mapping, or its base cannot be read.
    """
    return _read(Path(path), bases, ())


def parse(text: str) -> Any:
    """The value of YAML text. Raises YAMLError for any text without a value."""
    try:
        return yaml.safe_load(text)
    except (ValueError, RecursionError) as error:  # a thirteenth month, a number of 5000 digits
        raise yaml.YAMLError(str(error)) from None


def merge(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`own` over `base`, as the top of this module says; both stay as they are."""
    merged = dict(base)
    for key, value in own.items():
        beneath = merged.get(key)
        if isinstance(value, dict) and isinstance(beneath, dict):
            merged[key] = merge(beneath, value)
        else:
            merged[key] = value
    return merged


def _read(path: Path, bases: bool, readers: tuple[Path, ...]) -> Content:
    """`readers`: the files that led here, each by its `base`."""
    own = _read_mapping(path)
    if not bases or BASE not in own:
        return Content(dict(own), ((str(path), own),), (str(path),))
    base = _base_path(path, own.pop(BASE), (*readers, path))
    beneath = _read(base, bases, (*readers, path))
    try:
        merged = merge(beneath.values, own)
    except RecursionError:  # an alias (*name) inside the value it names
        raise InputError(
            f"{path}: a mapping contains itself, here and in its base {base}; write it out"
        ) from None
    return Content(merged, ((str(path), own), *beneath.layers), (str(path), *beneath.files))


def _base_path(path: Path, value: Any, readers: tuple[Path, ...]) -> Path:
    """The file that `value`, the key `base` of `path`, names."""
    if not isinstance(value, str) or not value:
        raise InputError(
            f"{path}: key `{BASE}` is {value!r} ({type(value).__name__}); expected the path of a "
            "YAML file, relative to this one, whose values this file changes"
        )
    base = Path(os.path.normpath(path.parent / value))
    if not base.is_file():
        found = "is a folder" if base.is_dir() else "does not exist"
        raise InputError(
            f"{path}: its base {base} {found}; expected a YAML file, named relative to the folder "
            f"of {path.name}"
        )
    if base.resolve() in [reader.resolve() for reader in readers]:
        circle = " -> ".join(map(str, (*readers, base)))
        raise InputError(
            f"{path}: its base {base} is itself based on {path.name} ({circle}); remove the key "
            f"`{BASE}` from one of them"
        )
    return base


def _read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in one file; InputError with the line if it is not YAML."""
    try:
        values = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such configuration file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; expected a YAML file, perhaps one in it") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}:{line}: byte {error.object[error.start]:#04x} is not UTF-8; if this is a YAML "
            "file, convert it with: iconv -t utf-8"
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise InputError(f"{path}{place}: not valid YAML: {problem}") from None
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected `key: value` lines, found a {type(values).__name__}")
    return values


def _has(values: Any, names: list[str]) -> bool:
    """Whether nested mappings have a value at this path of keys."""
    parent = _value(values, names[:-1])
    return isinstance(parent, dict) and names[-1] in parent


def _value(values: Any, names: list[str]) -> Any:
    """The value there; None where there is none."""
    for name in names:
        values = values.get(name) if isinstance(values, dict) else None
    return values
