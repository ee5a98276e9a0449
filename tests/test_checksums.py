"""Whatever was damaged since it was written is noticed before it is used, and named."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from safetensors import SafetensorError

from atat.base import checksums
from atat.base.errors import InputError
from atat.engine import model_folder
from atat.systems.joint.model import build_model
from atat.systems.joint.packed import Packed
from atat.systems.joint.recognizer import Recognizer
from atat.text.encoder_ids import build_encoder_ids

FILES = (
    "config.yaml",
    "model.safetensors",
    "trees.json",
    "tokenizer/bpe.model",
    "tokenizer/symbols.txt",
    "tokenizer/tokenizer.json",
    checksums.NAME,
)


@pytest.fixture(scope="module")
def model() -> Packed:
    torch.manual_seed(0)
    tokenizer = tiny.make_tokenizer()
    built, units = build_model(tiny.MODEL, tokenizer)
    source = build_encoder_ids(tiny.MODEL.text_encoder.bert_or_none, tokenizer)
    pairs = {("IN:PLAY", "SL:THING")}
    return Packed(built.eval(), tokenizer, tiny.MODEL, units, source, pairs, ("slu", "nlu"))


@pytest.fixture()
def folder(model: Packed, tmp_path: Path) -> Path:
    model_folder.save(tmp_path / "model", model)
    return tmp_path / "model"


def positions(size: int, rng: np.random.Generator) -> list[int]:
    """The first and the last bytes, and some between."""
    ends = [*range(min(4, size)), *range(max(0, size - 4), size)]
    return sorted({*ends, *(int(n) for n in rng.integers(0, size, 24))})


@pytest.mark.parametrize("name", FILES)
def test_a_bit_that_flips_anywhere_in_a_packed_model_is_noticed(folder, name):
    rng = np.random.default_rng(0)
    whole = (folder / name).read_bytes()
    for position in positions(len(whole), rng):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << int(rng.integers(8))
        (folder / name).write_bytes(flipped)
        with pytest.raises(InputError, match="SHA256SUMS") as caught:
            model_folder.load(folder)
        assert str(folder) in str(caught.value)
    (folder / name).write_bytes(whole)
    model_folder.load(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["cut", "empty", "gone"])
def test_a_packed_model_copied_in_part_is_noticed(folder, name, how):
    whole = (folder / name).read_bytes()
    if how == "gone":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(whole[: len(whole) // 2] if how == "cut" else b"")
    if (name, how) == (checksums.NAME, "gone"):
        model_folder.load(folder)  # as models were before there was a list
        return
    with pytest.raises(InputError, match=f"{folder}.*(copy|Training writes)"):
        model_folder.load(folder)


def test_the_list_is_one_that_sha256sum_reads_and_names_every_file(folder):
    if shutil.which("sha256sum"):
        subprocess.run(
            ["sha256sum", "--check", "--strict", "--quiet", checksums.NAME], cwd=folder, check=True
        )
    listed = {line.split("  ", 1)[1] for line in (folder / checksums.NAME).read_text().splitlines()}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert listed == there - {checksums.NAME} == set(FILES) - {checksums.NAME}


def test_a_file_smuggled_in_is_noticed(folder):
    (folder / "tokenizer" / "more.txt").write_text("x")
    with pytest.raises(InputError, match="tokenizer/more.txt: not one of the files"):
        model_folder.load(folder)


@pytest.mark.parametrize("name", FILES[:-1])
@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02", b"[[[[", b"version: 1\n", b"[1, 2]"])
def test_without_a_list_odd_files_give_a_sentence_too(folder, name, content):
    (folder / checksums.NAME).unlink()
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=name.rsplit("/")[0]):
        model_folder.load(folder)


def test_wrong_folders_and_other_versions_are_told_in_a_sentence(folder, tmp_path):
    for wrong in (tmp_path / "nowhere", folder / "config.yaml", folder / "tokenizer", tmp_path):
        with pytest.raises(InputError, match=f"{wrong}: not a packed model"):
            model_folder.load(wrong)
    (folder / checksums.NAME).unlink()
    text = (folder / "config.yaml").read_text()
    newer = text.replace("version: 1", "version: 2\nflavour: new")
    (folder / "config.yaml").write_text(newer)
    with pytest.raises(InputError, match="version 2, made by a newer atat"):
        Recognizer.load(folder)
    (folder / "config.yaml").write_text(text.replace("version: 1", "version: 0"))
    with pytest.raises(InputError, match="version 0, expected 1"):
        model_folder.load(folder)
    (folder / "config.yaml").unlink()
    (folder / "config.yaml").mkdir()
    with pytest.raises(InputError, match="config.yaml: "):
        model_folder.load(folder)


def refuse(number: int, *_: Any, **__: Any) -> Any:
    raise OSError(number, os.strerror(number), "somewhere")


def test_a_folder_that_cannot_be_written_or_read_is_told_in_a_sentence(
    model, folder, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written here"):
        model_folder.save(tmp_path / "file" / "model", model)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", lambda *a, **k: refuse(errno.EROFS))
        with pytest.raises(InputError, match="cannot be written here .*ead-only"):
            model_folder.save(tmp_path / "other", model)
    with monkeypatch.context() as patch:
        patch.setattr(checksums, "of_file", lambda path: refuse(errno.EACCES))
        with pytest.raises(InputError, match="somewhere: cannot be read .*denied"):
            model_folder.load(folder)


def test_a_disk_that_fills_up_while_weights_are_written_is_a_full_disk(
    model, tmp_path, monkeypatch
):
    def full(*_: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left (os error 28)")

    monkeypatch.setattr(model_folder, "save_file", full)
    with pytest.raises(OSError) as caught:
        model_folder.save(tmp_path / "model", model)
    assert caught.value.errno == errno.ENOSPC and "model.safetensors" in caught.value.filename
    assert not (tmp_path / "model").exists()
