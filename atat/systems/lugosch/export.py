"""A packed model for commands as a graph and labels for `atat.runtime`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from atat.base.errors import InputError
from atat.engine import onnx_graph
from atat.nn.command_graph import CommandGraph, operators
from atat.runtime import description
from atat.runtime.description import Description
from atat.systems.lugosch.packed import LugoschPacked

SIZE = 16037  # samples of the example


def export(packed: LugoschPacked, folder: Path, weights: Literal["float32", "int8"]) -> None:
    """Write everything but the digests into an empty folder.

    Raises InputError for a model of phones and words, and for weights of 8 bits.
    """
    model = packed.model
    if model.intent is None:
        raise InputError(
            "a model of phones and words understands no commands and cannot be exported; export "
            "one that was finetuned on intents"
        )
    if weights == "int8":
        raise InputError(
            "almost all weights of a lugosch model are those of recurrent layers, which keep 32 "
            "bits; export it without --int8"
        )
    onnx_graph.write(
        CommandGraph(model.acoustic, model.intent, model.sizes),
        [torch.randn(1, SIZE)],
        folder / description.COMMANDS,
        names=(["samples"], ["log_probs"]),
        axes=[{1: "time"}],
        operators=operators,
    )
    packed.labels.write(folder)
    Description.of_classes(packed.system, packed.tasks).write(folder)
