"""Tables of the keys of YAML files, read from the dataclasses and the comments beside their fields.

Nothing is imported: a comment is no part of a running program. Knows nothing of mkdocs.
"""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path


def tables(path: Path) -> str:
    """A table for each dataclass of a file that has fields."""
    source = path.read_text(encoding="utf-8")
    comments = _comments(source)
    lines = source.split("\n")
    text = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
            rows = [_row(field, comments, lines) for field in fields]
            if rows:
                text.append(f"### {node.name}")
                text.append(" ".join((ast.get_docstring(node) or "").split("\n\n")[0].split()))
                text.append("\n".join(["| key | type | default | |", "|---|---|---|---|", *rows]))
    return "\n\n".join(text)


def _row(field: ast.AnnAssign, comments: dict[int, str], lines: list[str]) -> str:
    """Key, type, default, and the comments above and beside it."""
    above = []
    number = field.lineno - 1
    while lines[number - 1].lstrip().startswith("#"):
        above.append(comments[number])
        number -= 1
    last = field.end_lineno or field.lineno
    beside = [comments[n] for n in range(field.lineno, last + 1) if n in comments]
    default = "" if field.value is None else _default(field.value)
    said = " ".join([*reversed(above), *beside])
    cells = (f"`{ast.unparse(field.target)}`", f"`{ast.unparse(field.annotation)}`", default, said)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(value: ast.expr) -> str:
    """A default as a YAML file would have it, or nothing where a class makes it."""
    if isinstance(value, ast.Call):
        return "" if "factory" in ast.unparse(value) else f"`{ast.unparse(value)}`"
    return f"`{ast.unparse(value)}`"


def _comments(source: str) -> dict[int, str]:
    """The comment of each line that has one."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
