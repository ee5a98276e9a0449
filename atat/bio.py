"""Trees as what a sequence labeller learns: one intent, and a BIO tag for each word.

    [IN:PLAY_MUSIC play [SL:SONG silver river ] ]   PLAY_MUSIC: O B-SONG I-SONG

`from_tree` and `to_tree` are each other's inverse for flat trees: an intent at the root, in it
words and slots, in the slots words. Tags can say no more than that; `flatten` keeps of a nested
tree what they can say. `project` carries tags over to what a recogniser heard of the sentence.

Knows nothing of taggers or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from atat.errors import InputError
from atat.metrics import align_words
from atat.semantics import Tree, words as words_of

OUTSIDE = "O"
BEGIN, INSIDE = "B-", "I-"


class NotFlat(InputError):
    """A tree that BIO tags cannot express; says why."""


@dataclass(frozen=True)
class Tagged:
    """A sentence with its intent (without `IN:`) and a tag for each word."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    intent: str

    def __post_init__(self) -> None:
        assert len(self.words) == len(self.tags), (self.words, self.tags)


def from_tree(tree: Tree) -> Tagged:
    """The tags of a flat tree; NotFlat for any other."""
    if not tree.label.startswith("IN:"):
        raise NotFlat(f"the root is {tree.label}, expected an intent (IN:NAME)")
    words: list[str] = []
    tags: list[str] = []
    for child in tree.children:
        if isinstance(child, str):
            words.append(child)
            tags.append(OUTSIDE)
            continue
        if not child.label.startswith("SL:"):
            raise NotFlat(f"{child.label} stands in {tree.label} without a slot around it")
        values = [word for word in child.children if isinstance(word, str)]
        if len(values) < len(child.children):
            raise NotFlat(f"{child.label} holds another tag")
        if not values:
            raise NotFlat(f"{child.label} holds no word")
        name = child.label.removeprefix("SL:")
        words += values
        tags += [BEGIN + name] + [INSIDE + name] * (len(values) - 1)
    return Tagged(tuple(words), tuple(tags), tree.label.removeprefix("IN:"))


def to_tree(tagged: Tagged) -> Tree:
    """The tree that tags stand for; an I that continues nothing begins a slot."""
    children: list[Tree | str] = []
    label, values = "", []
    # One tag more, which closes a slot that is open at the end.
    for word, tag in zip((*tagged.words, ""), (*tagged.tags, OUTSIDE)):
        name = tag[len(BEGIN):] if tag != OUTSIDE else ""
        if label and not (tag.startswith(INSIDE) and name == label):
            children.append(Tree(f"SL:{label}", tuple(values)))
            label, values = "", []
        if name:
            label = name
            values.append(word)
        elif word:
            children.append(word)
    return Tree(f"IN:{tagged.intent}", tuple(children))


def flatten(tree: Tree) -> Tree:
    """The tree with the outermost slots only; the words of what stands inside them stay."""
    return Tree(tree.label, tuple(
        child if isinstance(child, str) or not child.label.startswith("SL:")
        else Tree(child.label, tuple(words_of(child)))
        for child in tree.children
    ))


def project(tagged: Tagged, heard: Sequence[str]) -> Tagged:
    """The tags on the words that a recogniser heard, placed by edit-distance alignment.

    A word that was heard right or as another one keeps its tag, a lost one shortens its slot, and
    an inserted one is in a slot when both its neighbours are in that one. A slot of which no word
    was heard is gone.
    """
    slots = _slot_numbers(tagged.tags)
    places = align_words(tagged.words, heard)
    placed = [None if place is None else slots[place] for place in places]
    for start, end in _runs([place is None for place in places]):
        if 0 < start and end < len(heard) and placed[start - 1] == placed[end]:
            placed[start:end] = [placed[end]] * (end - start)
    tags = []
    for position, slot in enumerate(placed):
        if slot is None:
            tags.append(OUTSIDE)
        else:
            continued = position > 0 and placed[position - 1] == slot
            tags.append((INSIDE if continued else BEGIN) + tagged.tags[slot][len(BEGIN):])
    return Tagged(tuple(heard), tuple(tags), tagged.intent)


def _slot_numbers(tags: Sequence[str]) -> list[int | None]:
    """For each word where its slot begins; None outside of slots."""
    numbers: list[int | None] = []
    for position, tag in enumerate(tags):
        if tag == OUTSIDE:
            numbers.append(None)
        elif tag.startswith(INSIDE) and position and tags[position - 1][len(BEGIN):] == tag[2:]:
            numbers.append(numbers[-1])
        else:
            numbers.append(position)
    return numbers


def _runs(marks: Sequence[bool]) -> list[tuple[int, int]]:
    """(start, end) of each unbroken run of true marks."""
    edges = [False, *marks, False]
    starts = [i for i in range(len(marks)) if marks[i] and not edges[i]]
    ends = [i + 1 for i in range(len(marks)) if marks[i] and not edges[i + 2]]
    return list(zip(starts, ends))
