"""How commands end: a sentence and an exit code for what a user can change, else a traceback."""

from __future__ import annotations

import argparse
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from atat.base import cli
from atat.base.errors import WorkFailed

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (errno.ENOSPC, 1, "the disk is full while writing exp/a; finished work is kept"),
        (errno.EDQUOT, 1, "the disk is full while writing exp/a"),
        (errno.EROFS, 2, "exp/a: is on a read-only file system"),
        (errno.EACCES, 2, "exp/a: permission denied"),
        (errno.EPERM, 2, "exp/a: permission denied"),
        (errno.ENOTDIR, 2, "exp/a: a part of this path is a file, not a folder"),
    ],
)
def test_errors_of_the_system_that_a_user_can_change_are_one_line(number, code, message, capsys):
    def main() -> None:
        raise OSError(number, os.strerror(number), "exp/a")

    with pytest.raises(SystemExit) as ended:
        cli.run(main)
    said = capsys.readouterr().err
    assert ended.value.code == code
    assert said.startswith(f"error: {message}") and said.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 3 TiB"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate\nmore"),
        type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried to allocate"),
    ],
)
def test_too_little_memory_is_one_line(error, capsys):
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        cli.run(main)
    said = capsys.readouterr().err
    assert ended.value.code == 1 and said.startswith("error: not enough memory")
    assert "a smaller --beam" in said and said.count("\n") == 1


@pytest.mark.parametrize(("continues", "said"), [(True, "to continue"), (False, "interrupted\n")])
def test_only_what_keeps_its_work_says_that_it_continues(continues, said, capsys):
    def main() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        cli.run(main, continues=continues)
    assert ended.value.code == 130 and said in capsys.readouterr().err


def test_work_that_died_is_one_sentence(capsys):
    def main() -> None:
        raise WorkFailed("a worker process died; smaller --nj")

    with pytest.raises(SystemExit) as ended:
        cli.run(main)
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: a worker process died; smaller --nj\n"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error", "exp/a"),
        OSError(errno.EACCES, "no file named"),
        RuntimeError("a bug"),
    ],
)
def test_a_bug_is_a_traceback(error):
    def main() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        cli.run(main)
    assert raised.value is error


def test_a_training_whose_folder_cannot_be_made_says_so(tmp_path):
    (tmp_path / "conf.yaml").write_text("tokenizer: t\nsteps: 1\ntrain: [{data: d, task: slu}]\n")
    (tmp_path / "file").touch()
    for out, message in (("file", "a folder was expected"), ("file/exp", "is a file")):
        done = subprocess.run(
            [sys.executable, "-m", "atat", "train", "--config", "conf.yaml", "--out", out],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert message in done.stderr


def test_of_the_search_only_what_is_given_is_asked_for():
    """The rest is the calibration's: a default would be another search than the model's."""
    parser = argparse.ArgumentParser()
    cli.add_search(parser)
    assert cli.search_of(parser.parse_args([])) == {}
    given = parser.parse_args(["--beam", "2", "--bridge", "0", "--well_formed"])
    assert cli.search_of(given) == {"beam": 2, "bridge": 0.0, "well_formed": True}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--daat x", "unknown option --daat; did you mean --data?"),
        ("--daat=x", "unknown option --daat; did you mean --data?"),
        ("--data x --zzz", "unknown option --zzz; prog --help lists them"),
        ("sub --naem y", "unknown option --naem; did you mean --name?"),
    ],
)
def test_a_mistyped_option_is_told_the_nearest_before_a_missing_one(
    given: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = cli.Parser(prog="prog")
    if given.startswith("sub"):
        commands = parser.add_subparsers(required=True)
        commands.add_parser("sub").add_argument("--name", required=True)
    else:
        parser.add_argument("--data", required=True)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(given.split())
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_abbreviations_and_what_stands_behind_two_dashes_are_no_mistakes() -> None:
    parser = cli.Parser()
    parser.add_argument("--data_dir")
    parser.add_argument("files", nargs="*")
    found = parser.parse_args(["--data", "x", "--", "--file"])
    assert (found.data_dir, found.files) == ("x", ["--file"])


def test_options_may_stand_between_files() -> None:
    parser = cli.Parser()
    parser.add_argument("folder")
    parser.add_argument("files", nargs="*")
    parser.add_argument("--data")
    for given in ("a --data x b c", "--data x a b c", "a b --data x c", "a b c --data x"):
        found = parser.parse_args(given.split())
        assert (found.folder, found.files, found.data) == ("a", ["b", "c"], "x")
    found = parser.parse_args("a --data x -- --file".split())
    assert (found.folder, found.files) == ("a", ["--file"])
    with pytest.raises(SystemExit):
        parser.parse_args([])


@pytest.mark.parametrize("nargs", ["+", "*"])
def test_options_may_stand_between_files_that_are_all_there_is(nargs: str) -> None:
    parser = cli.Parser()
    parser.add_argument("files", nargs=nargs)
    parser.add_argument("--data")
    for given in ("a --data x b", "--data x a b", "a b --data x", "a --data x -- b"):
        found = parser.parse_args(given.split())
        assert (found.files, found.data) == (["a", "b"], "x")
    found = parser.parse_args("--data x a -- b --data -- y".split())
    assert (found.files, found.data) == (["a", "b", "--data", "--", "y"], "x")


def test_of_an_option_of_several_values_that_is_given_again_all_count() -> None:
    parser = cli.Parser()
    parser.add_argument("file")
    group = parser.add_argument_group("in a group")
    group.add_argument("--data", nargs="+", required=True)
    group.add_argument("--fields", nargs="*", default=["close", "far"])
    group.add_argument("--hidden", nargs="+", action="store", default=argparse.SUPPRESS)
    parser.add_argument("--name")
    found = parser.parse_args("f --data a b --name x --data c --name y".split())
    assert (found.data, found.name, found.fields) == (["a", "b", "c"], "y", ["close", "far"])
    assert "hidden" not in found
    given = "f --data a --fields near --hidden 1 --fields far --hidden 2 3".split()
    for _ in range(2):
        found = parser.parse_args(given)
        assert (found.fields, found.hidden) == (["near", "far"], ["1", "2", "3"])
    assert parser.parse_args("f --data a --fields".split()).fields == []
    commands = cli.Parser()
    commands.add_subparsers().add_parser("sub").add_argument("--data", nargs="+")
    assert commands.parse_args("sub --data a --data b".split()).data == ["a", "b"]


def test_all_commands_and_programs_of_recipes_have_this_parser() -> None:
    own = [
        path
        for folder in ("atat", "egs")
        for path in (ROOT / folder).rglob("*.py")
        if "argparse.ArgumentParser(" in path.read_text(encoding="utf-8")
        and path != ROOT / "atat/base/cli.py"
    ]
    assert own == []
