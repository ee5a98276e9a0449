"""The classes that a finetuned model tells apart: whole commands, or intents alone.

A class is a tree without the words outside of its slots, such as `[IN:LOUDER [SL:WHERE bath ] ]`,
or `[IN:LOUDER ]` if only the intent is told. Stored in a packed model as classes.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from atat.base import digests
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.json_file import read_object
from atat.systems.stbert.masking import IGNORED
from atat.text import trees
from atat.text.labels import root_of
from atat.text.trees import Tree

FILE = "classes.json"
Kind = Literal["commands", "intents"]


@dataclass(frozen=True)
class Classes:
    """All classes of a training set, in the order of their names."""

    kind: Kind = "commands"
    names: tuple[str, ...] = ()

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    def of(self, tree: str) -> int:
        """The class of a tree; IGNORED if it is none of them. InputError for an invalid tree."""
        return self._numbers.get(name_of(tree, self.kind), IGNORED)

    @classmethod
    def of_trees(cls, found: Iterable[str], kind: Kind) -> Classes:
        """The classes that trees have."""
        return cls(kind, tuple(sorted({name_of(tree, kind) for tree in found})))

    def identity(self) -> str:
        """A digest of all."""
        return digests.of_text(json.dumps([self.kind, self.names]))

    def write(self, folder: Path) -> None:
        """Write classes.json."""
        with atomic_write(folder / FILE) as stream:
            json.dump({"kind": self.kind, "names": self.names}, stream, indent=0)

    @classmethod
    def read(cls, folder: Path) -> Classes:
        """Read classes.json; InputError if it is damaged."""
        fix = "copy the packed model again, or pack it again from its training"
        values = read_object(folder / FILE, fix)
        names = values.get("names")
        if not isinstance(names, list) or values.get("kind") not in ("commands", "intents"):
            raise InputError(f"{folder / FILE}: expected kind and names; {fix}")
        return cls(values["kind"], tuple(map(str, names)))


def name_of(tree: str, kind: Kind) -> str:
    """The name of a tree's class. Raises InputError for an invalid tree, and one of a slot."""
    root = root_of(tree)
    return trees.to_string(Tree(root.label) if kind == "intents" else root)
