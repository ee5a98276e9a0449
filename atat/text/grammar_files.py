"""Grammars in files: our own, sentences of Home Assistant (hassil), contexts of Rhino.

The keys tell which of them a file is. Our own:

    intents:
      play music:
        - (play | put on) [some] {song} [by {artist}]
        - <please> play {song}
    lists:
      song: [silver river, lonely shadow]
      artist: [maria bennett]
    rules:
      please: "[could you | would you] please"

Templates have hassil's syntax:

    (a | b)      one of them                 [a | b]        one of them, or none
    {song}       a value of the list song    {song:title}   the same, as slot `title`
    <please>     the rule of that name       (a; b)         both, in any order
    light[s]     no blank: one word          \\(             a bracket of the sentence

hassil's files (https://github.com/home-assistant/hassil) have lists of `values` (of which those
with `in` and `out` are said as `in`), ranges, and expansion rules, also those of one intent;
several files are one grammar. Fixed `slots` are not said, so they are in no tree; contexts,
responses and skip words are not read. Rhino's contexts
(https://picovoice.ai/docs/tips/syntax-cheat-sheet/) have `[a, b]` for one of them, `(a, b)` for
one or none, `$type:name` for slots and `@name` for macros.

Values are read as they are written: `on` is the word, not YAML's true.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from atat.base import yaml_file
from atat.base.errors import InputError
from atat.base.files import read_lines
from atat.text.grammar import Choice, Grammar, Item, Items, Join, Slot, Template, Words

DEEPEST = 50  # brackets in brackets, rules in rules
_RHINO = re.compile(r"[\[\](),]|[$@][^\s\[\](),]+|[^\s\[\](),$@]+")
_HASSIL = re.compile(r"(?:\\.|[^\s\\<>()\[\]{}|;])+|\s+|.", re.DOTALL)
_SPECIAL = "()[]{}<>|;"
_MANY = 5  # of things in any order: 120 orders


def load(paths: Sequence[str | Path]) -> Grammar:
    """Read a grammar from its files; raises InputError with file, key and what was expected."""
    contents = {str(path): _read(Path(path)) for path in paths}
    rhino = [path for path, content in contents.items() if "context" in content]
    if rhino and len(contents) > 1:
        raise InputError(f"{rhino[0]}: a context of Rhino is one file; give it alone")
    grammar = _of_rhino(rhino[0], contents[rhino[0]]) if rhino else _Reader(contents).grammar()
    if not grammar.templates:
        raise InputError(
            f"{' '.join(contents)}: no templates; expected `intents`, with templates under the "
            "name of each intent"
        )
    return grammar


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load("\n".join(read_lines(path)), Loader=yaml_file.TextLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise InputError(
            f"{path}{place}: not valid YAML: {problem}; a template that begins with a bracket "
            "or holds a colon stands between quotes"
        ) from None
    except RecursionError:
        raise InputError(f"{path}: nested too deep for a grammar") from None
    return _mapping(content, f"{path}")


def _mapping(value: Any, where: str, what: str = "`name: value` lines") -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: found {_shown(value)}, expected {what}")
    return value


def _strings(value: Any, where: str, what: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        wrong = value
        if isinstance(value, list):
            number, wrong = next((n, v) for n, v in enumerate(value) if not isinstance(v, str))
            where = f"{where}[{number}]"
        hint = "; put quotes around what begins with a bracket" if wrong != "" else ""
        raise InputError(f"{where}: found {_shown(wrong)}, expected {what}{hint}")
    return value


def _shown(value: Any) -> str:
    text = repr(value) if value != "" else "nothing"
    return text if len(text) <= 60 else f"{text[:57]}..."


# ------------------------------------------------------------------------------ ours and hassil's


class _Reader:
    """Reads templates; lists and rules are looked up when a template uses them."""

    def __init__(self, contents: Mapping[str, dict[str, Any]]) -> None:
        self.contents = contents
        self.raw_lists = self._gathered("lists")
        self.rules = self._gathered("rules") | self._gathered("expansion_rules")
        self.lists: dict[str, tuple[Items, ...]] = {}
        self.parsed: dict[tuple[str, bool], Items] = {}  # rules; True: inside the value of a slot

    def grammar(self) -> Grammar:
        found: list[Template] = []
        for path, content in self.contents.items():
            if not content.keys() & {"intents", "lists", "rules", "expansion_rules"}:
                raise InputError(
                    f"{path}: found the keys {', '.join(content) or 'nothing'}; expected `intents` "
                    "and `lists` (ours, hassil's) or `context` (Rhino's)"
                )
            intents = _mapping(content.get("intents", {}), f"{path}: intents", "intents by name")
            for intent, value in intents.items():
                where = f"{path}: intents.{intent}"
                if not re.search(r"[^\W_]", intent):
                    raise InputError(f"{where}: the name has no letters; give the intent a name")
                if isinstance(value, dict):
                    found += self._of_hassil(intent, value, where)
                else:
                    found += self._templates(intent, value, where, self.rules)
        return Grammar(tuple(found), self.lists)

    def _gathered(self, key: str) -> dict[str, tuple[str, Any]]:
        """name -> (place, value) of a key of all files; the last file counts."""
        found = {}
        for path, content in self.contents.items():
            place = f"{path}: {key}"
            for name, value in _mapping(content.get(key, {}), place).items():
                found[name] = (f"{place}.{name}", value)
        return found

    def _of_hassil(self, intent: str, value: dict[str, Any], where: str) -> list[Template]:
        found = []
        data = value.get("data")
        if not isinstance(data, list):
            raise InputError(f"{where}.data: found {_shown(data)}, expected a list of `sentences`")
        for number, block in enumerate(data):
            place = f"{where}.data[{number}]"
            block = _mapping(block, place, "`sentences` and what goes with them")
            own = _mapping(block.get("expansion_rules", {}), f"{place}.expansion_rules")
            rules = {name: (f"{place}.expansion_rules.{name}", one) for name, one in own.items()}
            sentences = block.get("sentences")
            found += self._templates(intent, sentences, f"{place}.sentences", self.rules | rules)
        return found

    def _templates(
        self, intent: str, value: Any, where: str, rules: Mapping[str, tuple[str, Any]]
    ) -> list[Template]:
        texts = _strings(value, where, "a list of templates")
        return [
            Template(intent, self._parse(text, f"{where}[{n}]", rules, ()), f"{where}[{n}]")
            for n, text in enumerate(texts)
        ]

    def _parse(
        self, text: str, where: str, rules: Mapping[str, tuple[str, Any]], inside: tuple[str, ...]
    ) -> Items:
        """A template; `inside`: the rules or the list (`{name}`) that led here."""
        return _TemplateParser(self, text, where, rules, inside).items()

    def rule(
        self, name: str, where: str, rules: Mapping[str, tuple[str, Any]], inside: tuple[str, ...]
    ) -> Items:
        if name not in rules:
            raise InputError(
                f"{where}: the rule <{name}> is not there; add it under `rules` (hassil: "
                "`expansion_rules`)"
            )
        place, value = rules[name]
        if name in inside:
            raise InputError(
                f"{place}: the rule <{name}> contains itself, by way of "
                f"{' '.join(f'<{one}>' for one in inside)}; write out how far it goes"
            )
        if not isinstance(value, str):
            raise InputError(f"{place}: found {_shown(value)}, expected a template between quotes")
        if rules is not self.rules:  # an intent's own rules may hide some that this one uses
            return self._parse(value, place, rules, (*inside, name))
        key = (name, any(one.startswith("{") for one in inside))
        if key not in self.parsed:
            self.parsed[key] = self._parse(value, place, rules, (*inside, name))
        return self.parsed[key]

    def need_list(self, name: str, where: str) -> None:
        """Read a list unless it has been read already."""
        if name in self.lists:
            return
        if name not in self.raw_lists:
            raise InputError(
                f"{where}: the list {{{name}}} is not there; add its values under `lists`"
            )
        place, value = self.raw_lists[name]
        if isinstance(value, dict):
            if "range" in value:
                numbers = _range(value["range"], f"{place}.range")
                self.lists[name] = tuple((Words(number),) for number in numbers)
                return
            if "values" not in value:
                raise InputError(
                    f"{place}: found the keys {', '.join(value) or 'nothing'}, expected `values` "
                    "or `range`; a list of any words (wildcard) needs values to be written here"
                )
            place, value = f"{place}.values", value["values"]
        texts = [
            one["in"] if isinstance(one, dict) and isinstance(one.get("in"), str) else one
            for one in (value if isinstance(value, list) else [])
        ]
        texts = _strings(texts if isinstance(value, list) else value, place, "values as a list")
        if not texts:
            raise InputError(f"{place}: the list is empty; add values, or remove its slot")
        self.lists[name] = tuple(
            self._parse(text, f"{place}[{n}]", self.rules, (f"{{{name}}}",))
            for n, text in enumerate(texts)
        )


def _range(value: Any, where: str) -> list[str]:
    value = _mapping(value, where, "`from` and `to`")
    try:
        first, last = int(value["from"]), int(value["to"])
        step = int(value.get("step", 1))
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{where}: found {_shown(value)}, expected whole numbers `from`, `to`"
        ) from None
    numbers = range(first, last + 1, step) if step > 0 else range(0)
    if not numbers or len(numbers) > 100_000:
        raise InputError(f"{where}: {len(numbers)} numbers; expected 1 to 100000 of them")
    return [f"minus {-number}" if number < 0 else str(number) for number in numbers]


class _TemplateParser:
    """Parses one template of hassil's syntax."""

    def __init__(
        self,
        reader: _Reader,
        text: str,
        where: str,
        rules: Mapping[str, tuple[str, Any]],
        inside: tuple[str, ...],
    ) -> None:
        self.reader, self.rules, self.inside = reader, rules, inside
        self.where = f"{where}: {text!r}"
        self.place = where
        self.tokens = _HASSIL.findall(text.strip())
        self.at = 0

    def items(self) -> Items:
        if len(self.inside) > DEEPEST:
            raise InputError(f"{self.place}: more than {DEEPEST} rules in rules")
        options = self._options("", 0)
        return options[0] if len(options) == 1 else (Choice(tuple(options)),)

    def _options(self, closing: str, depth: int) -> list[Items]:
        """What stands between `|` up to the closing bracket, which is taken."""
        if depth > DEEPEST:
            raise InputError(f"{self.where}: more than {DEEPEST} brackets in brackets")
        options: list[Items] = []
        in_order: list[Items] = []  # those separated by `;` since the last `|`
        items: list[Item] = []
        blank = True  # before the next item
        while True:
            token = self.tokens[self.at] if self.at < len(self.tokens) else ""
            self.at += 1
            if token in ("", "|", ";", ")", "]"):
                in_order.append(tuple(items))
                items, blank = [], True
                if token == ";" and closing:
                    continue
                options += [_in_any_order(in_order, self.where)]
                in_order = []
                if token == closing:
                    return options
                if token != "|":
                    raise InputError(f"{self.where}: {self._misplaced(token, closing)}")
            elif token.isspace():
                blank = True
            else:
                item = self._item(token, depth)
                items += item if blank or not items else (Join(), *item)
                blank = False

    def _misplaced(self, token: str, closing: str) -> str:
        if not token:
            return f"a bracket is not closed by {closing!r}"
        if token == ";":
            return r"';' stands for any order inside brackets only; as a sign, write \;"
        return f"{token!r} without its opening bracket; as a sign, write \\{token}"

    def _item(self, token: str, depth: int) -> Items:
        if token in "([":
            options = self._options(")" if token == "(" else "]", depth + 1)
            return (Choice(tuple(options), optional=token == "["),)
        if token == "{":
            kind, _, name = self._name("}").partition(":")
            kind, name = kind.strip(), name.strip() or kind.strip()
            if any(one.startswith("{") for one in self.inside):
                raise InputError(f"{self.where}: a slot in the value of a slot; write it out")
            if not re.search(r"[^\W_]", name):
                raise InputError(f"{self.where}: the slot {name!r} has no letters; give it a name")
            self.reader.need_list(kind, self.where)
            return (Slot(kind, name),)
        if token == "<":
            rule = self.reader.rule(self._name(">"), self.where, self.rules, self.inside)
            return (Choice((rule,)),)
        if token in _SPECIAL:
            raise InputError(f"{self.where}: {self._misplaced(token, '')}")
        return (Words(re.sub(r"\\(.)", r"\1", token)),)

    def _name(self, closing: str) -> str:
        """The name up to the closing bracket, which is taken."""
        start = self.at
        while self.at < len(self.tokens) and self.tokens[self.at] not in _SPECIAL:
            self.at += 1
        name = "".join(self.tokens[start : self.at]).strip()
        if self.at == len(self.tokens) or self.tokens[self.at] != closing or not name:
            opening = "{" if closing == "}" else "<"
            raise InputError(f"{self.where}: after {opening!r} expected a name and {closing!r}")
        self.at += 1
        return name


