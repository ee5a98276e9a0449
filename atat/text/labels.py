"""What the outputs of a classifier mean: the words of frames, and the fields of a command.

A command is one class for its intent and one for each slot, `absent` among them; written as a tree
it is scored as any other:

    [IN:INCREASE [SL:OBJECT heat ] [SL:LOCATION kitchen ] ]

Words outside of slots are not of it. Stored in a packed model as labels.json.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from atat.base import digests
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.json_file import read_object
from atat.text import trees
from atat.text.trees import Tree

FILE = "labels.json"
EMPTY, EMPTY_ID = "", 0  # the word where nothing is said
ABSENT = ""  # the value of a slot that a command does not have
INTENT = "IN"  # the name of the first field
UNKNOWN = -100  # a label that is not among the outputs: ignored by the loss

Command = dict[str, str]  # field -> value; a slot that is absent is left out


@dataclass(frozen=True)
class Labels:
    """Words, the empty one first, and fields with their values, the intent first."""

    words: tuple[str, ...] = ()
    fields: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def word_ids(self) -> dict[str, int]:
        """The number of each word."""
        return {word: number for number, word in enumerate(self.words)}

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of values of each field."""
        return tuple(len(values) for values in self.fields.values())

    def classes(self, tree: str) -> list[int]:
        """The value of each field, UNKNOWN for one that is not among them.

        Raises InputError for a tree that is no flat command.
        """
        command = command_of(tree)
        return [
            values.index(value) if (value := command.get(name, ABSENT)) in values else UNKNOWN
            for name, values in self.fields.items()
        ]

    def is_known(self, tree: str) -> bool:
        """Whether the outputs can say all of a command."""
        command = command_of(tree)
        return command.keys() <= self.fields.keys() and UNKNOWN not in self.classes(tree)

    def can_say(self, tree: str) -> bool:
        """Whether a command comes out as it is: the outputs know all of it, and its slots are in
        their order."""
        if not self.is_known(tree):
            return False
        return self.tree(self.classes(tree)) == trees.to_string(root_of(tree))

    def tree(self, classes: Sequence[int]) -> str:
        """The command with these values of the fields, as a tree."""
        intent, *slots = zip(self.fields, classes, strict=True)
        children = [
            Tree(f"SL:{name}", tuple(value.split()))
            for name, number in slots
            if (value := self.fields[name][number]) != ABSENT
        ]
        return trees.to_string(Tree(f"IN:{self.fields[INTENT][intent[1]]}", tuple(children)))

    def identity(self) -> str:
        """A digest of all labels."""
        return digests.of_text(json.dumps([self.words, list(self.fields.items())]))

    def write(self, folder: Path) -> None:
        """Write labels.json."""
        with atomic_write(folder / FILE) as stream:
            json.dump({"words": self.words, "fields": self.fields}, stream, indent=0)

    @classmethod
    def read(cls, folder: Path) -> Labels:
        """Read labels.json; InputError if it is damaged."""
        fix = "copy the packed model again, or pack it again from its training"
        values = read_object(folder / FILE, fix)
        try:
            fields = {str(name): tuple(map(str, found)) for name, found in values["fields"].items()}
            return cls(tuple(map(str, values["words"])), fields)
        except (KeyError, TypeError, AttributeError):
            raise InputError(f"{folder / FILE}: expected words and fields; {fix}") from None


def root_of(tree: str) -> Tree:
    """A tree without the words outside of slots. Raises InputError if it is none of an intent."""
    root = trees.drop_words_outside_slots(trees.parse(tree))
    if not root.label.startswith("IN:"):
        raise InputError(f"{root.label} is at the root; expected an intent")
    return root


def command_of(tree: str) -> Command:
    """The intent and the slots of a tree, without the words outside of slots.

    Raises InputError for a slot with an intent in it, an empty one, two of one label, and SL:IN.
    """
    root = root_of(tree)
    command = {INTENT: root.label.removeprefix("IN:")}
    for slot in root.children:
        assert isinstance(slot, Tree)  # words are dropped
        name = slot.label.removeprefix("SL:")
        if any(isinstance(child, Tree) for child in slot.children) or slot.label == name:
            raise InputError(f"{slot.label} is not a plain slot; a classifier knows flat trees")
        if not slot.children:
            raise InputError(f"{slot.label} is empty; expected a value")
        if name == INTENT:
            raise InputError(f"{slot.label}: the intent has this name; give the slot another one")
        if name in command:
            raise InputError(f"two slots {slot.label}; a classifier gives each slot one value")
        command[name] = " ".join(str(word) for word in slot.children)
    return command


def fields_of(tree_of_each: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The fields of commands with all their values; slots in the order in which trees have them."""
    values: dict[str, set[str]] = {INTENT: set()}
    places: dict[str, list[int]] = {}
    commands = [command_of(tree) for tree in tree_of_each]
    for command in commands:
        for place, (name, value) in enumerate(command.items()):
            values.setdefault(name, set()).add(value)
            places.setdefault(name, []).append(place)
    for name, found in values.items():
        if any(name not in command for command in commands):
            found.add(ABSENT)
    mean = {name: sum(at) / len(at) for name, at in places.items()}
    return {name: tuple(sorted(values[name])) for name in sorted(mean, key=lambda n: (mean[n], n))}


def words_of(spoken: Iterable[str], size: int) -> tuple[str, ...]:
    """The empty word and the most frequent of the others, `size` together."""
    counts = Counter(spoken)
    ordered = sorted(counts, key=lambda word: (-counts[word], word))
    return (EMPTY, *ordered[: size - 1])
