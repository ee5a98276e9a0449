"""Sentences with their meaning from a grammar: draw them, count them, list them all.

    play [some] {song} (now | please)

A grammar has templates for each intent. A template is a sequence of words, choices and slots; a
slot is filled with a value of a list, and its words become a slot of the tree:

    [IN:PLAY play some [SL:SONG silver river ] please ]

A tree holds the words that are said, in the form of `atat.text.normalize`. Knows nothing of files:
`atat.text.grammar_files` reads them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from atat.base.errors import InputError
from atat.text import trees
from atat.text.normalize import normalize_tree
from atat.text.trees import Tree, tag_name

INTENT, TEMPLATE, SENTENCE = BY = ("intent", "template", "sentence")


@dataclass(frozen=True)
class Words:
    """Words to be spoken as they stand, in the spelling of the file."""

    text: str


@dataclass(frozen=True)
class Slot:
    """Any value of the list `kind`, reported under `name`."""

    kind: str
    name: str


@dataclass(frozen=True)
class Choice:
    """One of several sequences; none of them, too, when optional."""

    options: tuple[tuple[Item, ...], ...]
    optional: bool = False


@dataclass(frozen=True)
class Join:
    """What stands on both sides is one word: `light[s]`."""


Item = Words | Slot | Choice | Join
Items = tuple[Item, ...]


class Template(NamedTuple):
    """A template with the intent it stands for; `where` is its place in the file."""

    intent: str
    items: Items
    where: str


class Sentence(NamedTuple):
    """A sentence, normalised, and its meaning."""

    text: str
    tree: Tree


class _Said(NamedTuple):
    """A piece of a sentence: its words, and the slot that they fill."""

    text: str
    slot: str | None = None


_Piece = _Said | Join


@dataclass(frozen=True)
class Grammar:
    """Templates, and the values of each list: sequences without slots.

    Lists that no template uses need not be there.
    """

    templates: tuple[Template, ...]
    lists: Mapping[str, tuple[Items, ...]]
    # id of a sequence -> number of its derivations: a rule used in many places is counted once.
    _counts: dict[int, int] = field(default_factory=dict, repr=False, compare=False)

    def derivations(self) -> int:
        """The number of ways to derive a sentence; at least that of different sentences."""
        return sum(self._count(template.items) for template in self.templates)

    def every(self) -> Iterator[Sentence]:
        """Every derivation's sentence, in the order of the file; empty ones are left out.

        Raises InputError as `draw` does.
        """
        for template in self.templates:
            for pieces in self._expand(template.items):
                if sentence := _sentence(template, pieces):
                    yield sentence

    def draw(
        self,
        generator: random.Random,
        *,
        by: str = INTENT,
        weights: Mapping[str, float] | None = None,
    ) -> Iterator[Sentence]:
        """Sentences without end, drawn independently; empty ones are left out.

        `by` says what is alike: intents (then their templates), templates, or derivations, that
        is sentences of a grammar that derives each of them once. In the first two, the options
        of a choice and the values of a list are alike, and an optional part is there half the
        time. `weights`: tag of an intent (PLAY_MUSIC) -> factor on its probability, 1 if missing.

        Raises InputError for a slot whose value has no words, for two slots that are joined to
        one word, and if no sentence has words.
        """
        shares = self._shares(by, weights or {})
        empty = 0
        while empty < 10_000:
            template = generator.choices(self.templates, shares)[0]
            pieces = self._draw(template.items, generator, by == SENTENCE)
            if sentence := _sentence(template, pieces):
                empty = 0
                yield sentence
            else:
                empty += 1
        raise InputError(f"{self.templates[0].where}: the templates have no words; write some")

    def _shares(self, by: str, weights: Mapping[str, float]) -> list[float]:
        """The weight of each template."""
        intents = [tag_name(template.intent) for template in self.templates]
        for name in weights.keys() - set(intents):
            raise InputError(
                f"a weight for the intent {name}, which is not in the grammar; "
                f"it has {', '.join(sorted(set(intents)))}"
            )
        factors = [weights.get(name, 1.0) for name in intents]
        if by == INTENT:
            shares = [f / intents.count(name) for f, name in zip(factors, intents)]
        elif by == TEMPLATE:
            shares = factors
        else:
            counts = [self._count(template.items) for template in self.templates]
            most = max(counts)  # integers beyond a float's range
            shares = [f * (count / most) for f, count in zip(factors, counts)]
        if not any(shares):
            raise InputError("all weights are 0; give one intent a weight above 0")
        return shares

    def _count(self, items: Items) -> int:
        if id(items) not in self._counts:
            total = 1
            for item in items:
                total *= sum(self._count(option) for option in self._options(item))
            self._counts[id(items)] = total
        return self._counts[id(items)]

    def _options(self, item: Item) -> tuple[Items, ...]:
        """The sequences that may stand for an item."""
        if isinstance(item, Slot):
            return self.lists[item.kind]
        if isinstance(item, Choice):
            return (*item.options, ()) if item.optional else item.options
        return (_NOTHING,)

    def _draw(self, items: Items, generator: random.Random, evenly: bool) -> list[_Piece]:
        """Pieces drawn for a sequence; `evenly`: all its derivations alike."""
        pieces: list[_Piece] = []
        for item in items:
            if isinstance(item, Words):
                pieces.append(_Said(item.text))
                continue
            if isinstance(item, Join):
                pieces.append(item)
                continue
            options = self._options(item)
            if evenly:
                counts = [self._count(option) for option in options]
                most = max(counts)
                option = generator.choices(options, [count / most for count in counts])[0]
            elif isinstance(item, Choice) and item.optional and generator.random() < 0.5:
                option = ()
            else:
                option = generator.choice(options[:-1] if _is_optional(item) else options)
            drawn = self._draw(option, generator, evenly)
            pieces += [_filled(item, drawn)] if isinstance(item, Slot) else drawn or [_EMPTY]
        return pieces

    def _expand(self, items: Items) -> Iterator[list[_Piece]]:
        """The pieces of each derivation of a sequence."""
        if not items:
            yield []
            return
        head, tail = items[0], items[1:]
        for begun in self._expand_item(head):
            for rest in self._expand(tail):
                yield begun + rest

    def _expand_item(self, item: Item) -> Iterator[list[_Piece]]:
        if isinstance(item, Words):
            yield [_Said(item.text)]
        elif isinstance(item, Join):
            yield [item]
        else:
            for option in self._options(item):
                for pieces in self._expand(option):
                    if isinstance(item, Slot):
                        yield [_filled(item, pieces)]
                    else:
                        yield pieces or [_EMPTY]


_NOTHING: Items = ()
_EMPTY = _Said("")  # of a part that is left out: what is joined to it joins nothing else


def _is_optional(item: Item) -> bool:
    return isinstance(item, Choice) and item.optional


def _filled(slot: Slot, pieces: Sequence[_Piece]) -> _Said:
    return _Said(" ".join(said.text for said in _joined(pieces, "") if said.text), slot.name)


def _joined(pieces: Sequence[_Piece], where: str) -> list[_Said]:
    """The pieces with joined ones as one: it fills the slot if one of its parts does.

    So `{name}'s` gives the slot the word "anna's": a slot begins and ends with a word.
    """
    found: list[_Said] = []
    joins = False
    for piece in pieces:
        if isinstance(piece, Join):
            joins = True
            continue
        if joins:
            before = found.pop()
            if before.slot and piece.slot:
                raise InputError(
                    f"{where}: the slots {before.slot!r} and {piece.slot!r} are one word; "
                    "set them apart by a blank"
                )
            piece = _Said(before.text + piece.text, before.slot or piece.slot)
        found.append(piece)
        joins = False
    return found


def _sentence(template: Template, pieces: Sequence[_Piece]) -> Sentence | None:
    """The sentence of a derivation; None if it has no words."""
    children: list[Tree | str] = []
    for said in _joined(pieces, template.where):
        words = tuple(said.text.split())
        children += words if said.slot is None else [Tree(f"SL:{tag_name(said.slot)}", words)]
    tree = normalize_tree(Tree(f"IN:{tag_name(template.intent)}", tuple(children)))
    for child, spoken in zip(_slots(children), _slots(tree.children)):
        if not spoken.children:
            raise InputError(
                f"{template.where}: the slot {child.label} has the value "
                f"{' '.join(map(str, child.children))!r}, which has no words; write what is said"
            )
    text = " ".join(trees.words(tree))
    return Sentence(text, tree) if text else None


def _slots(children: Sequence[Tree | str]) -> list[Tree]:
    return [child for child in children if isinstance(child, Tree)]
