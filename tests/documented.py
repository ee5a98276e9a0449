"""Code blocks of Markdown files, and the commands in them, for tests of what is written.

Knows nothing of what the commands do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Whatever a reader may copy. RESULTS.md and BENCHMARKS.md are written by the commands in them.
PAGES = sorted(
    path
    for place in (
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs/pages/**/*.md",
        "egs/*/[!R]*.md",
        "egs/*/README.md",
        "tools/README.md",
        "atat/**/README.md",
    )
    for path in ROOT.glob(place)
)
_BLOCK = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\S+\.yaml)\b")


@dataclass(frozen=True)
class Block:
    """A code block: its language, its text, and the page that it stands in."""

    page: str
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that a YAML block says it is, in its first line."""
        named = _FILE.match(self.text)
        return named[1] if named else None


@dataclass(frozen=True)
class Command:
    """A line of a block of shell, without comments; continued lines are one."""

    page: str
    line: str


def blocks(*languages: str) -> list[Block]:
    """All blocks in these languages, page by page."""
    found = []
    for path in PAGES:
        for language, text in _BLOCK.findall(path.read_text(encoding="utf-8")):
            if language in languages:
                found.append(Block(str(path.relative_to(ROOT)), language, text))
    return found


def commands() -> list[Command]:
    """All lines of shell; of a here-document only its first."""
    return [Command(block.page, line) for block in blocks("sh", "bash") for line in _lines(block)]


def _lines(block: Block) -> Iterator[str]:
    end = None
    for line in re.sub(r"\\\n\s*", " ", block.text).splitlines():
        line = re.sub(r"(^|\s+)#( .*|SBATCH.*|!.*)$", "", line).strip()
        if end is not None:
            end = None if line == end else end
        elif line:
            here = re.search(r"<<'?(\w+)'?$", line)
            end = here[1] if here else None
            yield line
