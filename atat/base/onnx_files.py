"""Refuses ONNX files whose weights lie in other files.

A tensor of ONNX may name a file, or, by a name that onnxruntime uses within itself, a place in
memory. Since when onnxruntime keeps to the folder of the graph depends on its version: 1.23 reads
`../../etc/passwd` as weights. No graph that atat writes or fetches has such tensors, so that
none is needed. The file is walked through as protobuf is written, without the package onnx
(https://protobuf.dev/programming-guides/encoding, onnx/onnx.proto). Knows nothing of what graphs
compute.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from atat.base.errors import InputError

_ORT = ".ort"  # onnxruntime's own format, whose tensors name no files
# Kinds of messages that hold tensors, however deep: number of the field -> kind of message.
_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse",
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}  # fmt: skip
_FILE, _PLACE = 13, 14  # of a tensor: the file of its values, and whether they are there
_DEEPEST = 100  # messages within messages: the limit of protobuf itself


def refuse_other_files(path: str | Path) -> None:
    """Raise InputError for an ONNX file with weights elsewhere, ValueError for one that is none."""
    path = Path(path)
    if path.name.endswith(_ORT):
        return
    with (
        open(path, "rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        if _has_other_files(data, 0, len(data), "model", 0):
            raise InputError(
                f"{path}: keeps weights in another file, which is not read: a graph could name "
                "any file of this machine; save it with its weights inside (external_data=False)"
            )


def _has_other_files(data: mmap.mmap, at: int, end: int, kind: str, depth: int) -> bool:
    """Whether a message, from its first byte to its last, has a tensor with values elsewhere."""
    if depth > _DEEPEST:
        raise ValueError("messages too deep in one another")
    inside = _INSIDE[kind]
    for field, value, start, stop in _fields(data, at, end):
        if kind == "tensor" and (field == _FILE or (field == _PLACE and value != 0)):
            return True
        if field in inside and _has_other_files(data, start, stop, inside[field], depth + 1):
            return True
    return False


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Of each field of a message its number, its value or length, and where it begins and ends."""
    while at < end:
        tag, at = _number(data, at, end)
        wire, value, start = tag & 7, 0, at
        if wire == 0:
            value, at = _number(data, at, end)
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        elif wire == 2:
            value, start = _number(data, at, end)
            at = start + value
        else:  # groups, which ONNX never has
            raise ValueError("no message of protobuf")
        if at > end:
            raise ValueError("a message that is cut off")
        yield (tag & 0xFFFFFFFF) >> 3, value, start, at  # tags have 32 bits


def _number(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """A number of seven bits a byte, the last byte below 128; and where it ends."""
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a number that is cut off")
