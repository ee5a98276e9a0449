"""What was taken for what: pairs of intents and of slots, of references and hypotheses.

    intents(scored)["PLAY_MUSIC", "PLAY_BOOK"]      # how often the first was taken for the second
    slots(scored)["SONG", MISSED]                   # songs in whose place there is no slot

Every intent and slot of a reference is in one pair, and so is each slot of a hypothesis that is a
tree: rows of a table of pairs sum to what was wanted, columns to what was given. Knows nothing of
files or pictures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from atat.text import trees
from atat.text.trees import Tree
from atat.text.word_alignment import align_words

# In the place of the other label of a pair. No label has brackets.
NO_TREE, MISSED, ADDED = "(no tree)", "(missed)", "(added)"

Pairs = Counter[tuple[str, str]]  # (label of the reference, label of the hypothesis) -> how often


class Scored(Protocol):
    """An utterance with a tree as its reference."""

    @property
    def ref(self) -> str: ...

    @property
    def hyp(self) -> str: ...


class Slot(NamedTuple):
    """A slot at any depth: its label without SL:, its words, and where they are in its tree."""

    label: str
    value: str
    start: int
    end: int


def intents(scored: Iterable[Scored]) -> Pairs:
    """Pairs of the intents at the root; NO_TREE for an output that is no tree."""
    found = Pairs()
    for one in scored:
        guess = trees.parse_or_none(one.hyp)
        found[name(trees.parse(one.ref).label), name(guess.label) if guess else NO_TREE] += 1
    return found


def slots(scored: Iterable[Scored]) -> Pairs:
    """Pairs of the labels of slots, see `pair`; MISSED and ADDED for those without a partner."""
    found = Pairs()
    for one in scored:
        for wanted, given in pair(trees.parse(one.ref), trees.parse_or_none(one.hyp)):
            found[wanted.label if wanted else ADDED, given.label if given else MISSED] += 1
    return found


def pair(reference: Tree, hypothesis: Tree | None) -> list[tuple[Slot | None, Slot | None]]:
    """Each slot of two trees with its partner, or None.

    Partners are, in this order: slots with the same label and value, slots with the same label,
    slots that share words, those with the most first (words by edit distance).
    """
    left = _slots(reference)
    right = _slots(hypothesis) if hypothesis else []
    found: list[tuple[Slot | None, Slot | None]] = []
    for alike in (lambda slot: slot[:2], lambda slot: slot[:1]):
        for wanted in list(left):
            given = next((one for one in right if alike(one) == alike(wanted)), None)
            if given is not None:
                found.append((wanted, given))
                left.remove(wanted)
                right.remove(given)
    if left and right and hypothesis:
        places = align_words(trees.words(reference), trees.words(hypothesis))
        shared = [
            (-_common(wanted, given, places), i, j)
            for i, wanted in enumerate(left)
            for j, given in enumerate(right)
        ]
        pairs: dict[int, int] = {}
        for common, i, j in sorted(shared):
            if common and i not in pairs and j not in pairs.values():
                pairs[i] = j
        found += [(left[i], right[j]) for i, j in pairs.items()]
        left = [slot for i, slot in enumerate(left) if i not in pairs]
        right = [slot for j, slot in enumerate(right) if j not in pairs.values()]
    return [*found, *((slot, None) for slot in left), *((None, slot) for slot in right)]


def name(label: str) -> str:
    """A label without IN: or SL:."""
    return label.partition(":")[2]


def _slots(tree: Tree) -> list[Slot]:
    words = trees.words(tree)
    return [
        Slot(name(label), " ".join(words[start:end]), start, end)
        for label, start, end in trees.brackets(tree)
        if label.startswith("SL:")
    ]


def _common(wanted: Slot, given: Slot, places: Sequence[int | None]) -> int:
    """How many words of a slot of the hypothesis stand for words of one of the reference."""
    at = places[given.start : given.end]
    return sum(place is not None and wanted.start <= place < wanted.end for place in at)
