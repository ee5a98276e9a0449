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
from typing import Any, NoReturn

import yaml

from atat.base.errors import InputError

BASE = "base"
_MERGE = "tag:yaml.org,2002:merge"  # the key <<


class TextLoader(yaml.BaseLoader):
    """Every scalar is a text. Refuses what others drop or follow for ever: a key that stands twice
    in a mapping, written alike, and a mapping or list that contains itself."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._around: list[str | None] = []  # anchors of what is being read

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()
        if isinstance(event, yaml.AliasEvent) and event.anchor in self._around:
            self._refuse(f"what *{event.anchor} names contains itself; write it out", event)
        self._around.append(event.anchor)
        node = super().compose_node(parent, index)
        self._around.pop()
        if isinstance(node, yaml.MappingNode):
            self._check_keys(node)
        return node

    def _check_keys(self, node: yaml.MappingNode) -> None:
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            name = key.tag, key.value
            if name in lines:
                problem = f"key `{key.value}` stands here again, first in line {lines[name]}"
                self._refuse(f"{problem}; keep one of them", key)
            lines[name] = key.start_mark.line + 1

    def _refuse(self, problem: str, where: Any) -> NoReturn:
        raise yaml.composer.ComposerError(None, None, problem, where.start_mark)


class _Loader(TextLoader, yaml.SafeLoader):
    """The same, with YAML's types."""


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
    """The value of YAML text. Raises YAMLError for any text without a value, and where `_Loader`
    says so."""
    try:
        return yaml.load(text, Loader=_Loader)
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
    merged = merge(beneath.values, own)
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
