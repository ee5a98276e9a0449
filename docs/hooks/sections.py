"""Sections of Markdown files, and pages that are made of them, so that nothing is typed twice.

A page of docs/pages says where a section comes from, in a comment that stands alone in its line:

    <!-- section CONTRIBUTING.md "A new recipe" -->
    <!-- sections egs/*/README.md "Deviations" -->

The first is replaced by the text under that heading, the second by that of every file that fits,
under a heading with the file's title. Knows nothing of mkdocs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^[ \t]*(```|~~~)")
_HEADING = re.compile(r"^(#+) (.*?)\s*$")
_ONE = re.compile(r'^<!-- section (\S+) "([^"]+)" -->$', re.MULTILINE)
_MANY = re.compile(r'^<!-- sections (\S+) "([^"]+)" -->$', re.MULTILINE)
# A link or picture of Markdown, and a picture of HTML: its target is group 2.
_LINK = re.compile(r'(\]\(|src=")([^)"#\s]*)((?:#[^)"\s]*)?(?:\)|"))')


class MissingSection(Exception):
    """A page names a section that is not there."""


def prose(text: str, change: Callable[[str], str]) -> str:
    """The text with `change` applied to every line outside of code blocks."""
    return "\n".join(line if code else change(line) for line, code in _lines(text))


def links(text: str) -> list[str]:
    """Targets of all links and pictures outside of code, without anchors; empty ones left out."""
    found: list[str] = []

    def note(line: str) -> str:
        found.extend(match[2] for match in _LINK.finditer(_without_code(line)) if match[2])
        return line

    prose(text, note)
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def with_links(text: str, change: Callable[[str], str]) -> str:
    """The text with `change` applied to the target of each link within the repository."""

    def one(match: re.Match[str]) -> str:
        target = match[2]
        if target and not re.match(r"[a-z]+:", target):
            target = change(target)
        return match[1] + target + match[3]

    return prose(text, lambda line: _LINK.sub(one, line))


def expand(text: str, path: Path) -> str:
    """The page at `path` with its sections in place; their links lead from there."""

    def one(match: re.Match[str]) -> str:
        source = ROOT / match[1]
        return _moved(section(source, match[2])[1], source, path)

    def many(match: re.Match[str]) -> str:
        parts = []
        for source in sorted(set(ROOT.glob(match[1])) - {path}):
            link = os.path.relpath(source, path.parent)
            body = _moved(section(source, match[2])[1], source, path)
            parts.append(
                f"## {title(source)}\n\nFrom [{source.relative_to(ROOT)}]({link}).\n\n{body}"
            )
        if not parts:
            raise MissingSection(f"{path}: no file fits {match[1]}")
        return "\n\n".join(parts)

    return _MANY.sub(many, _ONE.sub(one, text))


def section(source: Path, heading: str) -> tuple[str, str]:
    """The first heading that begins so, and the text under it up to the next of its level."""
    level, name, body = 0, "", list[str]()
    for line, code in _lines(source.read_text(encoding="utf-8")):
        found = None if code else _HEADING.match(line)
        if level and found and len(found[1]) <= level:
            break
        if level:
            body.append(line)
        elif found and found[2].startswith(heading):
            level, name = len(found[1]), found[2]
    if not level:
        raise MissingSection(f"{source}: no heading begins with {heading!r}")
    return name, "\n".join(body).strip()


def title(source: Path) -> str:
    """The first heading of a file."""
    for line, code in _lines(source.read_text(encoding="utf-8")):
        found = None if code else _HEADING.match(line)
        if found:
            return found[2]
    raise MissingSection(f"{source}: no heading")


def _moved(text: str, source: Path, path: Path) -> str:
    """Text of one file as part of another: links lead to the same files."""

    def change(link: str) -> str:
        return os.path.relpath(source.parent / link, path.parent)

    here = os.path.relpath(source, path.parent)  # of anchors within the source
    return prose(with_links(text, change), lambda line: line.replace("](#", f"]({here}#"))


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it belongs to a code block."""
    fence = ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
            yield line, True
        elif fence:
            if mark and mark[1] == fence:
                fence = ""
            yield line, True
        else:
            yield line, False


def _without_code(line: str) -> str:
    return re.sub(r"`[^`]*`", "", line)
