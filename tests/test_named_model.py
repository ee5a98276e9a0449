"""Packed models by name: every command takes every kind of name, and none writes into what is not
the user's own."""

from __future__ import annotations

import argparse
import bz2
import gzip
import lzma
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
import tiny
import torch

from atat.__main__ import main
from atat.base.errors import InputError
from atat.engine import model_folder, named_model

# Commands with a packed model, {}, and what else they need to look for it.
READ = (
    "answer {} --data DATA --out OUT",
    "decode {} --data DATA --out OUT",
    "encoder check none --model {}",
    "export {} --onnx --out OUT",
    "frames {} --data DATA --out OUT",
    "publish {} --to anna/coffee",
    "quantize {} --out OUT",
    "recognize {} order.wav",
    "serve {} --port 0",
    "align --backend ctc --data DATA --model {}",
    "train --config conf.yaml --out OUT --init {}",
    "transcribe --engine joint --data DATA --out OUT --model {}",
)
WRITTEN = ("calibrate {} --data DATA", "card {}", "encoder put {}")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model_folder.save(tmp_path / "exp" / "model", tiny.packed(pairs=[("", "IN:PLAY")]))
    return tmp_path / "exp" / "model"


@pytest.mark.parametrize("line", READ + WRITTEN)
def test_every_command_says_which_names_there_are(
    line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(line.format("demo:nothing").split())
    assert ended.value.code == 2 and not list(tmp_path.rglob("*.json"))
    assert "demo:nothing: no model of that name comes with atat" in capsys.readouterr().err


@pytest.mark.parametrize("line", WRITTEN)
@pytest.mark.parametrize("name", ["demo:music", "model.zip"])
def test_what_is_not_a_folder_is_not_written_to(
    line: str,
    name: str,
    model: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ATAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    shutil.make_archive("model", "zip", model.parent, model.name)
    folder = named_model.find(name)
    before = (folder / "SHA256SUMS").read_bytes()
    with pytest.raises(SystemExit):
        main(line.format(name).split())
    said = capsys.readouterr().err
    assert f"cp -rL {folder} " in said
    assert (folder / "SHA256SUMS").read_bytes() == before


def test_an_archive_is_decoded_as_its_folder_is(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATAT_CACHE", str(tmp_path / "cache"))
    data = tiny.make_data(tmp_path / "data", 4)
    archive = shutil.make_archive(str(tmp_path / "model"), "gztar", model.parent, model.name)
    for name, given in (("a", [str(model)]), ("b", ["--model", str(model)]), ("c", [archive])):
        out = tmp_path / name
        main(["decode", *given, "--data", str(data), "--task", "nlu", "--out", str(out)])
    assert len({(tmp_path / name / "nbest.jsonl").read_bytes() for name in "abc"}) == 1


COMPRESS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def damaged(model: Path, kind: str, folder: Path) -> Path:
    """An archive of the model whose first half can be read."""
    if kind.startswith("zip"):
        path = folder / "model.zip"
        method = zipfile.ZIP_LZMA if kind == "zip of lzma" else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(path, "w", method) as opened:
            opened.write(model / "model.safetensors", "model/model.safetensors")
        content = bytearray(path.read_bytes())
        half = len(content) // 2
        content[half : half + 200] = b"\xff" * 200
    else:
        path, compress = folder / "model.tar", COMPRESS[kind.split()[0]]
        with tarfile.open(path, "w") as tape:
            tape.add(model, "model")
        whole = path.read_bytes()
        half = len(whole) // 2
        begun = 0 if kind == "gz and more" else 10
        content = compress(whole[:half]) + compress(whole[half:])[:begun] + b"\xff" * 200
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", ["zip", "zip of lzma", "gz", "gz and more", "bz2", "xz"])
def test_a_damaged_archive_is_named(
    kind: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATAT_CACHE", str(tmp_path / "cache"))
    path = damaged(model, kind, tmp_path)
    with pytest.raises(InputError, match=rf"{path.name}: damaged or not an archive \(.+\); fetch"):
        named_model.find(path)
    cut = tmp_path / f"cut{path.suffix}"
    cut.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=rf"{cut.name}: damaged or not an archive \(.+\); fetch"):
        named_model.find(cut)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (6, 1, "encrypted; unpack it with its password"),  # the flags
        (8, 9, "That compression method is not supported; unpack it and name the folder"),
    ],
)
def test_an_archive_that_cannot_be_read_here_is_to_be_unpacked_by_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int, value: int, message: str
) -> None:
    monkeypatch.setenv("ATAT_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("model/config.yaml", "version: 1")
    content = bytearray(path.read_bytes())
    for mark, shift in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
        content[content.index(mark) + place + shift] = value
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"model.zip: {message}"):
        named_model.find(path)


@pytest.mark.parametrize("several", [False, True])
def test_the_model_stands_first_or_behind_its_option(several: bool) -> None:
    def read(line: str) -> list[str] | str:
        parser = argparse.ArgumentParser()
        named_model.add_argument(parser, several=several)
        parser.add_argument("--data", nargs="+")
        found: list[str] | str = parser.parse_args(line.split()).model
        return found

    one = ["a"] if several else "a"
    for line in ("a", "--model a", "a --data d", "--model a --data d e", "--data d --model a"):
        assert read(line) == one
    wrong = ["", "a --model b"] + ([] if several else ["a b"])
    for line in wrong:
        with pytest.raises(SystemExit):
            read(line)
    if several:
        assert read("a b") == read("--model a --model b") == ["a", "b"]


def test_a_folder_that_has_gone_is_no_name(tmp_path: Path) -> None:
    """A finished training is not asked for the model it started from."""
    archive = tmp_path / "model.zip"
    archive.write_bytes(b"")
    assert named_model.is_named("demo:music") and named_model.is_named("hf:anna/coffee")
    assert named_model.is_named(archive)
    assert not named_model.is_named(tmp_path) and not named_model.is_named(tmp_path / "gone")


def test_a_mistyped_path_is_never_asked_of_the_hub(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent.parent)
    with pytest.raises(
        InputError, match="exp/modle: not a packed model: no such folder or archive"
    ):
        named_model.find("exp/modle")


@pytest.mark.parametrize("command", ["calibrate", "card", "encoder put"])
def test_what_writes_into_a_model_asks_for_its_folder(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "packed model: its folder, which is written into" in said and "demo:NAME" not in said
