"""Weights of 8 bits: close to the original, a quarter of its size, written then read the same."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from atat.apps.recognizer import Recognizer
from atat.base.errors import InputError
from atat.engine import export, model_folder, quantize
from atat.engine.settings import SourceSettings
from atat.engine.train import train
from atat.nn.int8 import Int8Linear, convert, restore
from atat.systems.joint.model import build_model
from atat.systems.joint.settings import InitSettings, TrainSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A packed model with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("quantize") / "model"
    model_folder.save(path, tiny.packed())
    return path


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_is_as_close_as_8_bits_allow(bias):
    torch.manual_seed(1)
    linear, x = torch.nn.Linear(48, 96, bias=bias), torch.randn(7, 5, 48)
    wanted, found = linear(x), Int8Linear.of(linear)(x)
    # Half a step of weight and of activation for each of the 48 products, at worst.
    steps = linear.weight.abs().amax() / 127, (x.max() - x.min()) / 255
    bound = 48 * (steps[0] / 2 * x.abs().max() + steps[1] * linear.weight.abs().max())
    error = (wanted - found).abs()
    assert 0 < error.max() < bound and error.mean() < 0.02 * wanted.abs().mean()


def test_every_linear_layer_is_converted_and_copies_work():
    model, _ = build_model(tiny.MODEL, tiny.make_tokenizer())
    convert(model)
    assert not any(isinstance(module, torch.nn.Linear) for module in model.modules())
    layer = next(module for module in model.modules() if isinstance(module, Int8Linear))
    x = torch.randn(3, layer.weight.shape[1])
    torch.testing.assert_close(copy.deepcopy(layer)(x), layer(x))


def test_a_restored_layer_has_the_weights_of_the_8_bits_and_gives_them_again():
    torch.manual_seed(2)
    model, _ = build_model(tiny.MODEL, tiny.make_tokenizer())
    small = convert(copy.deepcopy(model))
    floats = restore(copy.deepcopy(small))
    assert {*floats.state_dict()} == {*model.state_dict()}
    assert not any(isinstance(module, Int8Linear) for module in floats.modules())
    again = convert(copy.deepcopy(floats))
    for name, value in small.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value)


def test_quantised_written_read_and_understood_alike(folder, tmp_path):
    out = tmp_path / "int8"
    quantize.main(["--model", str(folder), "--out", str(out)])
    read = model_folder.load(out)
    assert read.weights == "int8"
    direct = convert(model_folder.load(folder).model)
    features, lengths = torch.randn(2, 60, 16), torch.tensor([60, 41])
    with torch.inference_mode():
        found = read.model.encode(True, features, lengths)[0]
        assert torch.equal(found, direct.encode(True, features, lengths)[0])
        plain = model_folder.load(folder).model.encode(True, features, lengths)[0]
    assert 0 < (found - plain).abs().mean() < 0.05 * plain.abs().mean()
    samples = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    for precision in ("fp32", "bf16"):
        assert Recognizer.load(out, precision=precision)(0.1 * samples).nbest
    size = [(f / "model.safetensors").stat().st_size for f in (out, folder)]
    assert size[0] < 0.6 * size[1]  # the tiny model is half embedding, norms and convolutions


def test_whoever_may_read_the_folder_may_read_the_weights(folder):
    """safetensors writes a file for its owner alone, which would keep a model from colleagues."""
    modes = {path.name: path.stat().st_mode for path in folder.iterdir() if path.is_file()}
    assert len(set(modes.values())) == 1, modes


def test_what_cannot_be_quantised_or_trained_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="the model itself"):
        quantize.main(["--model", str(folder), "--out", str(folder)])
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "checkpoint.pt").write_text("dear")
    with pytest.raises(InputError, match="holds more than a packed model"):
        quantize.main(["--model", str(folder), "--out", str(tmp_path / "training")])
    assert (tmp_path / "training" / "checkpoint.pt").read_text() == "dear"
    quantize.quantize(folder, tmp_path / "int8")
    with pytest.raises(InputError, match="8 bits already"):
        quantize.quantize(tmp_path / "int8", tmp_path / "twice")
    tiny.make_data(tmp_path / "train", 12)
    settings = TrainSettings(
        precision="fp32",
        tokenizer=str(tmp_path / "int8" / "tokenizer"),
        steps=1,
        train=(SourceSettings(str(tmp_path / "train"), "slu"),),
        init=InitSettings(model=str(tmp_path / "int8")),
    )
    with pytest.raises(InputError, match="8 bits .* cannot be trained"):
        train(settings, tmp_path / "exp")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_neither_packed_nor_quantised(folder, tmp_path, value):
    bad = model_folder.load(folder)
    name = "decoder.norm.weight"
    bad.model.state_dict()[name][3] = value
    with pytest.raises(InputError, match=f"`{name}` has 1 of 32"):
        model_folder.save(tmp_path / "bad", bad)
    given = {**model_folder.load(folder).model.state_dict(), name: torch.full((32,), value)}
    with pytest.raises(InputError, match=f"`{name}` has 32 of 32"):
        model_folder.save(tmp_path / "bad", model_folder.load(folder), given)
    assert not list(tmp_path.iterdir())
    shutil.copytree(folder, tmp_path / "old")  # packed before anybody looked
    (tmp_path / "old" / "SHA256SUMS").unlink()
    state = load_file(tmp_path / "old" / "model.safetensors")
    linear = next(n for n in state if n.endswith("weight") and "decoder.layers" in n)
    state[linear].view(-1)[0] = value
    save_file(state, tmp_path / "old" / "model.safetensors")
    with pytest.raises(InputError, match=f"old: .*`{linear}` has 1 of"):
        quantize.quantize(tmp_path / "old", tmp_path / "int8")
    assert not (tmp_path / "int8").exists()


def test_a_folder_without_a_name_is_not_written(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in (quantize.main, lambda given: export.main([*given, "--onnx"])):
        with pytest.raises(InputError, match=r"^\.: has no name .* such as model"):
            command([str(folder), "--out", "."])
    assert not list(tmp_path.iterdir())


def test_odd_folders_are_told_in_a_sentence_and_nothing_is_left_behind(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    shutil.copytree(folder, tmp_path / "part")
    (tmp_path / "part" / "model.safetensors").unlink()
    shutil.copytree(folder, tmp_path / "newer")
    text = (folder / "config.yaml").read_text().replace("version: 1", "version: 7")
    (tmp_path / "newer" / "config.yaml").write_text(text)
    (tmp_path / "newer" / "SHA256SUMS").unlink()
    before = sorted(tmp_path.rglob("*"))
    for name, message in (
        ("nowhere", "nowhere: not a packed model: no such folder"),
        ("empty", "empty: not a packed model: no config.yaml"),
        ("file", "file: not a packed model: a file, not a folder"),
        ("part", "part: not a packed model: no model.safetensors"),
        ("newer", "version 7, made by a newer atat"),
    ):
        with pytest.raises(InputError, match=message):
            quantize.main(["--model", str(tmp_path / name), "--out", str(tmp_path / "out")])
    with pytest.raises(InputError, match="nothing can be written here"):
        quantize.main(["--model", str(folder), "--out", str(tmp_path / "file" / "out")])
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("device", "there", "message"),
    [
        ("gpu", 0, "device 'gpu' is unknown; expected cpu, cuda"),
        ("cuda", 0, "torch finds no GPU here; use cpu"),
        ("cuda:1", 1, "torch finds 1 GPU here; use cuda:0"),
    ],
)
def test_a_device_that_is_not_there_is_told_in_a_sentence(
    folder, monkeypatch, device, there, message
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    with pytest.raises(InputError, match=message):
        Recognizer.load(folder, device=device)
