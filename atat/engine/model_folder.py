"""A packed model: one folder with everything needed to use a trained model, or to start from it.

model/config.yaml        system, version, sizes and facts about the training
model/model.safetensors  weights
model/about.json         its data with licences, what it scored; README.md: the same as a card
model/calibration.json   how sure its answers are (`atat calibrate`), where it was calibrated
model/SHA256SUMS         checksums of all files, checked whenever the model is read
...                      what the system adds (its vocabulary, say): `atat.engine.contract.System`

Knows no system: config.yaml names the one that reads the folder.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from atat.base import calibration, checksums, config, folders, machine, permissions
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.engine import registry
from atat.engine.contract import Packed, System
from atat.engine.registry import CARD, CONFIG, FACTS
from atat.nn import int8

P = TypeVar("P", bound=Packed)

VERSION = 1
WEIGHTS = "model.safetensors"
FILES = (CONFIG, WEIGHTS)  # of every system's packed model


def save(folder: str | Path, packed: Packed, weights: dict[str, Tensor] | None = None) -> None:
    """Write a packed model; `weights` (for example averaged ones) replace the model's own.

    The folder appears whole or not at all; an existing packed model is replaced. Raises
    InputError for a folder that holds anything else or cannot be written, and for weights that
    are not finite.
    """
    folder = Path(folder)
    state = weights or packed.model.state_dict()
    check_finite(state)
    if folder.exists():
        check_replaceable(folder, packed.system)
    partial = folder.with_name(folder.name + ".partial")
    with permissions.to_write(folder, "the model cannot be written here"):
        _write(partial, packed, state)
        folders.replace(partial, folder)


def _write(partial: Path, packed: Packed, state: Mapping[str, Tensor]) -> None:
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    about = {"version": VERSION, "system": packed.system, "weights": packed.weights}
    with atomic_write(partial / CONFIG) as stream:
        yaml.safe_dump(about | packed.about(), stream, sort_keys=False)
    packed.write(partial)
    weights = partial / WEIGHTS
    try:
        ready = {name: value.detach().cpu().contiguous() for name, value in state.items()}
        with permissions.of_new_files(weights):
            save_file(packed.stored(ready), weights)
    except SafetensorError as error:
        # It tells what the system said in words only: "... (os error 28)".
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(weights)) from None
    checksums.write(partial)


def load(folder: str | Path, device: str | torch.device = "cpu") -> Packed:
    """Read a packed model, ready for inference.

    No code in it is executed and no file outside the folder is read. Raises InputError for
    anything missing, damaged or unexpected.
    """
    folder, device = Path(folder), _usable(device)
    machine.keep_float32()
    try:
        system = check(folder)
        checksums.check(folder, parts_of(system))
        packed = _build(system, folder, _read_config(folder), device)
    except OSError as error:
        raise InputError(f"{error.filename or folder}: cannot be read ({error.strerror})") from None
    packed.model.to(device).eval()
    return packed


def load_as(kind: type[P], folder: str | Path, device: str | torch.device = "cpu") -> P:
    """`load`, of one system's packed models; InputError if it is one of another system."""
    packed = load(folder, device)
    if not isinstance(packed, kind):
        raise InputError(
            f"{folder}: a model of the system `{packed.system}`; expected one of `{kind.system}`"
        )
    return packed


def load_start(kind: type[P], folder: str | Path) -> P:
    """A model to start a training from: one of the same system, whose weights can be trained."""
    packed = load_as(kind, folder)
    refuse_int8(packed, folder)
    return packed


def refuse_int8(packed: Packed, folder: str | Path) -> None:
    """Raise InputError for weights of 8 bits, which cannot be trained."""
    if packed.weights == "int8":
        raise InputError(
            f"{folder}: its weights have 8 bits (atat quantize), which cannot be trained; start "
            "from the model it was made from"
        )


def _usable(device: str | torch.device) -> torch.device:
    """The device; raises InputError if no device has that name."""
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


