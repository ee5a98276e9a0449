"""Trees from an intent and slots: the values of the slots are located in the text.

    intent    play music
    slots     song=silver river; artist=maria bennett
    text      Play Silver River by Maria Bennett
    tree      [IN:PLAY_MUSIC play [SL:SONG silver river ] by [SL:ARTIST maria bennett ] ]

Slots are `name=value` separated by semicolons, or a JSON object, {"song": "silver river"}, where
a list of values is a slot that occurs several times. Text and values are normalised
(`atat.text.normalize`) before they are compared, so 9:30 is found in "at 9:30". Without a text the
tree holds the slots alone, in their order. Slots cannot nest here; write trees for that.

Knows nothing of tables and files: the caller says which row a mistake is in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from atat.base.errors import InputError
from atat.text import trees
from atat.text.normalize import normalize
from atat.text.trees import Tree

Slot = tuple[str, str]  # name and value


@dataclass(frozen=True)
class Located:
    """A tree, and the slots whose value occurs more than once in the text: the first was taken."""

    tree: Tree
    ambiguous: tuple[str, ...] = ()


def build(intent: str, slots: Sequence[Slot], text: str | None) -> Located:
    """The tree of an intent whose slots occur in a normalised text; None: there is no text.

    Raises InputError for a value that is not in the text and for a name without letters.
    """
    root = f"IN:{label(intent, 'intent')}"
    labels = [f"SL:{label(name, 'slot')}" for name, _ in slots]
    values = [normalize(value).split() for _, value in slots]
    for (name, value), spoken in zip(slots, values):
        if not spoken:
            raise InputError(
                f"the slot {name!r} has the value {value!r}, which has no words; "
                "leave a slot out where it has no value"
            )
    if text is None:
        return Located(Tree(root, tuple(map(_node, labels, values))))
    words = text.split()
    starts, ambiguous = _locate(words, slots, values)
    children: list[Tree | str] = []
    position = 0
    for number in sorted(range(len(slots)), key=starts.__getitem__):
        children += words[position : starts[number]]
        children.append(_node(labels[number], values[number]))
        position = starts[number] + len(values[number])
    return Located(Tree(root, (*children, *words[position:])), tuple(ambiguous))


def label(name: str, kind: str) -> str:
    """A name as written in a tag: "play music" and playMusic are PLAY_MUSIC; `kind` is for the
    message."""
    found = trees.tag_name(re.sub(r"^(IN|SL):", "", name.strip())).strip("_")
    if not found:
        raise InputError(f"the {kind} {name!r} has no letters; give it a name")
    return found


def parse_slots(cell: str) -> list[Slot]:
    """The slots written in a cell; InputError says what was found and expected."""
    if cell.lstrip().startswith(("{", "[")):
        return _parse_json(cell)
    slots = []
    for part in cell.split(";"):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not part.strip():
            continue
        if not (name and equals and value):
            raise InputError(
                f"found the slot {part.strip()!r}; expected name=value; name=value, "
                'or a JSON object {"name": "value"}'
            )
        slots.append((name, value))
    return slots


def _parse_json(cell: str) -> list[Slot]:
    expected = 'expected {"name": "value", …}, or {"name": ["value", "value"]}'
    try:
        found = json.loads(cell)
    except ValueError as error:
        raise InputError(f"the slots are not JSON ({error}); {expected}") from None
    if not isinstance(found, dict):
        raise InputError(f"found {cell!r} as slots; {expected}")
    slots = []
    for name, value in found.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:  # a slot that this utterance does not have
                slots.append((name, _plain(name, one, expected)))
    return slots


def _plain(name: str, value: Any, expected: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise InputError(f"the slot {name!r} has the value {value!r}; {expected}")
    return str(value)


def _node(tag: str, words: Sequence[str]) -> Tree:
    return Tree(tag, tuple(words))


def _locate(
    words: Sequence[str], slots: Sequence[Slot], values: Sequence[Sequence[str]]
) -> tuple[list[int], list[str]]:
    """Where each value begins, and the names of slots that could also begin later.

    Long values are placed first, so that "york" does not break up "new york".
    """
    starts = [-1] * len(slots)
    ambiguous = []
    taken = [False] * len(words)
    for number in sorted(range(len(slots)), key=lambda number: -len(values[number])):
        size = len(values[number])
        free = [
            start
            for start in _places(words, values[number])
            if not any(taken[start : start + size])
        ]
        if not free:
            name, value = slots[number]
            raise InputError(
                f"the value {value!r} of the slot {name!r} is not in the text {' '.join(words)!r}"
                " (or another slot has taken its words); write it as it is said there"
            )
        rivals = [
            other
            for other, start in enumerate(starts)
            if start < 0 and values[other] == values[number]
        ]
        if len(free) > len(rivals):  # rivals include the slot itself
            ambiguous.append(slots[number][0])
        starts[number] = free[0]
        taken[free[0] : free[0] + size] = [True] * size
    return starts, ambiguous


def _places(words: Sequence[str], value: Sequence[str]) -> list[int]:
    """All positions at which a value begins."""
    return [
        start
        for start in range(len(words) - len(value) + 1)
        if list(words[start : start + len(value)]) == list(value)
    ]
