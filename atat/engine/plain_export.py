"""A packed classifier of commands as a graph and labels for `atat.runtime`, for systems to call.

For networks of `atat.nn.acoustic` with an intent module; knows no system.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch

from atat.base.errors import InputError
from atat.engine import onnx_graph
from atat.nn.command_graph import CommandGraph, operators
from atat.runtime import description
from atat.runtime.description import Description

SIZE = 16037  # samples of the example


def export_commands(packed: Any, folder: Path, weights: Literal["float32", "int8"]) -> None:
    """Write everything but the digests into an empty folder.

    packed: its model has `acoustic`, `intent` and `sizes`, the numbers of values of each field.
    Raises InputError for weights of 8 bits.
    """
    if weights == "int8":
        raise InputError(
            f"almost all weights of a model of {packed.system} are those of recurrent layers, "
            "which keep 32 bits; export it without --int8"
        )
    model = packed.model
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
