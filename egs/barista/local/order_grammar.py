"""The published grammar of orders: read it, draw sentences, understand them.

A grammar is a YAML file of Picovoice's Rhino: for each intent a list of expressions such as

    [get me, I'd like] [a, an] $size:size $coffeeDrink:coffeeDrink (please)

where `[a, b]` is a choice, `(a, b)` a choice that may be left out, and `$type:name` any value
of the slot type (`atat.text.grammar_files` parses them). Words count in the form of
`atat.text.normalize`.

Knows nothing of recordings, labels, data dirs or recognisers.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from atat.base.errors import InputError
from atat.base.files import read_lines
from atat.text.grammar import Choice, Item, Slot, Words
from atat.text.grammar_files import parse_expression
from atat.text.normalize import normalize
from atat.text.trees import Tree, tag_name, to_string


@dataclass(frozen=True)
class Order:
    """What a sentence means: an intent, and the value of each slot that it names."""

    intent: str
    slots: Mapping[str, str]


@dataclass(frozen=True)
class Expression:
    """One expression of the file with the intent it stands for."""

    intent: str
    items: tuple[Item, ...]

    @cached_property
    def slot_names(self) -> frozenset[str]:
        """The slots that this expression may name."""
        return frozenset(slot.name for slot in _slots(self.items))


@dataclass(frozen=True)
class Grammar:
    """All expressions, and the values of each slot type in the order of the file."""

    path: Path
    expressions: tuple[Expression, ...]
    values: Mapping[str, tuple[str, ...]]

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Slot name -> slot type; in the order of the types, which is the canonical order."""
        kinds = {s.name: s.kind for e in self.expressions for s in _slots(e.items)}
        order = {kind: number for number, kind in enumerate(self.values)}
        return dict(sorted(kinds.items(), key=lambda pair: (order[pair[1]], pair[0])))

    def canonical(self, order: Order) -> str:
        """The tree of an order: intent, then its slots in fixed order, values as words."""
        slots = (
            Tree(f"SL:{tag_name(name)}", tuple(normalize(order.slots[name]).split()))
            for name in self.kinds
            if name in order.slots
        )
        return to_string(Tree(f"IN:{tag_name(order.intent)}", tuple(slots)))

    def complaints(self, order: Order) -> list[str]:
        """What this grammar cannot express in an order; empty for a good one."""
        found = []
        if all(order.intent != expression.intent for expression in self.expressions):
            found.append(f"intent {order.intent!r} is not in the grammar")
        for name, value in order.slots.items():
            if name not in self.kinds:
                found.append(f"slot {name!r} is not in the grammar")
            elif normalize(value) not in map(normalize, self.values[self.kinds[name]]):
                found.append(f"{name} {value!r} is not in the grammar")
        slots = frozenset(order.slots)
        if not found and all(slots != e.slot_names for e in self.expressions):
            found.append(f"no expression names exactly the slots {', '.join(sorted(slots))}")
        return found

    @cached_property
    def _patterns(self) -> list[tuple[Expression, list[str], re.Pattern[str]]]:
        patterns = []
        for expression in self.expressions:
            names: list[str] = []
            source = _pattern(expression.items, self.values, names)
            patterns.append((expression, names, re.compile(source)))
        return patterns

    def understand(self, sentence: str) -> Order | None:
        """The order that a normalised sentence places; None when it is not of the grammar.

        Raises InputError when the grammar gives the sentence two meanings.
        """
        orders = []
        for expression, names, pattern in self._patterns:
            match = pattern.fullmatch("".join(f"{word} " for word in sentence.split()))
            if match is None:
                continue
            found = zip(names, match.groups())
            slots = {name: value.strip() for name, value in found if value is not None}
            order = Order(expression.intent, slots)
            if order not in orders:
                orders.append(order)
        if len(orders) > 1:
            trees = " and ".join(self.canonical(order) for order in orders)
            raise InputError(f"{self.path}: ambiguous: {sentence!r} means {trees}")
        return orders[0] if orders else None

    def sample(self, generator: random.Random) -> str:
        """A sentence in the file's spelling.

        The set of slots is drawn first, all sets alike, then an expression with these slots:
        drawn at once, orders of many slots, which have many permutations, would crowd out
        the short ones.
        """
        slots = generator.choice(self._slot_sets)
        expressions = [e for e in self.expressions if e.slot_names == slots]
        return " ".join(_draw(generator.choice(expressions).items, self.values, generator))

    @cached_property
    def _slot_sets(self) -> list[frozenset[str]]:
        return sorted({e.slot_names for e in self.expressions}, key=sorted)


