"""A packed model: one folder with everything needed to use a trained model, or to start from it.

model/config.yaml        sizes (ModelSettings) and what is known of the training
model/model.safetensors  weights and CMVN
model/tokenizer/         word pieces and tags
model/trees.json         parent-child pairs of the training trees, for well-formed decoding
model/bert/              BERT's configuration and word pieces, where the text encoder is BERT
model/SHA256SUMS         digests of all these, checked whenever the model is read
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from atat.base import config, digests
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.json_file import read_json
from atat.engine.settings import ModelSettings
from atat.nn import int8
from atat.nn.ctc import Units
from atat.nn.text_encoder import SourceTokenizer, build_source, save_bert_files
from atat.systems.joint.constraint import Pair
from atat.systems.joint.model import Atat, build_model
from atat.text.tokenizer import Tokenizer

VERSION = 1
FILES = ("config.yaml", "model.safetensors", "tokenizer", "trees.json")
PARTS = (*FILES, "bert", digests.NAME)  # all that a packed model may hold


@dataclass(frozen=True)
class PackedConfig:
    """config.yaml of a packed model."""

    version: int
    tasks: tuple[str, ...]  # what it was trained on, pretraining included
    model: ModelSettings
    weights: Literal["float32", "int8"] = "float32"


@dataclass
class Packed:
    """A model together with all it needs to read and write."""

    model: Atat
    tokenizer: Tokenizer
    settings: ModelSettings
    units: Units | None
    source_text: SourceTokenizer | None
    pairs: set[Pair]
    tasks: tuple[str, ...]
    weights: Literal["float32", "int8"] = "float32"  # of linear layers (atat/nn/int8.py)


def save(folder: str | Path, packed: Packed, weights: dict[str, Tensor] | None = None) -> None:
    """Write a packed model; `weights` (say, averaged ones) take the place of the model's own.

    The folder appears whole or not at all; a packed model that is there is replaced. Raises
    InputError for a folder that holds anything else or cannot be written, and for weights that
    are not finite.
    """
    folder = Path(folder)
    state = weights or packed.model.state_dict()
    check_finite(state)
    if folder.exists():
        check_replaceable(folder)
    partial = folder.with_name(folder.name + ".partial")
    try:
        _write(partial, packed, state)
        if folder.exists():
            old = folder.with_name(folder.name + ".old")
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
            partial.rename(folder)
            shutil.rmtree(old)
        else:
            partial.rename(folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            f"{folder}: the model cannot be written here ({error.strerror}: {error.filename}); "
            "name a folder that you may write to"
        ) from None


def _write(partial: Path, packed: Packed, state: Mapping[str, Tensor]) -> None:
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    about = PackedConfig(VERSION, packed.tasks, packed.settings, packed.weights)
    config.save(partial / "config.yaml", about)
    packed.tokenizer.save(partial / "tokenizer")
    with atomic_write(partial / "trees.json") as stream:
        json.dump(sorted(packed.pairs), stream, indent=0)
    if packed.source_text is not None and packed.model.text_encoder is not None:
        save_bert_files(packed.model.text_encoder, packed.source_text, partial / "bert")
    weights = partial / "model.safetensors"
    try:
        save_file(_joined(state), weights)
    except SafetensorError as error:
        # It tells what the system said in words only: "... (os error 28)".
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(weights)) from None
    digests.write(partial)


def load(folder: str | Path, device: str | torch.device = "cpu") -> Packed:
    """Read a packed model, ready for inference.

    Nothing in it is run, and no file outside the folder is read. Raises InputError for anything
    missing, damaged or odd.
    """
    folder, device = Path(folder), _usable(device)
    try:
        check(folder)
        digests.check(folder, PARTS)
        about = _read_config(folder)
        packed = _build(folder, about, device)
    except OSError as error:
        raise InputError(f"{error.filename or folder}: cannot be read ({error.strerror})") from None
    packed.model.to(device).eval()
    return packed


def _usable(device: str | torch.device) -> torch.device:
    """The device, or InputError where there is none of that name."""
    try:
        found = torch.device(device)
    except RuntimeError:
        raise InputError(f"device {device!r} is unknown; expected cpu, cuda or cuda:0") from None
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found.type == "cuda" and (found.index or 0) >= there:
        raise InputError(
            f"device {device}: torch finds {there or 'no'} GPU{'s' if there > 1 else ''} here; use "
            f"{'cuda:0' if there else 'cpu'}"
        )
    return found


def _read_config(folder: Path) -> PackedConfig:
    """config.yaml; the version first, since other versions have other keys."""
    path = folder / "config.yaml"
    version = config.read_yaml(path).get("version")
    if isinstance(version, int) and version > VERSION:
        raise InputError(
            f"{path}: version {version}, made by a newer atat; this one reads up to version "
            f"{VERSION}. Update atat, or ask for a model of version {VERSION}"
        )
    if version != VERSION:
        raise InputError(f"{path}: version {version}, expected {VERSION}")
    return config.load(path, PackedConfig)


def _build(folder: Path, about: PackedConfig, device: torch.device) -> Packed:
    settings = about.model
    if settings.text_encoder is not None and settings.text_encoder.kind == "bert":
        text = replace(settings.text_encoder, bert=str(folder / "bert"))
        settings = replace(settings, text_encoder=text)
    tokenizer = Tokenizer.load(folder / "tokenizer")
    model, units = build_model(settings, tokenizer, pretrained=False)
    if about.weights == "int8":
        if device.type != "cpu":
            raise InputError(f"{folder}: weights of 8 bits are for the CPU, not for {device}")
        int8.convert(model)
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (SafetensorError, RuntimeError) as error:
        raise InputError(
            f"{folder}/model.safetensors does not fit its config.yaml and tokenizer: {error}"
        ) from None
    source = None
    if settings.text_encoder is not None:
        source = build_source(settings.text_encoder, tokenizer, pretrained=False)
    pairs = _read_pairs(folder / "trees.json")
    return Packed(model, tokenizer, about.model, units, source, pairs, about.tasks, about.weights)


def check_finite(state: Mapping[str, Tensor], where: str = "the model") -> None:
    """Raise InputError, naming the first parameter, where weights are NaN or infinite.

    where: whose weights they are, for the message.
    """
    for name, value in state.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            bad = int((~value.isfinite()).sum())
            raise InputError(
                f"{where}: weights that are not finite numbers: `{name}` has {bad} of "
                f"{value.numel()} that are NaN or infinite, so nothing it says has a meaning. Go "
                "back to a checkpoint or model from before, and lower optim.factor or optim.peak "
                "if the training made them"
            )


def check_replaceable(folder: Path) -> None:
    """Raise InputError unless a folder that is there is a packed model, or empty."""
    if not folder.is_dir() or not {path.name for path in folder.iterdir()} <= set(PARTS):
        raise InputError(
            f"{folder}: is there and holds more than a packed model, which would take its place; "
            "name another folder for the model"
        )


def check(folder: Path) -> None:
    """Raise InputError unless the folder is a packed model."""
    missing = [name for name in FILES if not (folder / name).exists()]
    if not missing:
        return
    inside = folder / "model"
    hint = f"; did you mean {inside}?" if (inside / FILES[0]).exists() else ""
    raise InputError(
        f"{folder}: not a packed model: no {', '.join(missing)}{hint} "
        "Training writes one to exp/<name>/model when it ends."
    )


def _read_pairs(path: Path) -> set[Pair]:
    mend = "copy the packed model again, or pack it again from its training"
    try:
        return {(parent, child) for parent, child in read_json(path, mend)}
    except (TypeError, ValueError):
        raise InputError(f"{path}: expected a list of [parent, child]; {mend}") from None


def _joined(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """New tags become ordinary rows: whoever starts from this model counts them as pretrained."""
    state = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    base, extension = "decoder.embedding.base", "decoder.embedding.extension"
    state[base] = torch.cat([state[base], state[extension]])
    state[extension] = state[extension][:0].clone()
    return state
