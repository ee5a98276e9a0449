"""Which tokens an output may have: those that can still lead to a tree, or only words.

Well-formed decoding (`TreeConstraint`): one intent at the root, intents and slots alternate, a slot
is not empty, words begin with a piece that begins a word, every bracket is closed before the length
limit, if pairs are given, only parent-child pairs seen in training, and, if values are given, slots
only with those. Transcripts (`WordConstraint`) have no tags, even if the decoder was finetuned on
trees. Both plug into `atat.nn.beam_search` and into `atat.runtime.search` as their constraint.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from atat.base.errors import InputError
from atat.base.json_file import read_json
from atat.text.slot_values import SlotValues
from atat.text.tokenizer import Tokenizer
from atat.text.trees import Tree

ROOT = ""  # the parent of the outermost intent in a set of pairs
Pair = tuple[str, str]  # labels of parent and child, such as ("IN:PLAY", "SL:SONG")
FREE = -1  # any words may follow


class State(NamedTuple):
    """The state of a prefix, as far as the constraint needs it."""

    open: tuple[str, ...] = ()  # labels not yet closed, outermost first
    started: bool = False
    fresh: bool = True  # the last token was a tag: the next piece must begin a word
    empty: bool = True  # the innermost node is still empty
    bare: bool = False  # a word has begun with only a blank: its letters must follow
    value: int = FREE  # in a slot with a list of values: the node of SlotValues


class TreeConstraint:
    """Allows exactly the tokens after which a well-formed tree can still be reached."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        pairs: Iterable[Pair] | None = None,
        values: SlotValues | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.pairs = None if pairs is None else set(pairs)
        self.values = values or SlotValues(tokenizer, {})
        # More tokens than it takes to open and close one more node change nothing.
        self._enough = 4 + max(self.values.needed, default=0)
        self.labels = {id_: tag[1:] for tag, id_ in tokenizer.open_ids.items()}
        size = tokenizer.vocab_size
        self._pieces = _pieces(tokenizer)
        starts = [id_ for id_ in range(size) if tokenizer.is_word_start(id_)]
        # Words too rare for a piece of their own begin with a lone blank, which is no word yet.
        self._blanks = {id_ for id_ in starts if not tokenizer.decode([id_]).strip()}
        self._word_starts = np.zeros(size, dtype=bool)
        self._word_starts[starts] = True
        self._cache: dict[tuple[object, ...], np.ndarray] = {}

    def start(self) -> State:
        return State()

    def allowed(self, state: State, remaining: int) -> np.ndarray:
        """(V,) bool: tokens allowed next when `remaining` tokens are left, the end counted."""
        spare = min(remaining - len(state.open) - 1, self._enough)
        parent = state.open[-1] if state.open else ROOT
        key = (parent, bool(state.open), *state[1:], spare)
        if key not in self._cache:
            self._cache[key] = self._allowed(state, parent, spare)
        return self._cache[key]

    def advance(self, state: State, token: int) -> State:
        if token in self.labels:
            label = self.labels[token]
            value = self.values.starts.get(label, FREE)
            return State((*state.open, label), started=True, value=value)
        if token == self.tokenizer.close_id:
            return State(state.open[:-1], started=True, fresh=True, empty=False)
        if state.value != FREE:
            value = self.values.next[state.value][token]
            return State(state.open, started=True, fresh=False, empty=False, value=value)
        if token in self._blanks:
            return State(state.open, started=True, fresh=False, empty=state.empty, bare=True)
        return State(state.open, started=True, fresh=False, empty=False)

    def _allowed(self, state: State, parent: str, spare: int) -> np.ndarray:
        """`spare`: tokens left after those reserved for every open bracket and the end."""
        mask = np.zeros(self.tokenizer.vocab_size, dtype=bool)
        if state.started and not state.open:
            mask[self.tokenizer.eos_id] = True
            return mask
        if state.value != FREE:
            return self._of_values(state.value, spare)
        if state.bare:
            return self._pieces & ~self._word_starts
        for id_, label in self.labels.items():
            # A child needs its two brackets, and a slot also content between them.
            if self._may_follow(parent, label) and spare >= 2 + self._content(label):
                mask[id_] = True
        if state.open:
            if spare >= 1:
                mask |= self._word_starts if state.fresh else self._pieces
            if spare < 2:
                mask[list(self._blanks)] = False
            if _is_intent(parent) or not state.empty:
                mask[self.tokenizer.close_id] = True
        return mask

    def _of_values(self, node: int, spare: int) -> np.ndarray:
        """What goes on with a value, or ends it."""
        mask = np.zeros(self.tokenizer.vocab_size, dtype=bool)
        for token, following in self.values.next[node].items():
            mask[token] = spare >= 1 + self.values.needed[following]
        mask[self.tokenizer.close_id] = node in self.values.ends
        return mask

    def _content(self, label: str) -> int:
        """The fewest tokens between the brackets of a node."""
        if label in self.values.starts:
            return self.values.needed[self.values.starts[label]]
        return 0 if _is_intent(label) else 1

    def _may_follow(self, parent: str, child: str) -> bool:
        if _is_intent(child) == _is_intent(parent) and parent != ROOT:
            return False
        if parent == ROOT and not _is_intent(child):
            return False
        return self.pairs is None or (parent, child) in self.pairs


class WordConstraint:
    """Allows only what a transcript contains, word pieces and the end: no tag, task or <unk>."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._allowed = _pieces(tokenizer)
        self._allowed[tokenizer.eos_id] = True

    def start(self) -> None:
        return None

    def allowed(self, state: None, remaining: int) -> np.ndarray:
        """(V,) bool, the same for every prefix."""
        return self._allowed

    def advance(self, state: None, token: int) -> None:
        return None


def _pieces(tokenizer: Tokenizer) -> np.ndarray:
    """(V,) bool: the tokens that words consist of."""
    first = tokenizer.first_piece_id
    pieces = np.zeros(tokenizer.vocab_size, dtype=bool)
    pieces[first : first + tokenizer.num_pieces] = True
    pieces[first] = False  # <unk>, which stands for nothing
    for id_ in range(
        first, first + tokenizer.num_pieces
    ):  # bytes of ASCII blanks, which end a word
        if not (tokenizer.is_word_start(id_) or tokenizer.decode([id_])):
            pieces[id_] = False
    return pieces


def pairs_of(tree: Tree) -> set[Pair]:
    """The parent-child pairs of a tree; the parent of its root is ROOT."""
    pairs: set[Pair] = set()
    waiting = [(ROOT, tree)]
    while waiting:
        parent, node = waiting.pop()
        pairs.add((parent, node.label))
        waiting.extend((node.label, child) for child in node.children if isinstance(child, Tree))
    return pairs


def read_pairs(path: Path) -> set[Pair]:
    """The pairs in trees.json of a model's folder; InputError if it is torn."""
    fix = "copy the packed model again, or pack it again from its training"
    try:
        return {(parent, child) for parent, child in read_json(path, fix)}
    except (TypeError, ValueError):
        raise InputError(f"{path}: expected a list of [parent, child]; {fix}") from None


def _is_intent(label: str) -> bool:
    return label.startswith("IN:")
