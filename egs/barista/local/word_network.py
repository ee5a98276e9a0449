"""The sentences of a grammar as a word network, in which a recogniser searches.

A network from JSGF would hold a copy of each rule for each use of it; pocketsphinx searches
that at five times real time. Here sentences that continue alike share their states.

Knows nothing of recognisers; probabilities are those of choosing evenly among next words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from order_grammar import Grammar, Order

from atat.base.errors import InputError
from atat.prepare.sphinx import Network
from atat.text.grammar import Choice, Item, Slot, Words
from atat.text.normalize import normalize

State = frozenset[tuple[Item, ...]]  # all that may still be said
_END: State = frozenset()  # the state behind the last word


def network(grammar: Grammar, order: Order | None = None) -> Network:
    """The grammar as an automaton in which sentences that continue alike share their states.

    With an order, only its sentences are left: expressions with exactly its slots, their values
    fixed. Raises InputError when there are none.
    """
    expressions, values = grammar.expressions, dict(grammar.values)
    if order is not None:
        slots = frozenset(order.slots)
        expressions = tuple(
            e for e in expressions if e.intent == order.intent and e.slot_names == slots
        )
        values = {grammar.kinds[name]: (value,) for name, value in order.slots.items()}
        if not expressions:
            raise InputError(f"{grammar.path}: no expression names exactly {sorted(slots)}")
    start: State = frozenset(expression.items for expression in expressions)
    numbers: dict[State, int] = {start: 0}
    pending, arcs = [start], []
    while pending:
        state = pending.pop()
        following: dict[str | None, set[tuple[Item, ...]]] = {}
        for items in state:
            for word, rest in _first_words(items, values):
                following.setdefault(word, set()).add(rest)
        for word, rests in sorted(following.items(), key=lambda pair: pair[0] or ""):
            target = _END if word is None else frozenset(rests)
            if target not in numbers:
                numbers[target] = len(numbers)
                pending.append(target)
            arcs.append((numbers[state], numbers[target], 1 / len(following), word))
    return Network(tuple(arcs), final=numbers[_END])


def _first_words(
    items: tuple[Item, ...], values: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str | None, tuple[Item, ...]]]:
    """(next word, what follows it) for each way to begin `items`; the word None at their end."""
    if not items:
        yield None, ()
        return
    head, tail = items[0], items[1:]
    if isinstance(head, Words):
        word, *rest = normalize(head.text).split()
        yield word, (Words(" ".join(rest)), *tail) if rest else tail
    elif isinstance(head, Slot):
        for value in values[head.kind]:
            yield from _first_words((Words(value), *tail), values)
    elif isinstance(head, Choice):
        for option in (*head.options, ()) if head.optional else head.options:
            yield from _first_words((*option, *tail), values)
