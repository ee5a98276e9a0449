"""The folder of an exported model: what is in it, and runtime.json, which says what it does.

runtime.json     which system, tasks, sizes and parts; the version of this layout
audio.onnx       frames of a recording -> memory, and what the CTC head says of it
text.onnx        embedded units of a text, or of what is heard over the bridge -> memory
units.npy        the embedding of these units (U, D)
memory.onnx      memory -> keys and values for the decoder's attention to it
step.onnx        the decoder for one more token, with the keys and values of those before
commands.onnx    a classifier of commands, alone: samples -> log probabilities of all values
labels.json      the fields of its commands, and their values
tokenizer/       word pieces and tags
trees.json       parent-child pairs of the training trees, for well-formed decoding
calibration.json how sure an answer is, if the model was calibrated
frontend.json    which speech encoder makes the frames; without it they are filterbanks
encoder/         that encoder, if it was put in
SHA256SUMS       digests of all files

Written by `atat export`, read without torch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.json_file import read_object

VERSION = 1
NAME = "runtime.json"
AUDIO, TEXT, MEMORY, STEP = "audio.onnx", "text.onnx", "memory.onnx", "step.onnx"
COMMANDS, LABELS = "commands.onnx", "labels.json"
UNITS = "units.npy"
TOKENIZER, PAIRS, CALIBRATION = "tokenizer", "trees.json", "calibration.json"
# Sides of attention whose keys and values have a name for each layer.
OF_MEMORY, PAST, PRESENT = "memory", "past", "present"


@dataclass(frozen=True)
class Description:
    """runtime.json."""

    system: str
    tasks: tuple[str, ...]  # on which the model was trained
    weights: str  # float32, or int8: the products of all layers but the generator
    values: int  # of a frame; 0: the model has no audio encoder
    units: (
        str | None
    )  # what the text encoder reads: pieces, characters, phones; None: there is none
    bridge: bool  # the text encoder reads what the CTC head hears, too
    layers: int  # of the decoder; 0: there is none, commands are told by classes
    heads: int
    width: int  # of a head

    @staticmethod
    def of_classes(system: str, tasks: tuple[str, ...]) -> Description:
        """That of a classifier of commands in float32."""
        return Description(system, tasks, "float32", 0, None, False, 0, 0, 0)

    @property
    def classes(self) -> bool:
        """Whether it is a classifier of commands."""
        return self.layers == 0

    def entries(self, side: str) -> list[str]:
        """Names of the keys and values of all layers on one side of attention."""
        return [f"{side}.{part}.{n}" for n in range(self.layers) for part in ("keys", "values")]

    def write(self, folder: Path) -> None:
        """Write runtime.json."""
        with atomic_write(folder / NAME) as stream:
            json.dump({"version": VERSION, **asdict(self)}, stream, indent=1)

    @staticmethod
    def read(folder: Path) -> Description:
        """Read runtime.json; InputError if the folder is no exported model or a newer one."""
        path = folder / NAME
        if not path.is_file():
            raise InputError(
                f"{folder}: not an exported model (no {NAME}); make one where torch is: "
                "atat export MODEL --onnx --out FOLDER"
            )
        fix = "copy the folder again, or export the model again"
        found = read_object(path, fix)
        version = found.pop("version", None)
        if version != VERSION:
            newer = isinstance(version, int) and version > VERSION
            raise InputError(
                f"{path}: version {version}"
                + (", made by a newer atat" if newer else "")
                + f"; this one reads version {VERSION}. Update atat, or export the model again"
            )
        return _described(found, path, fix)


def _described(found: dict[str, Any], path: Path, fix: str) -> Description:
    expected = {field.name for field in fields(Description)}
    if set(found) != expected or not isinstance(found["tasks"], list):
        wrong = sorted(set(found) ^ expected) or ["tasks"]
        raise InputError(f"{path}: `{wrong[0]}` is not as `atat export` writes it; {fix}")
    return Description(**{**found, "tasks": tuple(found["tasks"])})
