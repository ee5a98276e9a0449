"""YAML files of keys and values, each with what it takes over from another one, its base.

    base: other.yaml     # a path relative to this file
    steps: 100           # instead of the base's
    model: {width: 160}  # the other keys of `model` are the base's

Mappings are merged key by key, at any depth. Everything else takes the place of what the base has
there, lists as a whole and an empty value (null) too. A base may have a base of its own.

Knows nothing of the keys that files hold (`atat.base.config`).
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
    """The merged values, and what each source says by itself, the one that wins first.

    Sources are the files, and whatever a caller lays over them.
    """

    values: dict[str, Any]
    layers: tuple[tuple[str, Mapping[str, Any]], ...]
    files: tuple[str, ...]

    def source_of(self, key: str) -> str:
        """Where the value of a key such as "optim.peak" or "train[0].task" stands.

        All places in which parts of a mapping stand, joined by " over ". For a key that is nowhere,
        where the mapping stands that lacks it.
        """
        while key:
            found = [source for source, own in self.layers if _has(own, key.split("."))]
            if found:
                mapping = isinstance(_value(self.values, key.split(".")), dict)
                return " over ".join(found if mapping else found[:1])
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return " over ".join(self.files)


def read(path: str | Path, *, bases: bool = True) -> Content:
    """What a YAML file says together with its bases; without `bases`, `base` is a key as others.

    Raises InputError for what is no YAML, is no mapping, or has no base that can be read.
    """
    return _read(Path(path), bases, ())


def parse(text: str) -> Any:
    """What YAML text stands for. Raises YAMLError, for all that it cannot mean."""
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
    except RecursionError:  # an alias (*name) within what it stands for
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
    """The mapping that one file holds; InputError with the line where it is no YAML."""
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
