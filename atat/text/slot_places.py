"""Where the slots of a tree are among the words that were said.

A tree whose words are those that were said has its slots where it spans them. Other trees (in a
canonical order, without the words between, or decoded apart from the transcript) have their values
looked for: as they are, else where the words sound most alike as spelled. Knows no times.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from atat.text import trees
from atat.text.trees import Tree

ALIKE = 0.75  # least share of letters in common, by `SequenceMatcher.ratio`

Place = tuple[int, int]  # first word, word after the last


def places(tree: Tree, said: Sequence[str]) -> list[Place | None]:
    """The place of each intent and slot, in the order of `trees.spans`.

    None for what spans no words, for intents of a tree with other words than were said, and for
    values that were not found. Slots have different places, unless one lies within the other.
    """
    spans = trees.spans(tree)
    leaves = trees.words(tree)
    if leaves == list(said):
        return [(start, end) if end > start else None for _, _, start, end in spans]
    found: list[Place | None] = [None] * len(spans)
    exact = [number for number, (label, *_) in enumerate(spans) if label.startswith("SL:")]
    # Long values first, so that "york" does not break up "new york"; of equals the first.
    exact.sort(key=lambda number: spans[number][2] - spans[number][3])
    left = []
    for alike in (1.0, ALIKE):
        for number in exact:
            _, _, start, end = spans[number]
            if end > start:
                free = _free(number, spans, found, len(said))
                found[number] = _find(leaves[start:end], said, free, alike)
            if found[number] is None:
                left.append(number)
        exact, left = left, []
    return found


def _free(
    number: int,
    spans: Sequence[tuple[str, int, int, int]],
    found: Sequence[Place | None],
    count: int,
) -> list[bool]:
    """Whether slot `number` may have each of `count` words: those of no other, or of one around."""
    _, depth, start, end = spans[number]
    free = [True] * count
    for other, place in enumerate(found):
        if place is None or other == number:
            continue
        _, other_depth, first, last = spans[other]
        if other_depth < depth and first <= start and end <= last and other < number:
            inside = range(*place)
            free = [one and word in inside for word, one in enumerate(free)]
        elif not (depth < other_depth and start <= first and last <= end and number < other):
            free[slice(*place)] = [False] * (place[1] - place[0])
    return free


def _find(
    value: Sequence[str], said: Sequence[str], free: Sequence[bool], alike: float
) -> Place | None:
    """The first of the places that are most alike, at least as much as `alike`."""
    sizes = [len(value)] if alike == 1 else range(max(1, len(value) - 1), len(value) + 2)
    best, found = alike, None
    matcher = SequenceMatcher(None, autojunk=False)
    matcher.set_seq2(" ".join(value))
    for size in sizes:
        for start in range(len(said) - size + 1):
            if not all(free[start : start + size]):
                continue
            matcher.set_seq1(" ".join(said[start : start + size]))
            if matcher.quick_ratio() < best:
                continue
            ratio = matcher.ratio()
            if ratio > best or (found is None and ratio == best):
                best, found = ratio, (start, start + size)
    return found
