"""Trees as targets of a sequence labeller: one intent, and a BIO tag for each word.

    [IN:PLAY play [SL:SONG silver river ] ]    PLAY: O, B-SONG, I-SONG

If tags nest, a word has one for each level, joined to one label (as in Straková et al. 2019):

    [IN:PLAY play [SL:SONG [IN:FIND songs by [SL:ARTIST nora ] ] ] ]
    PLAY: O, B-SONG B-FIND, I-SONG I-FIND, I-SONG I-FIND B-ARTIST

`to_tree` is the inverse of `from_tree` for every tree in which intents and slots alternate and
hold at least one word; flat trees have plain BIO. `project` transfers tags to a recogniser's
hypothesis of the sentence.

Knows nothing of taggers or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from atat.base.errors import InputError
from atat.text.trees import Tree
from atat.text.word_alignment import align_words

OUTSIDE = "O"
BEGIN, INSIDE = "B-", "I-"
PREFIXES = ("IN:", "SL:")  # of even levels (the root is 0), of odd ones


class NotTaggable(InputError):
    """A tree that BIO tags cannot express; says why."""


@dataclass(frozen=True)
class Tagged:
    """A sentence with its intent (without `IN:`) and a tag for each word."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    intent: str

    def __post_init__(self) -> None:
        assert len(self.words) == len(self.tags), (self.words, self.tags)

    @property
    def is_nested(self) -> bool:
        return any(" " in tag for tag in self.tags)


@dataclass(frozen=True, eq=False)
class _Node:
    """An intent or slot below the root; compared by identity."""

    label: str  # without prefix


_Path = tuple[_Node, ...]  # from below the root down to a word


def from_tree(tree: Tree) -> Tagged:
    """The tags of a tree; raises NotTaggable if they cannot express it."""
    words: list[str] = []
    paths: list[_Path] = []
    _check(tree, level=0)
    pending: list[tuple[Tree | str, _Path]] = [(child, ()) for child in reversed(tree.children)]
    while pending:
        item, path = pending.pop()
        if isinstance(item, str):
            words.append(item)
            paths.append(path)
            continue
        _check(item, level=len(path) + 1)
        path = (*path, _Node(item.label[3:]))
        pending += [(child, path) for child in reversed(item.children)]
    return Tagged(tuple(words), _tags(paths), tree.label[3:])


def to_tree(tagged: Tagged) -> Tree:
    """The tree that tags stand for; an I that continues nothing counts as a B."""
    root: list[Tree | str] = []
    open_nodes: list[tuple[_Node, list[Tree | str]]] = []

    def close(depth: int) -> None:
        while len(open_nodes) > depth:
            node, children = open_nodes.pop()
            label = PREFIXES[(len(open_nodes) + 1) % 2] + node.label
            (open_nodes[-1][1] if open_nodes else root).append(Tree(label, tuple(children)))

    for word, path in zip(tagged.words, _paths(tagged.tags)):
        close(_common([node for node, _ in open_nodes], path))
        open_nodes += [(node, []) for node in path[len(open_nodes) :]]
        (open_nodes[-1][1] if open_nodes else root).append(word)
    close(0)
    return Tree(f"IN:{tagged.intent}", tuple(root))


def project(tagged: Tagged, heard: Sequence[str]) -> Tagged:
    """The tags transferred to a recogniser's words by edit-distance alignment.

    A correct or substituted word keeps its tags, a deleted one shortens its slot, and an inserted
    one is in a slot if both its neighbours are in it. A slot whose words were all deleted is gone.
    """
    said = _paths(tagged.tags)
    places = align_words(tagged.words, heard)
    paths: list[_Path] = [() if place is None else said[place] for place in places]
    for start, end in _runs([place is None for place in places]):
        if 0 < start and end < len(heard):
            before, after = paths[start - 1], paths[end]
            paths[start:end] = [before[: _common(before, after)]] * (end - start)
    return Tagged(tuple(heard), _tags(paths), tagged.intent)


def _check(tree: Tree, *, level: int) -> None:
    prefix = PREFIXES[level % 2]
    if not tree.label.startswith(prefix):
        where = "the root" if level == 0 else f"level {level} below it"
        raise NotTaggable(
            f"{where} is {tree.label}, expected {prefix}NAME: intents and slots must alternate"
        )
    if level and not tree.children:
        raise NotTaggable(f"{tree.label} holds no word")


def _tags(paths: Sequence[_Path]) -> tuple[str, ...]:
    """The tag of each word from the nodes above it."""
    tags = []
    before: _Path = ()
    for path in paths:
        continued = _common(before, path)
        levels = [
            (INSIDE if level < continued else BEGIN) + node.label for level, node in enumerate(path)
        ]
        tags.append(" ".join(levels) or OUTSIDE)
        before = path
    return tuple(tags)


def _paths(tags: Sequence[str]) -> list[_Path]:
    """The nodes above each word from its tag; neighbouring words share their nodes."""
    paths: list[_Path] = []
    before: _Path = ()
    for tag in tags:
        levels = [] if tag == OUTSIDE else tag.split(" ")
        continued = 0
        for level, node in zip(levels, before):
            if level != INSIDE + node.label:
                break
            continued += 1
        new = [_Node(level[len(BEGIN) :]) for level in levels[continued:]]
        before = (*before[:continued], *new)
        paths.append(before)
    return paths


def _common(one: Sequence[_Node], other: Sequence[_Node]) -> int:
    """Number of nodes that two paths share, from the top."""
    count = 0
    while count < min(len(one), len(other)) and one[count] is other[count]:
        count += 1
    return count


def _runs(marks: Sequence[bool]) -> list[tuple[int, int]]:
    """(start, end) of each unbroken run of true marks."""
    edges = [False, *marks, False]
    starts = [i for i in range(len(marks)) if marks[i] and not edges[i]]
    ends = [i + 1 for i in range(len(marks)) if marks[i] and not edges[i + 2]]
    return list(zip(starts, ends))