def _read_config(folder: Path) -> dict[str, Any]:
    """config.yaml; the version is checked first, since other versions have other keys."""
    path = folder / CONFIG
    about = config.read_yaml(path, bases=False)
    version = about.get("version")
    if isinstance(version, int) and version > VERSION:
        raise InputError(
            f"{path}: version {version}, made by a newer atat; this one reads up to version "
            f"{VERSION}. Update atat, or ask for a model of version {VERSION}"
        )
    if version != VERSION:
        raise InputError(
            f"{path}: version {version}, expected {VERSION}; copy the packed model again, or pack "
            "it again from its training"
        )
    kinds = ("float32", "int8")
    if about.setdefault("weights", "float32") not in kinds:
        raise InputError(f"{path}: `weights` is {about['weights']}, expected float32 or int8")
    return about


def _build(system: System, folder: Path, about: dict[str, Any], device: torch.device) -> Packed:
    known = {key: value for key, value in about.items() if key not in ("version", "system")}
    packed = system.load(folder, known, device)
    if packed.weights == "int8":
        if device.type != "cpu":
            raise InputError(f"{folder}: weights of 8 bits are for the CPU, not for {device}")
        int8.convert(packed.model)
    try:
        packed.model.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError) as error:
        raise InputError(
            f"{folder}/{WEIGHTS} does not fit its config.yaml and the files beside it: {error}"
        ) from None
    return packed


def parts_of(system: System) -> tuple[str, ...]:
    """All files that a packed model of a system may hold."""
    optional = (*system.optional_files, CARD, FACTS, calibration.NAME, checksums.NAME)
    return (*FILES, *system.files, *optional)


def check_finite(state: Mapping[str, Tensor], where: str = "the model") -> None:
    """Raise InputError, naming the first parameter, if weights are NaN or infinite.

    where: the owner of the weights, for the message.
    """
    for name, value in state.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            bad = int((~value.isfinite()).sum())
            raise InputError(
                f"{where}: weights that are not finite numbers: `{name}` has {bad} of "
                f"{value.numel()} that are NaN or infinite, so its outputs mean nothing. Go back "
                "to an earlier checkpoint or model, and lower optim.factor or optim.peak if they "
                "come from the training"
            )


def check_replaceable(folder: Path, system: str | None = None) -> None:
    """Raise InputError unless an existing folder is a packed model, or empty.

    system: the system whose files it may hold, besides those of the system it names.
    """
    folders.check_name(folder)
    allowed: set[str] = set()
    if system is not None:
        allowed |= set(parts_of(registry.find(system, str(folder))))
    if (folder / CONFIG).is_file():
        with suppress(InputError):  # damaged, or of a system that is not known
            allowed |= set(parts_of(registry.of_model(folder)))
    if not folder.is_dir() or not {path.name for path in folder.iterdir()} <= allowed:
        raise InputError(
            f"{folder}: exists and holds more than a packed model, which would replace it; "
            "name another folder for the model"
        )


def check(folder: Path) -> System:
    """The system of a packed model; InputError unless the folder is one and has all its files."""
    missing = [name for name in FILES if not (folder / name).exists()]
    if not missing:
        checksums.check(folder, [CONFIG])  # before it is believed
        system = registry.of_model(folder)
        missing = [name for name in system.files if not (folder / name).exists()]
        if not missing:
            return system
    inside = folder / "model"
    if folder.is_dir():
        why = f"no {', '.join(missing)}"
        why += f"; did you mean {inside}?" if (inside / CONFIG).exists() else "."
        if (folder / "runtime.json").is_file():
            why += f" It is an exported one: python -m atat.runtime {folder} RECORDING."
    else:
        why = (
            "a file, not a folder; unpack an archive first."
            if folder.is_file()
            else "no such folder."
        )
    raise InputError(
        f"{folder}: not a packed model: {why} Training writes one to exp/<name>/model when it ends."
    )
