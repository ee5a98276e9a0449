r"""Meaning as trees in the notation of TOP: read, print, compare.

    [IN:PLAY_SONG play the song [SL:SONG watermelon sugar ] ]

Tokens are separated by spaces: an opening tag `[IN:X` or `[SL:Y`, a word, or `]`. Brackets and
backslashes inside words are escaped by a backslash (`\[`, `\]`, `\\`); a backslash before anything
else stands for itself, so that TOP's own files, which escape nothing, are read correctly.

Knows nothing of files, vocabularies or which labels exist. Nothing here recurses: only memory
limits the depth of a tree, so that no hypothesis of a model can crash its scoring.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from atat.base.errors import InputError

CLOSE = "]"
_LABEL = re.compile(r"(?:IN|SL):[^\s\[\]\\]+")
_SPECIAL = re.compile(r"[\[\]\\]")
_ESCAPED = re.compile(r"\\([\[\]\\])")


class SemanticsError(InputError):
    """A text that is not a tree; says what is wrong and at which token."""


@dataclass(frozen=True, eq=False, repr=False)
class Tree:
    """An intent or slot with the words (unescaped) and trees that it spans, in spoken order.

    Raises SemanticsError for a label other than `IN:…` or `SL:…` and for a word that is empty
    or holds white space.
    """

    label: str
    children: tuple[Tree | str, ...] = ()

    def __post_init__(self) -> None:
        if not _LABEL.fullmatch(self.label):
            raise SemanticsError(f"label {self.label!r}: expected IN:NAME or SL:NAME")
        for child in self.children:
            if isinstance(child, str) and child.split() != [child]:
                raise SemanticsError(f"{self.label}: {child!r} is not one word; split it at blanks")

    # Through the tokens, because the generated methods would recurse.
    def __eq__(self, other: object) -> bool:
        return to_tokens(self) == to_tokens(other) if isinstance(other, Tree) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(to_tokens(self)))

    def __repr__(self) -> str:
        return f"Tree({to_string(self)!r})"


def escape(word: str) -> str:
    r"""A word as a token of the stream: `[`, `]` and `\` get a backslash."""
    return _SPECIAL.sub(r"\\\g<0>", word)


def unescape(token: str) -> str:
    """The word that a token of the stream stands for; the inverse of `escape`."""
    return _ESCAPED.sub(r"\1", token)


def tag_name(name: str) -> str:
    """A published name as labels are written: SwitchLightOn, numberOfShots -> NUMBER_OF_SHOTS."""
    return re.sub(r"\W+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).upper()


def is_open(token: str) -> bool:
    """Whether a token is an opening tag, `[IN:X` or `[SL:Y`."""
    return token.startswith("[") and _LABEL.fullmatch(token, 1) is not None


def is_close(token: str) -> bool:
    """Whether a token closes a tree; an escaped bracket is a word."""
    return token == CLOSE


def parse(text: str) -> Tree:
    """The tree written in `text`; SemanticsError says what is wrong and at which token."""
    return parse_tokens(text.split())


def parse_or_none(text: str) -> Tree | None:
    """The tree written in `text`; None if the text is not a tree."""
    try:
        return parse(text)
    except SemanticsError:
        return None


def parse_tokens(tokens: Sequence[str]) -> Tree:
    """As `parse`, for a text already split at its blanks."""
    open_nodes: list[tuple[str, int, list[Tree | str]]] = []  # label, position, children
    root: Tree | None = None
    for position, token in enumerate(tokens, start=1):
        if root is not None:
            _fail(position, token, f"the tree ended before it ({CLOSE!r} too early, or two trees)")
        if is_open(token):
            open_nodes.append((token[1:], position, []))
        elif not open_nodes:
            _fail(position, token, "expected the tree to begin with an opening tag like '[IN:NAME'")
        elif is_close(token):
            label, _, children = open_nodes.pop()
            node = Tree(label, tuple(children))
            if open_nodes:
                open_nodes[-1][2].append(node)
            else:
                root = node
        else:
            _check_word(position, token)
            open_nodes[-1][2].append(unescape(token))
    if root is None:
        if not open_nodes:
            raise SemanticsError("the tree is empty: expected '[IN:NAME … ]'")
        label, position, _ = open_nodes[-1]
        missing = len(open_nodes)
        raise SemanticsError(
            f"the tree ends after token {len(tokens)} with {missing} {CLOSE!r} missing; "
            f"the last one open is '[{label}' at token {position}"
        )
    return root


def _fail(position: int, token: str, what: str) -> NoReturn:
    raise SemanticsError(f"token {position} ({token!r}): {what}")


def _check_word(position: int, token: str) -> None:
    if token.startswith("["):
        _fail(position, token, r"not a tag ([IN:NAME or [SL:NAME); as a word, write it with \[")
    bare = _ESCAPED.sub("", token)
    if "[" in bare or "]" in bare:
        _fail(position, token, r"bracket inside a word; set it apart by blanks or write \[ and \]")


def to_tokens(tree: Tree) -> list[str]:
    """Opening tags, words (escaped) and `]`, in the order of the text."""
    tokens: list[str] = []
    pending: list[Tree | str | None] = [tree]  # None: close the node opened last
    while pending:
        item = pending.pop()
        if item is None:
            tokens.append(CLOSE)
        elif isinstance(item, str):
            tokens.append(escape(item))
        else:
            tokens.append(f"[{item.label}")
            pending.append(None)
            pending.extend(reversed(item.children))
    return tokens


def to_string(tree: Tree) -> str:
    """The canonical text of a tree: its tokens with one blank between; `parse` reads it back."""
    return " ".join(to_tokens(tree))


def words(tree: Tree) -> list[str]:
    """The words of a tree in spoken order, unescaped."""
    return [unescape(t) for t in to_tokens(tree) if not is_open(t) and not is_close(t)]


def tags(tree: Tree) -> set[str]:
    """The atomic tokens a tree needs: its opening tags and `]`."""
    return {token for token in to_tokens(tree) if is_open(token) or is_close(token)}


def is_well_formed(tree: Tree) -> bool:
    """Whether an intent is at the root and intents and slots alternate (Gupta et al. 2018)."""
    return all(
        label.startswith("SL:" if depth % 2 == 0 else "IN:") for label, depth, _, _ in spans(tree)
    )


def drop_words_outside_slots(tree: Tree) -> Tree:
    """The tree without the words that no slot spans; every tag stays.

    A word directly below an intent is kept if that intent itself is in a slot.
    """
    kept: list[str] = []
    slots = [0]  # how many are open, in each node from the root down
    for token in to_tokens(tree):
        if is_open(token):
            slots.append(slots[-1] + token.startswith("[SL:"))
        elif is_close(token):
            slots.pop()
        elif not slots[-1]:
            continue
        kept.append(token)
    return parse_tokens(kept)


def items(tree: Tree) -> list[tuple[tuple[str, ...], str]]:
    """(labels from the root down, value) of each intent and slot, in the order of opening.

    The value of a slot is all the words it spans, joined by blanks; that of an intent is "".
    """
    leaves = words(tree)
    found = []
    path: list[str] = []
    for label, depth, start, end in spans(tree):
        path[depth - 1 :] = [label]
        value = " ".join(leaves[start:end]) if label.startswith("SL:") else ""
        found.append((tuple(path), value))
    return found


def brackets(tree: Tree) -> list[tuple[str, int, int]]:
    """(label, first word, word after the last) of each intent and slot, in order of opening."""
    return [(label, start, end) for label, _, start, end in spans(tree)]


def spans(tree: Tree) -> list[tuple[str, int, int, int]]:
    """(label, depth, first word, word after the last) of each node as opened; the root has 1."""
    return spans_of_tokens(to_tokens(tree))


def spans_of_tokens(tokens: Sequence[str]) -> list[tuple[str, int, int, int]]:
    """As `spans`, of the tokens of a tree; of others raises SemanticsError, or means nothing."""
    found: list[tuple[str, int, int, int]] = []
    open_spans: list[int] = []
    position = 0
    for token in tokens:
        if is_open(token):
            open_spans.append(len(found))
            found.append((token[1:], len(open_spans), position, position))
        elif is_close(token):
            if not open_spans:
                raise SemanticsError(f"{CLOSE!r} closes nothing")
            index = open_spans.pop()
            found[index] = (*found[index][:3], position)
        else:
            position += 1
    return found
