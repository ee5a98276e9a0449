"""The one command: its map names every command, each answers --help, mistakes are one line."""

from __future__ import annotations

import argparse
import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atat.__main__ import COMMANDS, main, overview

ROOT = Path(__file__).resolve().parent.parent
EVERY = {name: command for group in COMMANDS.values() for name, command in group.items()}


def test_the_map_names_every_command() -> None:
    said = overview()
    assert all(f"\n  {name} " in said for name in EVERY)


def test_every_module_with_a_command_line_is_a_command() -> None:
    """A module with `main(argv)` that no command reaches would be dead.

    On a device, where nothing but `atat.runtime` can be imported, it is `python -m atat.runtime`.
    """
    found = set()
    for path in (ROOT / "atat").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name == "main":
                if [argument.arg for argument in node.args.args] == ["argv"]:
                    found.add(".".join(path.relative_to(ROOT / "atat").with_suffix("").parts))
    assert found - {"__main__", "runtime.__main__"} == {
        command.module for command in EVERY.values()
    }


@pytest.mark.parametrize("name", EVERY)
def test_each_help_calls_the_command_by_its_name(name: str, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert said.startswith(f"usage: atat {name} ")
    assert f"atat {name}" in " ".join(said.split()[3:]), "no example"


@pytest.mark.parametrize("name", [*EVERY, "align report"])
def test_each_help_says_what_is_read_and_written_with_an_example(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for parser in _parsers_of(name, monkeypatch):  # of its subcommands, too
        said = parser.format_help()
        prog = re.escape(parser.prog)
        for part in (r"Reads: \S", r"Writes: \S", rf"Examples?:\n  {prog}(?: \S|$)"):
            assert re.search(rf"^{part}", said, re.MULTILINE), (parser.prog, part, said)


@pytest.mark.parametrize("name", [*EVERY, "align report"])
def test_the_examples_of_a_help_are_understood(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parsers = _parsers_of(name, monkeypatch)
    read = argparse.ArgumentParser.parse_args

    def read_only(parser: argparse.ArgumentParser, *args: Any) -> None:
        read(parser, *args)
        raise _Understood

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", read_only)
    for parser in parsers:
        for example in re.findall(r"^  atat (.*)$", parser.format_help(), re.MULTILINE):
            if not example.endswith("--help"):
                with pytest.raises(_Understood):
                    main(shlex.split(example))


class _Understood(Exception):
    """The command line was read; the command itself is not run."""


def _parsers_of(name: str, monkeypatch: pytest.MonkeyPatch) -> list[argparse.ArgumentParser]:
    """Every parser that is made on the way to the help of a command."""
    made: list[argparse.ArgumentParser] = []
    begin = argparse.ArgumentParser.__init__

    def noted(parser: argparse.ArgumentParser, *args: Any, **options: Any) -> None:
        begin(parser, *args, **options)
        made.append(parser)

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "__init__", noted)
        with pytest.raises(SystemExit):
            main([*name.split(), "--help"])
    assert made
    return made


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
