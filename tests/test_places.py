"""Places that cannot be written to, homes that are none: a sentence before the work, or no harm.

Full disks: test_full_disk.py; line breaks in paths of recipes: test_exploits_shell.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from atat.base import caches, encoder_files
from atat.base.errors import InputError
from atat.datadir import features, kaldi_dir
from atat.datadir.kaldi_dir import Utterance
from atat.engine import named_model
from atat.prepare import synthesis

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home below a file: not even root can write there."""
    (tmp_path / "file").touch()
    home = tmp_path / "file" / "home"
    monkeypatch.setenv("HOME", str(home))
    for name in ("ATAT_CACHE", "ATAT_ENCODERS", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return home


def test_what_is_kept_at_home_says_how_to_keep_it_elsewhere(
    no_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("model/config.yaml", "version: 1\n")
    with pytest.raises(InputError, match=f"{no_home}/.cache/atat/models: .*: ATAT_CACHE=DIR"):
        named_model.find(tmp_path / "model.zip")
    with pytest.raises(InputError, match=f"{no_home}/.cache/atat/encoders: .*: ATAT_ENCODERS=DIR"):
        encoder_files.get("joe")
    assert not encoder_files.is_here("joe")  # a question needs no home
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert named_model.find(tmp_path / "model.zip").is_relative_to(tmp_path / "cache" / "atat")


def test_a_user_without_a_home_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(caches.Path, "home", none)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(InputError, match="no home folder.*: ATAT_CACHE=DIR"):
        caches.folder("ATAT_CACHE")


def test_a_folder_without_the_right_to_write_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caches.os, "access", lambda path, mode: False)  # root always may
    with pytest.raises(InputError, match="no right to write.*: ATAT_CACHE=DIR"):
        caches.make(tmp_path, "ATAT_CACHE")


@pytest.mark.parametrize("command", [["--help"], ["encoder", "list"], ["datadir", "info", "data"]])
def test_commands_need_no_home(no_home: Path, tmp_path: Path, command: list[str]) -> None:
    kaldi_dir.write(tmp_path / "data", [Utterance("s-1", "s", text="play")])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "atat", *command]
    found = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert found.returncode == 0 and not found.stderr


@pytest.mark.parametrize("name", ["line\nbreak", "carriage\rreturn"])
def test_a_line_break_in_a_path_is_refused_before_the_work(tmp_path: Path, name: str) -> None:
    data = tmp_path / "data"
    kaldi_dir.write(data, [Utterance("s-1", "s", wav=str(tmp_path / "none.wav"), text="play")])
    words = "a line break in a path cannot stand in a table of Kaldi"
    with pytest.raises(InputError, match=words):
        features.make(data, tmp_path / name)
    with pytest.raises(InputError, match=words):
        synthesis.synthesise(data, tmp_path / name)
    data.rename(tmp_path / name)
    with pytest.raises(InputError, match=words):
        features.make(tmp_path / name, tmp_path / "arks")
    with pytest.raises(InputError, match="holds a line break"):
        kaldi_dir.write(data, [Utterance("s-1", "s", wav=str(tmp_path / name / "a.wav"))])
    assert [path.name for path in tmp_path.iterdir() if path.name != name] == ["data"]
    assert not list(data.iterdir())


RECIPE = """#!/usr/bin/env bash
# A recipe.
. "{root}/utils/recipe.sh"
{options}
parse_options "$@"
keep_marks "$exp"
if stage 0 "Zero"; then echo zero; fi
if stage 6 "Six"; then echo six; fi
"""


@pytest.mark.parametrize("declared", [True, False])
def test_a_recipe_says_at_once_what_it_cannot_write(tmp_path: Path, declared: bool) -> None:
    (tmp_path / "file").touch()
    script = tmp_path / "toy" / "run.sh"
    script.parent.mkdir()
    options = f'path_option data "{tmp_path}/file/data" "data dirs"'
    if not declared:
        options = f"data={tmp_path}/file/data"
    script.write_text(RECIPE.format(root=ROOT, options=options))
    script.chmod(0o755)

    def run(*arguments: str) -> tuple[int, str, str]:
        found = subprocess.run([script, *arguments], capture_output=True, text=True)
        return found.returncode, found.stdout, found.stderr

    code, out, errors = run("--exp", str(tmp_path / "file" / "exp"))
    assert code == 2 and out == ""
    assert errors.startswith(f"error: {tmp_path}/file/exp: cannot be written (Not a directory). ")
    assert "Give a folder that can: --exp DIR" in errors
    code, out, errors = run()
    assert code == 2 and out == ""
    assert errors.startswith(f"error: {tmp_path}/file/data: cannot be written (Not a directory). ")
    words = "Give a folder that can: --data DIR" if declared else "clone the repository to where"
    assert words in errors
    code, out, errors = run("--stage", "6")  # which reads data only
    assert code == 0 and "six" in out
    if declared:
        assert run("--data", str(tmp_path / "new"))[0] == 0
    assert not (tmp_path / "new").exists()  # tried, not made