def _in_any_order(parts: Sequence[Items], where: str) -> Items:
    if len(parts) == 1:
        return parts[0]
    if len(parts) > _MANY:
        raise InputError(
            f"{where}: {len(parts)} things in any order; at most {_MANY}, write out others"
        )
    orders = itertools.permutations(parts)
    return (Choice(tuple(tuple(itertools.chain(*order)) for order in orders)),)


# ---------------------------------------------------------------------------------------- Rhino's


def _of_rhino(path: str, content: Mapping[str, Any]) -> Grammar:
    context = _mapping(content["context"], f"{path}: context")
    macros = {
        name: (f"{path}: context.macros.{name}", value)
        for name, value in _mapping(context.get("macros", {}), f"{path}: context.macros").items()
    }
    lists = {}
    for kind, listed in _mapping(context.get("slots", {}), f"{path}: context.slots").items():
        place = f"{path}: context.slots.{kind}"
        if not (values := _strings(listed, place, "values as a list")):
            raise InputError(f"{place}: the slot type has no values; add some")
        lists[kind] = tuple((Words(value),) for value in values)
    place = f"{path}: context.expressions"
    found = []
    for intent, texts in _mapping(context.get("expressions"), place, "intents by name").items():
        for number, text in enumerate(_strings(texts, f"{place}.{intent}", "expressions")):
            where = f"{place}.{intent}[{number}]: {text!r}"
            items = parse_expression(text, where, macros)
            _check_kinds(items, lists, where)
            found.append(Template(intent, items, where))
    return Grammar(tuple(found), lists)


