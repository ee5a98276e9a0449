"""Command lines that a recipe hands over: one a line, or each ended by a zero byte."""

from __future__ import annotations

import sys
from pathlib import Path

from atat.base.errors import InputError


def read(source: str) -> list[str]:
    """Those of a file, or with `-` of stdin; InputError if there are none."""
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text()
    except (OSError, ValueError) as error:
        raise InputError(f"--commands {source}: cannot be read: {error}") from None
    lines = text.split("\0") if "\0" in text else text.splitlines()
    found = [line for line in lines if line.strip()]
    if not found:
        raise InputError(f"--commands {source}: no command lines; give one a line")
    return found
