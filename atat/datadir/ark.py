"""Kaldi arks: writing and reading matrices by utterance id.

Binary matrices of floats and those compressed as features are read here; text, vectors, other
compressions and all writing are for atat/datadir/ark_library.py.

A matrix is named by a specifier as in feats.scp: `file.ark:offset`, `file.ark:offset[0:99]` (rows,
both ends included), or the path of a file that holds one matrix (global CMVN statistics).

No memory is allocated for the size in a header before the file is known to hold as many bytes.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from atat.base import pipes
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.datadir import ark_library, kaldi_dir, tables

# Kaldi's kSpeechFeature: one byte a value, quantised between the quartiles of its column.
SPEECH_COMPRESSION = 2
# How binary matrices of float32 and float64 begin.
PLAIN = {b"\0BFM ": "<f4", b"\0BDM ": "<f8"}
VECTORS = {b"\0BFV ": 4, b"\0BDV ": 8}  # bytes of a value
# Compressed matrices: bytes of a value, bytes of each column's own header.
COMPRESSED = {b"\0BCM ": (1, 8), b"\0BCM2 ": (2, 0), b"\0BCM3 ": (1, 0)}
INTEGERS = b"\0B\4"
# Kaldi lets a range of rows end this far beyond a matrix: times of segments are rounded.
ROWS_BEYOND = 3
LONGEST_KEY = 1024  # bytes
# Between an id and a prefix or suffix that a copy of a data dir has added (sp0.9-anna-001).
JOINTS = "-_."
_RANGE = re.compile(r"(\d+)(?::(\d+))?")
_SPECIFIER = re.compile(r"(?P<path>.+?)(?::(?P<offset>\d+))?(?:\[(?P<ranges>[\d:,]*)\])?")


@dataclass(frozen=True)
class Summary:
    """Facts about a stored matrix that are known without unpacking it."""

    rows: int
    columns: int  # 1 of a vector
    lowest: float  # of its values; NaN if one is NaN
    highest: float
    digest: str  # of its bytes, wherever they lie


def read(specifier: str | Path, key: str | None = None) -> np.ndarray:
    """The matrix (or vector) of a specifier: float32 (T, F), or float64 where stored as that.

    Opens, seeks and reads only what is asked for. key: the id that must stand before the matrix in
    its ark, or be a part of it (`sp0.9-anna-001` for `anna-001`). In a binary ark it may also be
    the end of that id (`1` of `11`), which only `summarize` tells apart.
    Raises InputError for a missing or truncated file, an offset where no matrix starts, a range
    that the matrix does not have, the matrix of another id, and for shell pipes.
    """
    with _open(specifier, key) as (stream, ranges):
        matrix = _read_matrix(stream)
        matrix = _cut(matrix, ranges, specifier) if ranges else matrix
    # An array on the file's bytes is read-only, and torch warns of such arrays.
    return matrix if matrix.flags.writeable else matrix.copy()


def summarize(specifier: str | Path, key: str | None = None) -> Summary:
    """Rows, bounds and digest of a matrix; errors as in `read`.

    Compressed matrices are not unpacked: their headers bound their values.
    """
    with _open(specifier, key, is_strict=True) as (stream, ranges):
        start = stream.tell()
        magic = _magic(stream)
        if magic not in COMPRESSED or ranges:
            matrix = _read_matrix(stream)
            matrix = _cut(matrix, ranges, specifier) if ranges else matrix
            return _summary_of(np.ascontiguousarray(matrix))
        extent = _extent(stream)
        stream.seek(start)
        content = stream.read(-1 if extent is None else extent)
    minimum, span, rows, columns = struct.unpack_from("<ffii", content, len(magic))
    bounds = (minimum, minimum + span) if not span < 0 else (minimum + span, minimum)
    return Summary(rows, columns, *bounds, _digest(content))


def check_end(path: str | Path, offset: int) -> None:
    """Raise ValueError unless an ark ends with the binary matrix that starts at `offset`."""
    with open(path, "rb") as stream:
        stream.seek(offset)
        try:
            end = offset + (_extent(stream) or 0)
        except struct.error:
            end = 0
        if end != (size := os.fstat(stream.fileno()).st_size):
            raise ValueError(f"its last matrix, from byte {offset} on, does not end at byte {size}")


@contextmanager
def _open(
    specifier: str | Path, key: str | None, *, is_strict: bool = False
) -> Iterator[tuple[BinaryIO, str | None]]:
    """The file at the start of a matrix, and the rows wanted; every failure is an InputError."""
    specifier = str(specifier)
    match = _SPECIFIER.fullmatch(specifier)
    if match is None or pipes.is_pipe(specifier):
        raise InputError(f"{specifier!r}: expected `file.ark:offset` (shell pipes are not run)")
    path, offset = match["path"], int(match["offset"] or 0)
    if os.path.exists(path) and not os.path.isfile(path):  # opening a pipe would wait for a writer
        raise InputError(f"{specifier}: is no file but a folder, pipe or device; correct feats.scp")
    try:
        with open(path, "rb") as stream:
            if offset >= (size := os.fstat(stream.fileno()).st_size):
                raise ValueError(f"it has {size} bytes")
            if key is not None and offset:
                _check_key(stream, path, offset, key, is_strict)
            stream.seek(offset)
            yield stream, match["ranges"]
    except OSError as error:
        raise InputError(
            f"{specifier}: {error.strerror}; correct feats.scp (moved arks: atat datadir "
            "relocate) or make the features again"
        ) from None
    except InputError:
        raise
    except (ValueError, AssertionError, RuntimeError, struct.error, IndexError) as error:
        raise InputError(
            f"{specifier}: no whole matrix is stored there ({error}); the file is damaged,"
            " truncated or not the one feats.scp was written for: make the features again"
        ) from None


def load_scp(path: str | Path) -> dict[str, str]:
    """Specifiers by utterance id; relative paths mean the scp's folder or, as in Kaldi, the cwd."""
    resolve = kaldi_dir.path_resolver(Path(path).parent)
    return {key: resolve(value) for key, value in tables.read_table(path).items()}


