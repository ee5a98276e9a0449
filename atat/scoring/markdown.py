"""Markdown that is also readable as plain text: aligned tables, numbers with two decimals.

Knows nothing of where results come from.
"""

from __future__ import annotations

from collections.abc import Sequence

from atat.scoring.bootstrap import Comparison
from atat.scoring.figures import p_value_text


def join(*blocks: str) -> str:
    """Blocks separated by an empty line; empty blocks are left out."""
    return "\n\n".join(block for block in blocks if block)


def table_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns are padded to the same width."""
    lines = [[cell.replace("|", "\\|") for cell in line] for line in [header, *rows]]
    assert len({len(line) for line in lines}) == 1, "every row has a cell for every column"
    widths = [max(3, *(len(cell) for cell in column)) for column in zip(*lines)]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |"
        for line in [lines[0], rule, *lines[1:]]
    )


def code_block(lines: Sequence[str]) -> str:
    return "\n".join(["```sh", *lines, "```"]) if lines else ""


def number(value: float | str) -> str:
    """Text unchanged, a number with two decimals."""
    return value if isinstance(value, str) else f"{value:.2f}"


def signed(value: float | str) -> str:
    """Like `number`, with its sign."""
    return value if isinstance(value, str) else f"{value:+.2f}"


def comparison_text(found: Comparison) -> str:
    """ "+3.21 [+1.02, +5.40], p = 0.004"; "+3.21, p undefined (…)" with too few draws."""
    gap = found.difference
    if gap.value is None:
        return "n/a"
    interval = ""
    if gap.low is not None and gap.high is not None:
        interval = f" [{signed(gap.low)}, {signed(gap.high)}]"
    return f"{signed(gap.value)}{interval}, {p_value_text(found)}"


def plural(count: int, word: str) -> str:
    """ "1 row", "3 rows"."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def listed(words: Sequence[str]) -> str:
    """ "one", "one and two", "one, two and three"."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def duration(seconds: float) -> str:
    """ "45 s", "12.3 min" or "3.1 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
