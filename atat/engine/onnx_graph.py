"""Modules as ONNX graphs in files, with weights in full precision or in 8 bits.

The exporter is torch's (`torch.onnx.export`, which needs onnxscript), the rounding to 8 bits that
of onnxruntime. A part of a shape that has a name may be of any size. Knows no model.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from atat.base import extras
from atat.base.errors import InputError

Axes = dict[int, str]  # axes of any size, by name


def write(
    module: nn.Module,
    inputs: Sequence[Any],
    path: Path,
    *,
    names: tuple[Sequence[str], Sequence[str]],
    axes: Sequence[Any],
    operators: Callable[[], dict[Callable[..., Any], Callable[..., Any]]] = dict,
) -> None:
    """Write a module as a graph.

    inputs: an example; names: of inputs and of outputs, in the order of the tensors; axes: of each
    input, nested as the inputs are; operators: gives what stands for the module's own operators, in
    functions of onnxscript. Raises InputError for a module that cannot be a graph.
    """
    with extras.needed("onnx", by="atat export --onnx"):
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    # It tells what it does, and which packages that nobody asked for are not there.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module.eval(),
                tuple(inputs),
                input_names=names[0],
                output_names=names[1],
                dynamic_shapes=tuple(axes),
                dynamo=True,
                external_data=False,
                verbose=False,
                custom_translation_table=dict(operators()),
            )
            assert program is not None
            program.save(str(path))
    except torch.onnx.errors.OnnxExporterError as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(
            f"{path.name}: torch {torch.__version__} cannot write this part of the model as an "
            f"ONNX graph ({first})"
        ) from None


def to_int8(path: Path, keep: Sequence[str] = ()) -> None:
    """Bring the weights of a graph's products to 8 bits, one scale for each output.

    Activations are rounded at every call by their own range, as in `atat.nn.int8`. keep: weights
    that stay as they are. Both are unsigned: products of signed ones can overflow on processors
    without VNNI, and a file has no way to know where it will run.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    kept = [node.name for node in onnx.load(path).graph.node if set(node.input) & {*keep}]
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        small = Path(name) / path.name
        logging.getLogger().addFilter(_not_of_quantization)
        try:
            quantize_dynamic(
                path,
                small,
                op_types_to_quantize=["MatMul", "Gemm"],
                per_channel=True,
                weight_type=QuantType.QUInt8,
                nodes_to_exclude=kept,
            )
        finally:
            logging.getLogger().removeFilter(_not_of_quantization)
        small.replace(path)


def _not_of_quantization(record: logging.LogRecord) -> bool:
    """It advises to preprocess every graph, which for these changes nothing."""
    return "pre-processing before quantization" not in record.getMessage()
