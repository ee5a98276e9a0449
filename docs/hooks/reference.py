"""A hook of mkdocs: the reference of commands, recipes' options and modules.

Commands are described by their own parsers, recipes by `run.sh --help`, modules by the first line
of their docstrings; none of it is written here. Only `atat.__main__` and what `--help` loads are
imported, so it takes a second.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import sections
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = sections.ROOT
sys.path.insert(0, str(ROOT))

from atat.__main__ import COMMANDS, main, overview  # noqa: E402

# What a nav of mkdocs.yml may say in the place of a list of pages.
PLACEHOLDERS = ("COMMANDS", "RECIPES")
WIDTH = "88"  # of usage lines, whatever the terminal


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the navigation with commands and recipes."""
    config.nav = _filled(config.nav)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {"reference/modules.md": modules()}
    pages["reference/commands/index.md"] = f"# Commands\n\n```text\n{overview()}\n```\n"
    for name in _commands():
        pages[f"reference/commands/{name}.md"] = command(name)
    for recipe in recipes():
        pages[f"recipes/{recipe}/options.md"] = options(recipe)
    for uri, content in pages.items():
        files.append(File.generated(config, uri, content=content))
    return files


def command(name: str) -> str:
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
    joined = re.sub(r"^(Reads|Writes):", r"**\1:**", joined)
    # Names such as MODEL/README.md and <id> are no Markdown.
    return re.sub(r"(?<!`)([<*_])", r"\\\1", joined) if "`" not in joined else joined


def _dedented(body: str) -> str:
    lines = [line.removeprefix("  ") for line in body.strip("\n").split("\n")]
    return "\n".join(lines).strip("\n")


def recipes() -> list[str]:
    """Recipes in the order of the README's table."""
    found = re.findall(r"^\| \[(\w+)\]\(egs/\1/README.md\)", (ROOT / "README.md").read_text(), re.M)
    there = {path.parent.name for path in ROOT.glob("egs/*/run.sh")}
    assert set(found) == there, "the README's table of recipes lacks some"
    return found


def options(recipe: str) -> str:
    """What `run.sh --help` says."""
    said = subprocess.run(
        [ROOT / "egs" / recipe / "run.sh", "--help"], capture_output=True, text=True, check=True
    ).stdout
    return f"# Options of {recipe}\n\n```text\n{said}```\n"


def modules() -> str:
    """Every module of the package with the first sentence of its docstring, room by room."""
    text = ["# Modules", "A package imports only those above it, and no system imports another."]
    for room in _rooms():
        rows = [
            f"| `{path.stem}` | {_sentence(path)} |"
            for path in sorted(room.glob("*.py"))
            if not path.stem.startswith("__")
        ]
        text.append(f"## atat.{'.'.join(room.relative_to(ROOT / 'atat').parts)}")
        text.append("\n".join(["| module | |", "|---|---|", *rows]))
    return "\n\n".join(text) + "\n"


def _rooms() -> list[Path]:
    """Packages in the order in which they may be imported."""
    table = (ROOT / "CONTRIBUTING.md").read_text()
    return [
        ROOT / room
        for room in re.findall(r"^\| `(atat/[a-z/]+)` \|", table, re.M)
        if (ROOT / room).is_dir()
    ]


def _sentence(path: Path) -> str:
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(doc.split("\n\n")[0].split()).replace("|", "\\|")


def _commands() -> list[str]:
    return [name for group in COMMANDS.values() for name in group]


def _filled(nav: Any) -> Any:
    if nav == "COMMANDS":
        pages: list[Any] = ["reference/commands/index.md"]
        for title, group in COMMANDS.items():
            pages.append({title: [{name: f"reference/commands/{name}.md"} for name in group]})
        return pages
    if nav == "RECIPES":
        return [{recipe: _recipe_nav(recipe)} for recipe in recipes()]
    if isinstance(nav, dict):
        return {title: _filled(part) for title, part in nav.items()}
    return [_filled(part) for part in nav] if isinstance(nav, list) else nav


def _recipe_nav(recipe: str) -> list[Any]:
    """README, options, tables, and what else is written about a recipe."""
    others = sorted(p.name for p in (ROOT / "egs" / recipe).glob("*.md") if p.name != "README.md")
    return [
        f"recipes/{recipe}/README.md",
        {"Options": f"recipes/{recipe}/options.md"},
        *({name.removesuffix(".md"): f"recipes/{recipe}/{name}"} for name in others),
    ]