def write_matrix(path: str | Path, matrix: np.ndarray) -> None:
    """Write a file that holds one matrix and no id, in its own precision (float32 or float64)."""
    with atomic_write(path, "wb") as stream:
        ark_library.write_matrix(stream, matrix)


class Writer:
    """Writes an ark and its scp; both appear, whole, when the `with` block ends without an error.

        with Writer("lfb.ark", "lfb.scp", compress=True) as write:
            write("spk-utt", features)

    `specifiers` maps each id to where its matrix will be. An error (a full disk) leaves neither
    file; an OSError names the ark.
    """

    def __init__(self, ark: str | Path, scp: str | Path | None = None, compress: bool = False):
        self.ark = Path(os.path.abspath(ark))
        self.scp = scp
        self.compression = SPEECH_COMPRESSION if compress else None
        self.specifiers: dict[str, str] = {}
        self._file = atomic_write(self.ark, "wb")

    def __enter__(self) -> Writer:
        self._stream = self._file.__enter__()
        return self

    def __call__(self, key: str, matrix: np.ndarray) -> None:
        """Append a float matrix (T, F) or vector under an id."""
        assert key and not re.search(r"\s", key) and key not in self.specifiers, key
        self._stream.write(f"{key} ".encode())
        self.specifiers[key] = f"{self.ark}:{self._stream.tell()}"
        compression = self.compression if matrix.ndim == 2 and len(matrix) else None
        ark_library.write_matrix(self._stream, matrix, compression)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.__exit__(kind, error, trace)
        if kind is None and self.scp is not None:
            tables.write_table(self.scp, self.specifiers)


