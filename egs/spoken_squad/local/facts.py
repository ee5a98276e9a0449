"""Paragraphs of facts, and questions about them, drawn from conf/facts.yaml.

A paragraph tells some facts in a sentence each. Two of them are of the same kind, so that a
question is answered by whom or what it names, not by its form alone. Knows nothing of voices,
corpora or files but the grammar's; the notation is explained at the top of conf/facts.yaml.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

from atat.base import config
from atat.base.errors import InputError

_CHOICE = re.compile(r"\(([^()]*)\)")
_NAME = re.compile(r"\{([a-z]+)\}")
_SLOT = re.compile(r"\{([A-Z]+)\}")


@dataclass(frozen=True)
class Kind:
    """One kind of fact: sentences that tell it, and for each slot the questions for its value."""

    sentences: tuple[str, ...]
    questions: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Facts:
    """Kinds of facts by name, values of each slot, and lists whose words may be held out."""

    kinds: Mapping[str, Kind]
    values: Mapping[str, Sequence[str]]
    held: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Told:
    """A sentence in pieces, in order: (words, slot that they fill or ""); all in lower case."""

    kind: str
    slots: Mapping[str, str]
    pieces: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        return " ".join(words for words, _ in self.pieces)


@dataclass(frozen=True)
class Asked:
    """A question, and the number of the sentence and the slot that answer it."""

    question: str
    sentence: int
    slot: str


@dataclass(frozen=True)
class Paragraph:
    """Sentences in order, and questions that each have one answer in them."""

    told: tuple[Told, ...]
    asked: tuple[Asked, ...] = field(default=())


def load(path: Path) -> Facts:
    """Read conf/facts.yaml; InputError names a slot or a list that is not there."""
    content = config.read_yaml(path)
    lists = config.read_yaml(path.parent / content["words"])["words"] | content["lists"]
    values: dict[str, list[str]] = {}
    for slot, templates in content["values"].items():
        try:
            filled = [value for template in templates for value in _fill(template, lists)]
        except KeyError as error:
            raise InputError(f"{path}: values: {slot}: there is no word list {error}") from None
        values[slot] = list(dict.fromkeys(filled))
    kinds = {
        name: Kind(
            tuple(one["sentences"]),
            {slot: tuple(asked) for slot, asked in one["questions"].items()},
        )
        for name, one in content["facts"].items()
    }
    for name, kind in kinds.items():
        said = [*kind.sentences, *(one for asked in kind.questions.values() for one in asked)]
        used = {slot for one in said for slot in _SLOT.findall(one)} | kind.questions.keys()
        if missing := used - values.keys():
            raise InputError(f"{path}: facts: {name}: no values for {', '.join(sorted(missing))}")
    return Facts(kinds, values, {name: lists[name] for name in content["held"]})


def divide(facts: Facts, share: float, unseen: float, rng: random.Random) -> tuple[Facts, Facts]:
    """The facts of training and those of the test.

    Of each list that may be held out a share of the words is in the test only: a share `unseen` of
    the test's values of a slot has such a word, the others are training's.
    """
    hidden: set[str] = set()
    for name in sorted(facts.held):
        words = facts.held[name]
        hidden |= set(rng.sample(list(words), max(1, round(share * len(words)))))
    train: dict[str, Sequence[str]] = {}
    test: dict[str, Sequence[str]] = {}
    for slot, values in facts.values.items():
        new = [value for value in values if hidden & set(value.split())]
        train[slot] = [value for value in values if not hidden & set(value.split())]
        count = round(len(new) * (1 - unseen) / unseen)
        known = rng.sample(train[slot], min(count, len(train[slot]))) if new else train[slot]
        test[slot] = [*new, *known]
    return replace(facts, values=train), replace(facts, values=test)


def draw(facts: Facts, sentences: int, questions: int, rng: random.Random) -> Paragraph:
    """A paragraph of so many sentences, two of each kind, with so many questions at most."""
    count = (sentences + 1) // 2
    names = rng.sample(sorted(facts.kinds), min(count, len(facts.kinds)))
    chosen = [name for name in names for _ in range(2)][:sentences]
    rng.shuffle(chosen)
    used: set[str] = set()
    told = tuple(_tell(facts, name, used, rng) for name in chosen)
    possible = [one for number in range(len(told)) for one in _questions(facts, told, number, rng)]
    rng.shuffle(possible)
    return Paragraph(told, tuple(possible[:questions]))


def _tell(facts: Facts, name: str, used: set[str], rng: random.Random) -> Told:
    """A sentence of a kind whose values nothing else in the paragraph has."""
    sentence = _choose(rng.choice(facts.kinds[name].sentences), rng)
    slots: dict[str, str] = {}
    for slot in _SLOT.findall(sentence):
        free = [value for value in facts.values[slot] if value not in used]
        if not free:
            raise InputError(f"too few values of {slot} for the sentences of a paragraph")
        slots[slot] = rng.choice(free)
        used.add(slots[slot])
    pieces: list[tuple[str, str]] = []
    for number, part in enumerate(_SLOT.split(sentence)):
        words = slots[part] if number % 2 else part.strip()
        if words:
            pieces.append((words, part if number % 2 else ""))
    return Told(name, slots, tuple(pieces))


def _questions(facts: Facts, told: Sequence[Told], number: int, rng: random.Random) -> list[Asked]:
    """One question for each slot of a sentence that the sentence can be asked for."""
    mine = told[number]
    found = []
    for slot, templates in facts.kinds[mine.kind].questions.items():
        if slot not in mine.slots:
            continue
        # Another verb would ask for something that the sentence does not say.
        fitting = [one for one in templates if set(_SLOT.findall(one)) <= mine.slots.keys()]
        if fitting:
            asked = _choose(rng.choice(fitting), rng)
            text = _SLOT.sub(lambda match: mine.slots[match[1]], asked)
            found.append(Asked(text, number, slot))
    return found


def _fill(template: str, lists: Mapping[str, Sequence[str]]) -> list[str]:
    """All values of a template; none says the same word twice."""
    names = _NAME.findall(template)
    filled = []
    for combination in product(*(lists[name] for name in names)):
        if len(set(combination)) == len(combination):
            entries = iter(combination)
            filled.append(_NAME.sub(lambda match: next(entries), template))
    return filled


def _choose(phrase: str, rng: random.Random) -> str:
    """One alternative for each bracket."""
    return _CHOICE.sub(lambda match: rng.choice(match[1].split("|")), phrase)
