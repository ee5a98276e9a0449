"""A hook of mkdocs: the reference of commands, recipes' options and modules.

Commands are described by their own parsers, recipes by `run.sh --help`, modules by the first line
of their docstrings; none of it is written here. Only `atat.__main__` and what `--help` loads are
imported, so it takes a second.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import commands
import keys
import sections
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = sections.ROOT
sys.path.insert(0, str(ROOT))

from atat.__main__ import COMMANDS  # noqa: E402

# What a nav of mkdocs.yml may say in the place of a list of pages.
PLACEHOLDERS = ("COMMANDS", "RECIPES")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the navigation with commands and recipes."""
    config.nav = _filled(config.nav)
    return config


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put tables where a page wants them: `<!-- keys FILE -->`, commands, modules."""
    if "<!-- commands -->" in markdown:
        markdown = markdown.replace("<!-- commands -->", overview())
    if "<!-- modules -->" in markdown:
        markdown = markdown.replace("<!-- modules -->", modules())
    return re.sub(
        r"^<!-- keys (\S+) -->$", lambda found: keys.tables(ROOT / found[1]), markdown, flags=re.M
    )


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {}
    for name in _commands():
        pages[f"reference/commands/{name}.md"] = commands.page(name)
    for recipe in recipes():
        pages[f"recipes/{recipe}/options.md"] = options(recipe)
    for uri, content in pages.items():
        files.append(File.generated(config, uri, content=content))
    return files


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


def overview() -> str:
    """Every command, group by group."""
    text = []
    for title, group in COMMANDS.items():
        rows = [
            f"| [`{name}`](commands/{name}.md) | {one.summary} |" for name, one in group.items()
        ]
        text.append("\n".join([f"## {title}\n", "| | |", "|---|---|", *rows]))
    return "\n\n".join(text)


def modules() -> str:
    """Every module of the package with the first sentence of its docstring, room by room."""
    text = []
    for room in _rooms():
        rows = [
            f"| `{path.stem}` | {_sentence(path)} |"
            for path in sorted(room.glob("*.py"))
            if not path.stem.startswith("__")
        ]
        text.append(f"## atat.{'.'.join(room.relative_to(ROOT / 'atat').parts)}")
        text.append("\n".join(["| | |", "|---|---|", *rows]))
    return "\n\n".join(text)


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
        pages: list[Any] = ["reference/commands.md"]
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