def load(path: str | Path) -> Grammar:
    """Read a grammar. Raises InputError for another layout or a syntax we do not know."""
    import yaml

    path = Path(path)
    try:
        content = yaml.safe_load("\n".join(read_lines(path)))
    except yaml.YAMLError as error:
        raise InputError(f"{path}: is no YAML: {error}") from None
    context = content.get("context") if isinstance(content, dict) else None
    if not isinstance(context, dict) or not {"expressions", "slots"} <= context.keys():
        raise InputError(f"{path}: expected the keys context.expressions and context.slots")
    values = {kind: tuple(map(str, listed)) for kind, listed in context["slots"].items()}
    expressions = tuple(
        Expression(intent, parse_expression(text, f"{path}: {intent}: {text!r}"))
        for intent, texts in context["expressions"].items()
        for text in texts
    )
    for expression in expressions:
        for slot in _slots(expression.items):
            if slot.kind not in values:
                raise InputError(f"{path}: slot type {slot.kind!r} is used and has no values")
    return Grammar(path, expressions, values)


def slots_of(grammar: Grammar, semantics: Tree) -> Order:
    """The order that a canonical tree stands for; the inverse of `Grammar.canonical`."""
    intents = {tag_name(e.intent): e.intent for e in grammar.expressions}
    names = {tag_name(name): name for name in grammar.kinds}
    intent = intents.get(semantics.label.removeprefix("IN:"))
    slots: dict[str, str] = {}
    for child in semantics.children:
        slot = child if isinstance(child, Tree) else None
        name = names.get(slot.label.removeprefix("SL:")) if slot is not None else None
        if intent is None or slot is None or name is None:
            raise InputError(f"{to_string(semantics)!r} is no order of {grammar.path}")
        slots[name] = " ".join(str(word) for word in slot.children)
    if intent is None:
        raise InputError(f"{to_string(semantics)!r} is no order of {grammar.path}")
    return Order(intent, slots)


def vocabulary(grammar: Grammar) -> set[str]:
    """Every word that a sentence of the grammar may hold, normalised."""
    texts = [text for listed in grammar.values.values() for text in listed]
    for expression in grammar.expressions:
        texts.extend(item.text for item in _walk(expression.items) if isinstance(item, Words))
    return {word for text in texts for word in normalize(text).split()}


def _walk(items: Sequence[Item]) -> Iterator[Item]:
    for item in items:
        yield item
        if isinstance(item, Choice):
            for option in item.options:
                yield from _walk(option)


def _slots(items: Sequence[Item]) -> list[Slot]:
    return [item for item in _walk(items) if isinstance(item, Slot)]


def _pattern(items: Sequence[Item], values: Mapping[str, Sequence[str]], names: list[str]) -> str:
    """A regular expression over words that each end in a blank; `names` gets its groups."""
    parts = []
    for item in items:
        if isinstance(item, Words):
            parts.append(_escaped(item.text))
        elif isinstance(item, Slot):
            names.append(item.name)
            parts.append(f"({'|'.join(map(_escaped, values[item.kind]))})")
        elif isinstance(item, Choice):
            options = "|".join(_pattern(option, values, names) for option in item.options)
            parts.append(f"(?:{options})" + ("?" if item.optional else ""))
    return "".join(parts)


def _escaped(text: str) -> str:
    return "".join(f"{re.escape(word)} " for word in normalize(text).split())


def _draw(
    items: Sequence[Item], values: Mapping[str, Sequence[str]], generator: random.Random
) -> list[str]:
    words: list[str] = []
    for item in items:
        if isinstance(item, Words):
            words.append(item.text)
        elif isinstance(item, Slot):
            words.append(generator.choice(values[item.kind]))
        elif isinstance(item, Choice) and (not item.optional or generator.random() < 0.5):
            words.extend(_draw(generator.choice(item.options), values, generator))
    return words
