"""What a page is made of: sections of notes, tables, pictures and utterances; plain values.

Whatever makes a part returns these, the page's template writes them, and no text in them is
trusted. Knows nothing of HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from atat.apps.report.drawing import Picture
from atat.base import extras
from atat.base.errors import InputError


@dataclass(frozen=True)
class Note:
    """A sentence."""

    text: str
    kind: Literal["note"] = "note"


@dataclass(frozen=True)
class Code:
    """Lines as a program has written them, below a title that opens them."""

    title: str
    lines: tuple[str, ...]
    kind: Literal["code"] = "code"


@dataclass(frozen=True)
class Table:
    """Cells of text. Those of `numbers` are short and never broken into lines."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: bool = True
    kind: Literal["table"] = "table"


@dataclass(frozen=True)
class Facts:
    """Names and values; those without a value are left out."""

    rows: tuple[tuple[str, str], ...]
    kind: Literal["facts"] = "facts"


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side, as many as there is room for; wide ones have a row of their own."""

    pictures: tuple[Picture, ...]
    wide: bool = False
    kind: Literal["gallery"] = "gallery"


@dataclass(frozen=True)
class Piece:
    """A part of a line of words: a tag or words, and whether the other side lacks it."""

    text: str
    is_tag: bool
    differs: bool


@dataclass(frozen=True)
class Example:
    """An utterance with what was said, what was understood, and its sound, if there is some."""

    utterance: str
    about: str
    reference: tuple[Piece, ...]
    hypothesis: tuple[Piece, ...]
    clip: str = ""  # data: URI
    clip_note: str = ""


@dataclass(frozen=True)
class Examples:
    """Utterances one below the other."""

    examples: tuple[Example, ...]
    kind: Literal["examples"] = "examples"


Block = Note | Code | Table | Facts | Gallery | Examples


@dataclass
class Section:
    """A title with blocks below it, and smaller sections below these."""

    title: str
    blocks: list[Block] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    id: str = ""


def attempt(what: str, make: Callable[[], Iterable[Block]]) -> list[Block]:
    """The blocks that `make` makes; a note that they are left out, and why, if it cannot."""
    try:
        return list(make())
    except (InputError, OSError) as error:
        return [left_out(what, str(error))]
    except ModuleNotFoundError as error:
        sentence = extras.explain(error)
        if sentence is None:
            raise
        return [left_out(what, sentence)]


def left_out(what: str, why: str) -> Note:
    """The sentence in the place of something that is missing."""
    return Note(f"{what}: left out. {why[:1].upper()}{why[1:]}{'' if why.endswith('.') else '.'}")
