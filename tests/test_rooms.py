"""The rooms of the package: imports go one way, and no system imports another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "atat"
# Each may import those before it.
ORDER = "base text speech runtime datadir nn scoring engine prepare systems apps".split()


def test_every_module_lies_in_a_room() -> None:
    flat = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py", "__main__.py"}
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name[0] != "_"}
    assert (flat, rooms) == (set(), set(ORDER))


def test_imports_go_one_way() -> None:
    against = {
        f"{importer} {imported}"
        for importer, imported in _imports()
        if ORDER.index(imported.split(".")[0]) > ORDER.index(importer.split(".")[0])
    }
    assert against == set()


def test_no_system_imports_another() -> None:
    crossing = [
        (importer, imported)
        for importer, imported in _imports()
        if importer.startswith("systems.") and imported.startswith("systems.")
        if importer.split(".")[1] != imported.split(".")[1]
    ]
    assert crossing == []


def _imports() -> Iterator[tuple[str, str]]:
    """Every import between modules of rooms, those inside functions and for types too."""
    for path in sorted(PACKAGE.rglob("*.py")):
        importer = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if "." not in importer:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("atat."):
                module = node.module.removeprefix("atat.")
                for name in node.names:
                    inside = PACKAGE.joinpath(*module.split("."), f"{name.name}.py").is_file()
                    yield importer, f"{module}.{name.name}" if inside else module
