"""The README names every room of the house, and none that is not there."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_table_of_where_things_are_names_every_module_and_nothing_else() -> None:
    rows = re.findall(r"^\| — .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    modules = [path.stem for path in (ROOT / "atat").glob("*.py") if path.stem != "__init__"]
    unnamed = [m for m in modules if not any(fnmatch(m, pattern) for pattern in named)]
    empty = [pattern for pattern in named if not any(fnmatch(m, pattern) for m in modules)]
    assert (unnamed, empty) == ([], [])
