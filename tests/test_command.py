"""The one command: its map names every command, each answers --help, mistakes are one line."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from atat.__main__ import COMMANDS, main, overview

ROOT = Path(__file__).resolve().parent.parent
EVERY = {name: command for group in COMMANDS.values() for name, command in group.items()}


def test_the_map_names_every_command() -> None:
    said = overview()
    assert all(f"\n  {name} " in said for name in EVERY)


def test_every_module_with_a_command_line_is_a_command() -> None:
    """A module with `main(argv)` that no command reaches would be dead."""
    found = set()
    for path in (ROOT / "atat").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name == "main":
                if [argument.arg for argument in node.args.args] == ["argv"]:
                    found.add(".".join(path.relative_to(ROOT / "atat").with_suffix("").parts))
    assert found - {"__main__"} == {command.module for command in EVERY.values()}


@pytest.mark.parametrize("name", EVERY)
def test_each_help_calls_the_command_by_its_name(name: str, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert said.startswith(f"usage: atat {name} ")
    assert f"atat {name}" in " ".join(said.split()[3:]), "no example"


@pytest.mark.parametrize("name", EVERY)
def test_help_imports_no_torch(name: str) -> None:
    """Torch alone takes a second: help and usage errors are answered before it is loaded."""
    program = (
        "import sys\nfrom atat.__main__ import main\n"
        f"try: main([{name!r}, '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'torchaudio', 'transformers'}\n"
        "print('LOADED', sorted(heavy & set(sys.modules)))"
    )
    done = _python("-c", program)
    assert done.stdout.endswith("LOADED []\n"), done.stdout + done.stderr


def test_a_command_that_does_not_exist_is_told_with_its_neighbour(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["trian"])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "did you mean `train`?" in said and said.count("\n") == 1


def test_python_m_atat_is_the_same() -> None:
    done = _python("-m", "atat", "--help")
    assert done.returncode == 0 and done.stdout == overview() + "\n"


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