def _summary_of(matrix: np.ndarray) -> Summary:
    lowest, highest = (float(matrix.min()), float(matrix.max())) if matrix.size else (0.0, 0.0)
    columns = matrix.shape[1] if matrix.ndim > 1 else 1
    return Summary(
        len(matrix), columns, lowest, highest, _digest(matrix.ravel().data, matrix.shape)
    )


def _digest(content: bytes | memoryview, *facts: object) -> str:
    sha = hashlib.sha1(repr(facts).encode(), usedforsecurity=False)
    sha.update(content)
    return sha.hexdigest()[:16]


def _check_key(stream: BinaryIO, path: str, offset: int, key: str, is_strict: bool) -> None:
    """Raise InputError if the id before a matrix is certainly a different one.

    The last byte of the matrix before may look like a part of the id, so where an id begins only
    the headers of all matrices say; they are read where the id does not end in `key`, and if the
    check is strict.
    """
    stream.seek(max(0, offset - LONGEST_KEY))
    before, start = stream.read(min(offset, LONGEST_KEY)), stream.read(5)
    wanted, stored = key.encode() + b" ", None
    if start.lstrip().startswith(b"["):  # text: the line begins with the id
        line = before.rpartition(b"\n")[2].strip()
        stored = line.decode(errors="replace") if len(line) < LONGEST_KEY - 1 else None
    elif not before.endswith(wanted) or (is_strict and before != wanted):
        status = os.stat(path)
        stored = _keys(path, status.st_size, status.st_mtime_ns).get(offset)
    if not stored or _is_copy_of(key, stored):
        return
    raise InputError(
        f"{path}:{offset}: the matrix of {stored!r} is stored there, not that of {key!r}; correct "
        "feats.scp or make the features again"
    )


def _is_copy_of(key: str, stored: str) -> bool:
    """Whether one id is the other with a prefix or suffix, as in copies of data dirs."""
    before, behind = key.removesuffix(stored), key.removeprefix(stored)
    return before != key and before[-1:] in JOINTS or behind != key and behind[:1] in JOINTS


@lru_cache(maxsize=512)
def _keys(path: str, size: int, changed: int) -> dict[int, str]:
    """Offset of each matrix of an ark -> its id, as far as the ark is binary and valid."""
    found = {}
    with open(path, "rb") as stream:
        end = 0
        while end < size:
            stream.seek(end)
            name, blank, _ = stream.read(1024).partition(b" ")
            stream.seek(end + len(name) + 1)
            try:
                offset, extent = stream.tell(), _extent(stream)
                if not blank or extent is None:
                    break
                found[offset] = name.decode()
            except (ValueError, struct.error):
                break
            end = offset + extent
    return found


def _magic(stream: BinaryIO) -> bytes:
    """The start of the matrix here, with the blank after the type; the position stays."""
    start = stream.read(6)
    stream.seek(-len(start), os.SEEK_CUR)
    if start.startswith(INTEGERS):
        return INTEGERS
    return start[: start.find(b" ") + 1] if start.startswith(b"\0B") else b""


def _extent(stream: BinaryIO) -> int | None:
    """Bytes of the binary matrix or vector here (the position stays); None if it is text.

    Raises ValueError if its header claims more than the file holds.
    """
    start, magic = stream.tell(), _magic(stream)
    stream.seek(len(magic), os.SEEK_CUR)
    header = stream.read(16)
    rows, columns, head, values, fixed = 1, 1, 0, 0, 0
    if magic in PLAIN:
        _, rows, _, columns = struct.unpack_from("<bibi", header)
        head, values = 10, np.dtype(PLAIN[magic]).itemsize
    elif magic in VECTORS:
        _, rows = struct.unpack_from("<bi", header)
        head, values = 5, VECTORS[magic]
    elif magic in COMPRESSED:
        rows, columns = struct.unpack_from("<ii", header, 8)
        head, (values, fixed) = 16, COMPRESSED[magic]
    elif magic == INTEGERS:
        (rows,) = struct.unpack_from("<i", header)
        head, values = 4, 5
    stream.seek(start)
    left = os.fstat(stream.fileno()).st_size - start
    if not head:
        return None
    extent = len(magic) + head + fixed * columns + values * rows * columns
    if rows < 0 or columns < 0 or extent > left:
        raise ValueError(
            f"its header claims {rows} x {columns} values, {extent} bytes; {left} are there"
        )
    return extent


