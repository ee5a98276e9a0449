"""The pages of commands, described by their own parsers.

Imports `atat.__main__` and what `--help` loads, no torch. Knows nothing of mkdocs.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from typing import Any, NoReturn
from unittest import mock

import sections

sys.path.insert(0, str(sections.ROOT))

from atat.__main__ import main  # noqa: E402

WIDTH = "80"  # of usage lines, whatever the terminal


def page(name: str) -> str:
    """The page of one command and of its subcommands."""
    first, *others = parsers(name)
    text = [f"# atat {name}", *_described(first)]
    for parser in others:
        text += [f"## {parser.prog}", *_described(parser)]
    return "\n\n".join(text) + "\n"


def parsers(name: str) -> list[argparse.ArgumentParser]:
    """The parser of a command, then those of its subcommands, in their order."""
    made: list[argparse.ArgumentParser] = []
    begin = argparse.ArgumentParser.__init__

    def noted(parser: argparse.ArgumentParser, *args: Any, **keys: Any) -> None:
        begin(parser, *args, **keys)
        made.append(parser)

    def stop(*_: object, **__: object) -> NoReturn:
        raise _Made

    with mock.patch.object(argparse.ArgumentParser, "__init__", noted):
        with mock.patch.object(argparse.ArgumentParser, "parse_args", stop):
            try:
                main([name])
            except _Made:
                pass
    assert made, name
    return made


class _Made(Exception):
    """All parsers of a command are there."""


def _described(parser: argparse.ArgumentParser) -> list[str]:
    """What its help says: usage, description, options."""
    with mock.patch.dict(os.environ, {"COLUMNS": WIDTH}):
        usage = parser.format_usage().removeprefix("usage: ")
        said = parser.format_help()
    text, _, example = (parser.description or "").partition("\n\nExample")
    blocks = [f"```text\n{usage}```", *map(_paragraph, text.split("\n\n"))]
    if example:
        lines = [line.strip() for line in example.split("\n")[1:] if line.strip()]
        blocks.append("```sh\n" + "\n".join(lines) + "\n```")
    parts = re.split(r"^(positional arguments|options):$", said, flags=re.MULTILINE)
    for heading, body in zip(parts[1::2], parts[2::2]):
        name = "Arguments" if heading.startswith("positional") else "Options"
        blocks.append(f"**{name}**\n\n```text\n{_dedented(body)}\n```")
    return blocks


def _paragraph(text: str) -> str:
    """A paragraph of a description; what it reads and writes in bold."""
    joined = " ".join(text.split())
    if "`" not in joined:  # names such as checkpoint-*.pt and <id> are no Markdown
        joined = re.sub(r"([<*_])", r"\\\1", joined)
    return re.sub(r"^(Reads|Writes):", r"**\1:**", joined)


def _dedented(body: str) -> str:
    lines = [line.removeprefix("  ") for line in body.strip("\n").split("\n")]
    return "\n".join(lines).strip("\n")
