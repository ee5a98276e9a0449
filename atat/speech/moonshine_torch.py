"""Moonshine's published weights as torch has them, to be trained or read at all layers.

The package index has Moonshine for onnxruntime only, with matrices of 8-bit numbers and a scale
each. onnxruntime can write that file as ONNX; its constants are read here and saved as an encoder
of `transformers` (config.json, model.safetensors). The states are those of the published file but
for its rounding of activations to 8 bits: on recordings of people 4 to 6 % of their norm, cosine
0.999. Where that rounding is taken out of the published graph the two differ by 2e-6.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from atat.base import extras, permissions
from atat.base.encoder_files import ORIGIN, PUBLISHED, folder_of
from atat.base.errors import InputError
from atat.speech.moonshine import FILE, session

# Numbers of fields in onnx.proto: ModelProto, GraphProto, NodeProto, TensorProto.
GRAPH, NODE, CONSTANT = 7, 1, 5
INPUT, NAME = 1, 3
DIMS, TYPE, TENSOR_NAME, RAW = 1, 2, 8, 9
TYPES = {1: np.float32, 2: np.uint8}  # of TensorProto.DataType; other constants are no weights


def write(name: str, folder: Path) -> None:
    """Save the encoder of a published Moonshine, as `transformers` saves one, into a new folder.

    Raises InputError for a folder that exists, an encoder that has not been fetched, and one that
    is built otherwise.
    """
    if str(folder) in PUBLISHED:
        raise InputError(
            f"{folder}: as an encoder, this name means the published one; name another folder, "
            f"such as encoders/{folder}-torch"
        )
    if folder.exists():
        raise InputError(f"{folder}: exists already; name another folder, or remove it")
    path = folder_of(name) / FILE
    with extras.needed("bert", by="an encoder in torch"):
        import transformers
    # The tiny one's sizes are the defaults. The decoder, which is not needed, is left empty.
    config = transformers.MoonshineConfig(vocab_size=3, decoder_num_hidden_layers=0)
    model: Any = transformers.AutoModel.from_config(config)
    for parameter in model.parameters():
        parameter.detach().zero_()  # so that the file is the same each time
    weights = _weights(_as_onnx(path, name), str(path))
    import torch

    try:
        model.get_encoder().load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise InputError(f"{path}: not built as Moonshine tiny is ({first})") from None
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)  # of an interrupted call
    partial.mkdir(parents=True)
    with permissions.of_new_files(partial / "model.safetensors"):
        model.save_pretrained(partial)
    shutil.copyfile(path.with_name(ORIGIN), partial / ORIGIN)  # the licence is the same
    partial.rename(folder)


def _as_onnx(path: Path, name: str) -> bytes:
    """The file as onnxruntime writes it in ONNX, with nothing fused that it can leave apart."""
    with extras.needed("encoders", by=f"the encoder {name}"):
        import onnxruntime
    with tempfile.TemporaryDirectory() as scratch:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.optimized_model_filepath = str(Path(scratch) / "encoder.onnx")
        options.add_session_config_entry("session.save_model_format", "ONNX")
        session(path, options, name)
        return Path(options.optimized_model_filepath).read_bytes()


def _weights(model: bytes, where: str) -> dict[str, np.ndarray]:
    """The encoder's parameters, by their names in `transformers`."""
    graph = next(value for field, value in fields(model) if field == GRAPH)
    constants = dict(
        found
        for field, value in fields(graph)
        if field == CONSTANT and (found := _constant(value)) is not None
    )
    weights = {
        name: value for name, value in constants.items() if name.endswith((".weight", ".bias"))
    }
    for field, value in fields(graph):
        if field != NODE:
            continue
        node = list(fields(value))
        name = next((bytes(v).decode() for f, v in node if f == NAME), "")
        inputs = [bytes(v).decode() for f, v in node if f == INPUT]
        if name.endswith("/MatMul_quant"):  # /layers.0/self_attn/q_proj/MatMul_quant
            target = name.removesuffix("/MatMul_quant").strip("/").replace("/", ".") + ".weight"
            weights[target] = _dequantised(inputs, constants, where)
        elif name in ("/groupnorm/Mul", "/groupnorm/Add"):
            (given,) = (constants[one] for one in inputs if one in constants)
            weights["groupnorm.weight" if name.endswith("Mul") else "groupnorm.bias"] = given[:, 0]
    return {name: np.array(value, np.float32, order="C") for name, value in weights.items()}


def _dequantised(inputs: list[str], constants: dict[str, np.ndarray], where: str) -> np.ndarray:
    """(O, I) of a product with (I, O) numbers of 8 bits."""
    for name in inputs:
        stem = name.removesuffix("_quantized")
        if stem != name and name in constants and f"{stem}_scale" in constants:
            zero = constants[f"{stem}_zero_point"].astype(np.float32)
            return ((constants[name] - zero) * constants[f"{stem}_scale"]).T
    raise InputError(f"{where}: a product of {', '.join(inputs)}; expected one with 8-bit weights")


def _constant(tensor: memoryview) -> tuple[str, np.ndarray] | None:
    """Name and value of a TensorProto; None for a type that no weight has."""
    name, kind, raw, dims = "", 0, b"", []
    for field, value in fields(tensor):
        if field == TENSOR_NAME:
            name = bytes(value).decode()
        elif field == TYPE:
            kind = value
        elif field == RAW:
            raw = bytes(value)
        elif field == DIMS:
            dims += [value] if isinstance(value, int) else list(_varints(value))
    if kind not in TYPES:
        return None
    return name, np.frombuffer(raw, TYPES[kind]).reshape(dims)


def fields(message: bytes | memoryview) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a protobuf message: an int, or bytes of any meaning."""
    data, at = memoryview(message), 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        size = {1: 8, 5: 4}.get(wire)
        if size is None:
            size, at = _varint(data, at)
        yield number, data[at : at + size]
        at += size


def _varints(packed: memoryview) -> Iterator[int]:
    at = 0
    while at < len(packed):
        value, at = _varint(packed, at)
        yield value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first; and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