def _check_kinds(items: Items, lists: Mapping[str, object], where: str) -> None:
    for item in items:
        if isinstance(item, Slot) and item.kind not in lists:
            raise InputError(
                f"{where}: the slot type {item.kind!r} has no values; add them under context.slots "
                "(those that are built into Rhino, pv.…, too)"
            )
        if isinstance(item, Choice):
            for option in item.options:
                _check_kinds(option, lists, where)


def parse_expression(
    text: str,
    where: str,
    macros: Mapping[str, tuple[str, Any]] | None = None,
    inside: tuple[str, ...] = (),
) -> Items:
    """An expression of Rhino as items; `where` begins the message of an InputError.

    `macros`: name -> (place, its expressions); `inside`: the macros that led here.
    """
    tokens = _RHINO.findall(text)
    items, rest = _Expression(tokens, where, macros or {}, inside).sequence(0)
    if rest < len(tokens):
        raise InputError(f"{where}: {tokens[rest]!r} without its opening bracket")
    return items


class _Expression:
    """Parses the tokens of one expression."""

    def __init__(
        self,
        tokens: Sequence[str],
        where: str,
        macros: Mapping[str, tuple[str, Any]],
        inside: tuple[str, ...],
    ) -> None:
        self.tokens, self.where, self.macros, self.inside = tokens, where, macros, inside

    def sequence(self, at: int, depth: int = 0) -> tuple[Items, int]:
        """Items up to a comma, a closing bracket or the end, and where they end."""
        if depth > DEEPEST:
            raise InputError(f"{self.where}: more than {DEEPEST} brackets in brackets")
        items: list[Item] = []
        while at < len(self.tokens) and self.tokens[at] not in ("]", ")", ","):
            token = self.tokens[at]
            if token in ("[", "("):
                choice, at = self._choice(at, depth)
                items.append(choice)
                continue
            if token.startswith("$"):
                kind, _, name = token[1:].partition(":")
                if not kind or not name:
                    raise InputError(f"{self.where}: found {token!r}, expected $type:name")
                items.append(Slot(kind, name))
            elif token.startswith("@"):
                items.append(self._macro(token[1:]))
            elif items and isinstance(items[-1], Words):
                items[-1] = Words(f"{items[-1].text} {token}")
            else:
                items.append(Words(token))
            at += 1
        return tuple(items), at

    def _choice(self, at: int, depth: int) -> tuple[Choice, int]:
        opening = self.tokens[at]
        closing = "]" if opening == "[" else ")"
        options = []
        while True:
            option, at = self.sequence(at + 1, depth + 1)
            options.append(option)
            if at == len(self.tokens) or self.tokens[at] not in (",", closing):
                raise InputError(f"{self.where}: {opening!r} is not closed by {closing!r}")
            if self.tokens[at] == closing:
                return Choice(tuple(options), optional=opening == "("), at + 1

    def _macro(self, name: str) -> Choice:
        if name not in self.macros:
            raise InputError(f"{self.where}: the macro @{name} is not there; add it under macros")
        if name in self.inside:
            raise InputError(f"{self.where}: the macro @{name} contains itself; write it out")
        place, listed = self.macros[name]
        texts = _strings(listed, place, "expressions as a list")
        if not texts:
            raise InputError(f"{place}: the macro has no expressions; add some")
        inside = (*self.inside, name)
        return Choice(
            tuple(
                parse_expression(text, f"{place}[{n}]: {text!r}", self.macros, inside)
                for n, text in enumerate(texts)
            )
        )