def _read_matrix(stream: BinaryIO) -> np.ndarray:
    _extent(stream)
    magic = _magic(stream)
    if magic == b"\0BCM ":
        stream.seek(len(magic), os.SEEK_CUR)
        return _read_compressed(stream)
    if magic in PLAIN:
        stream.seek(len(magic), os.SEEK_CUR)
        return _read_plain(stream, PLAIN[magic])
    # Other formats that a library can read (pickle among them) are refused.
    start = stream.read(5)
    if not (start.startswith(b"\0B") or start.lstrip().startswith(b"[")):
        raise ValueError("neither a binary nor a text matrix")
    stream.seek(-len(start), os.SEEK_CUR)
    return ark_library.read_matrix(stream)


def _read_plain(stream: BinaryIO, dtype: str) -> np.ndarray:
    """A matrix of floats, read directly into the array; those of libraries may be read-only."""
    _, rows, _, columns = struct.unpack("<bibi", stream.read(10))
    matrix = np.empty((rows, columns), dtype)
    readinto = stream.readinto  # type: ignore[attr-defined]  # of a file that `_open` opened
    wanted, found = matrix.nbytes, readinto(matrix.data.cast("B")) if matrix.size else 0
    if found != wanted:
        raise ValueError(f"{found} of {wanted} bytes are there")
    return matrix


def _read_compressed(stream: BinaryIO) -> np.ndarray:
    """A matrix of SPEECH_COMPRESSION, read several times as fast as by a library.

    Source: the comments on `PerColHeader` in Kaldi's matrix/compressed-matrix.h: a byte stands for
    a point on the straight lines from the column's minimum (0) over its quartiles (64, 192) to its
    maximum (255); here each column's 256 values are laid out and looked up.
    """
    minimum, span, rows, columns = struct.unpack("<ffii", stream.read(16))
    quartiles = np.frombuffer(stream.read(8 * columns), "<u2").reshape(columns, 4)
    codes = np.frombuffer(stream.read(rows * columns), np.uint8).reshape(columns, rows)
    knots = np.float32(minimum) + quartiles * np.float32(span / 65535.0)
    left = np.repeat([0, 1, 2], [64, 128, 64])
    steps = np.array([0, 64, 192, 255], np.float32)
    share = (np.arange(256, dtype=np.float32) - steps[left]) / np.diff(steps)[left]
    values = knots[:, left] + (knots[:, left + 1] - knots[:, left]) * share
    flat = codes.T + np.arange(0, 256 * columns, 256)
    return values.astype(np.float32, copy=False).ravel()[flat]


def _cut(matrix: np.ndarray, ranges: str, specifier: str | Path) -> np.ndarray:
    """The part `0:99,3:5` as Kaldi means it (both ends included); an empty part is everything.

    Raises InputError for a range that is none, or not within the matrix.
    """
    parts = ranges.split(",")
    try:
        if len(parts) > matrix.ndim:
            raise ValueError
        return matrix[tuple(map(_slice, parts, matrix.shape, (ROWS_BEYOND, 0)))]
    except ValueError:
        raise InputError(
            f"{specifier}: no such range in an array of shape {matrix.shape}; expected "
            "`[first:last]` rows, or `[first:last,first:last]` rows and columns, from 0 on and "
            "both included; correct feats.scp or make the features again"
        ) from None


def _slice(part: str, size: int, beyond: int) -> slice:
    if part in ("", ":"):
        return slice(None)
    found = _RANGE.fullmatch(part)
    first, last = map(int, found.groups(found[1])) if found else (1, 0)
    if not first <= last < size + beyond or first >= size:
        raise ValueError
    return slice(first, last + 1)
