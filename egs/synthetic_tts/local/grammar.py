"""The assistant's language: sentences with their meaning, drawn from conf/grammar.yaml.

Knows nothing of voices, data dirs or of which sentence is used for what. The notation of the file
is explained at its top.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from atat.base import config
from atat.base.errors import InputError
from atat.text.trees import Tree

_CHOICE = re.compile(r"\(([^()]*)\)")
_NAME = re.compile(r"\{([a-z]+)\}")
_SLOT = re.compile(r"\{([A-Z_]+)(?:=([A-Z_]+))?\}")


@dataclass(frozen=True)
class Grammar:
    """Phrases and the values of their slots, for one size of vocabulary.

    values: every value of each slot; open_slots: the slots whose values may be held out;
    phrases: domain -> intent -> phrases; everyday: phrases without a meaning; longest: the
    words of the longest sentence wanted.
    """

    values: Mapping[str, Sequence[str]]
    open_slots: frozenset[str]
    phrases: Mapping[str, Mapping[str, Sequence[str]]]
    everyday: Sequence[str]
    words: Mapping[str, Sequence[str]]
    longest: int

    def draw(self, domain: str, values: Mapping[str, Sequence[str]], rng: random.Random) -> Tree:
        """A random sentence of a domain with slot values out of `values`."""
        intents = self.phrases[domain]
        # An intent weighs as much as it has ways to be said; those that only stand inside
        # another's slot are not said alone.
        nested = {
            match[2]
            for phrases in intents.values()
            for phrase in phrases
            for match in _SLOT.finditer(phrase)
        }
        names = [name for name in intents if name not in nested]
        name = rng.choices(names, [len(intents[name]) for name in names])[0]
        return self._say(domain, name, values, rng)

    def draw_everyday(self, rng: random.Random) -> str:
        """A random sentence without a meaning."""
        phrase = _choose(rng.choice(self.everyday), rng)
        return _NAME.sub(lambda match: rng.choice(self.words[match[1]]), phrase)

    def _say(
        self, domain: str, intent: str, values: Mapping[str, Sequence[str]], rng: random.Random
    ) -> Tree:
        phrase = _choose(rng.choice(self.phrases[domain][intent]), rng)
        children: list[Tree | str] = []
        for token in phrase.split():
            match = _SLOT.fullmatch(token)
            if match is None:
                children.append(token)
            elif match[2]:
                inner = self._say(domain, match[2], values, rng)
                children.append(Tree(f"SL:{match[1]}", (inner,)))
            else:
                value = tuple(rng.choice(values[match[1]]).split())
                children.append(Tree(f"SL:{match[1]}", value))
        return Tree(f"IN:{intent}", tuple(children))


def load_grammar(path: str | Path, size: str) -> Grammar:
    """Read the grammar with the vocabulary of a size; InputError names what does not fit."""
    content = config.read_yaml(path)
    if size not in content["vocabulary"]:
        raise InputError(f"{path}: vocabulary has no size '{size}'")
    words = {
        name: entries[: content["vocabulary"][size]] for name, entries in content["words"].items()
    }
    try:
        values = {
            slot: [value for template in templates for value in _fill(template, words)]
            for slot, templates in content["values"].items()
        }
    except KeyError as error:
        raise InputError(f"{path}: values: there is no word list {error}") from None
    grammar = Grammar(
        {slot: list(dict.fromkeys(entries)) for slot, entries in values.items()},
        frozenset(content["open"]),
        content["domains"],
        content["everyday"],
        words,
        content["longest"][size],
    )
    _check(grammar, path)
    return grammar


def _fill(template: str, words: Mapping[str, Sequence[str]]) -> list[str]:
    """All values of a template; none says the same word twice."""
    names = _NAME.findall(template)
    filled = []
    for combination in product(*(words[name] for name in names)):
        if len(set(combination)) == len(combination):
            entries = iter(combination)
            filled.append(_NAME.sub(lambda match: next(entries), template))
    return filled


def _check(grammar: Grammar, path: str | Path) -> None:
    for domain, intents in grammar.phrases.items():
        for intent, phrases in intents.items():
            for match in (match for phrase in phrases for match in _SLOT.finditer(phrase)):
                where = f"{path}: domains: {domain}: {intent}: {match[0]}"
                if match[1] not in grammar.values:
                    raise InputError(f"{where}: there are no values for {match[1]}")
                if match[2] and match[2] not in intents:
                    raise InputError(f"{where}: there is no intent {match[2]}")
    for phrase in grammar.everyday:
        for name in _NAME.findall(phrase):
            if name not in grammar.words:
                raise InputError(f"{path}: everyday: '{phrase}': there is no word list {name}")


def _choose(phrase: str, rng: random.Random) -> str:
    """One alternative for each bracket."""
    return _CHOICE.sub(lambda match: rng.choice(match[1].split("|")), phrase)
