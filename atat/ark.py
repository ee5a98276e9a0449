"""Kaldi arks: matrices by utterance id, written and read; nothing about what is in them.

The only module that imports kaldiio. kaldiio comes under an NTT evaluation licence, which is no
free software licence: behind this one door it can be replaced (MIT `omniio.kaldi` has the same
interface) without touching anything else.

A matrix is named by a specifier as in feats.scp: `file.ark:offset`, `file.ark:offset[0:99]` (rows,
both ends included), or the path of a file that holds one matrix (global CMVN statistics).
"""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from atat import kaldi, pipes
from atat.errors import InputError
from atat.files import atomic_write

# Kaldi's kSpeechFeature: one byte a value, quantised between the quartiles of its column.
SPEECH_COMPRESSION = 2
# How binary matrices of float32 and float64 begin.
PLAIN = {b"\0BFM ": "<f4", b"\0BDM ": "<f8"}
_SPECIFIER = re.compile(r"(?P<path>.+?)(?::(?P<offset>\d+))?(?:\[(?P<ranges>[\d:,]*)\])?")


def read(specifier: str | Path) -> np.ndarray:
    """The matrix (or vector) of a specifier: float32 (T, F), or float64 where stored as that.

    Opens, seeks and reads only what is asked for. Raises InputError for a missing or truncated
    file, an offset where no matrix starts, and for shell pipes.
    """
    specifier = str(specifier)
    match = _SPECIFIER.fullmatch(specifier)
    if match is None or pipes.is_pipe(specifier):
        raise InputError(f"{specifier!r}: expected `file.ark:offset` (shell pipes are not run)")
    try:
        with open(match["path"], "rb") as stream:
            stream.seek(int(match["offset"] or 0))
            matrix = _read_matrix(stream)
    except OSError as error:
        raise InputError(
            f"{specifier}: {error.strerror}; correct feats.scp (moved arks: python -m atat.datadir "
            "relocate) or make the features again"
        ) from None
    except (ValueError, AssertionError, RuntimeError, struct.error, IndexError) as error:
        raise InputError(
            f"{specifier}: no whole matrix is stored there ({error}); the file is damaged,"
            " truncated or another one than feats.scp was written for: make the features again"
        ) from None
    matrix = matrix[_slices(match["ranges"])] if match["ranges"] else matrix
    # What comes straight from the file's bytes is read-only, and torch warns of such arrays.
    return matrix if matrix.flags.writeable else matrix.copy()


def load_scp(path: str | Path) -> dict[str, str]:
    """Specifiers by utterance id; relative paths mean the scp's folder or, as in Kaldi, the cwd."""
    resolve = kaldi.path_resolver(Path(path).parent)
    return {key: resolve(value) for key, value in kaldi.read_table(path).items()}


def write_matrix(path: str | Path, matrix: np.ndarray) -> None:
    """Write a file that holds one matrix and no id, in its own precision (float32 or float64)."""
    import kaldiio.matio

    with atomic_write(path, "wb") as stream:
        kaldiio.matio.write_array(stream, matrix)


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
        self._temporary = self.ark.with_name(self.ark.name + ".tmp")

    def __enter__(self) -> Writer:
        self.ark.parent.mkdir(parents=True, exist_ok=True)
        self._stream = open(self._temporary, "wb")
        return self

    def __call__(self, key: str, matrix: np.ndarray) -> None:
        """Append a float matrix (T, F) or vector under an id."""
        import kaldiio.matio

        assert key and not re.search(r"\s", key) and key not in self.specifiers, key
        try:
            self._stream.write(f"{key} ".encode())
            self.specifiers[key] = f"{self.ark}:{self._stream.tell()}"
            compression = self.compression if matrix.ndim == 2 and len(matrix) else None
            kaldiio.matio.write_array(self._stream, matrix, compression_method=compression)
        except OSError as error:
            raise self._named(error) from None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._stream.close()
            if kind is None:
                os.replace(self._temporary, self.ark)
        except OSError as problem:
            # Closing fails again after a failed write; the first error is the one to report.
            if kind is None:
                raise self._named(problem) from None
        finally:
            self._temporary.unlink(missing_ok=True)
        if kind is None and self.scp is not None:
            kaldi.write_table(self.scp, self.specifiers)

    def _named(self, error: OSError) -> OSError:
        return OSError(error.errno, error.strerror, str(self.ark))


def _read_matrix(stream: BinaryIO) -> np.ndarray:
    import kaldiio.matio

    start = stream.read(5)
    if start == b"\0BCM ":
        return _read_compressed(stream)
    if start in PLAIN:
        return _read_plain(stream, PLAIN[start])
    # Anything else kaldiio knows (a pickle among them) has no business in features.
    if not (start.startswith(b"\0B") or start.lstrip().startswith(b"[")):
        raise ValueError("neither a binary nor a text matrix")
    stream.seek(-len(start), os.SEEK_CUR)
    return kaldiio.matio.read_kaldi(stream)


def _read_plain(stream: BinaryIO, dtype: str) -> np.ndarray:
    """A matrix of floats, read right into the array; kaldiio's must be copied to be writeable."""
    _, rows, _, columns = struct.unpack("<bibi", stream.read(10))
    matrix = np.empty((rows, columns), dtype)
    wanted, found = matrix.nbytes, stream.readinto(matrix.data.cast("B")) if matrix.size else 0
    if found != wanted:
        raise ValueError(f"{found} of {wanted} bytes are there")
    return matrix


def _read_compressed(stream: BinaryIO) -> np.ndarray:
    """A matrix of SPEECH_COMPRESSION, several times as fast as kaldiio reads it.

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


def _slices(ranges: str) -> tuple[slice, ...]:
    """`0:99,3:5` as Kaldi means it (both ends included); an empty part is everything."""
    parts = [part.split(":") for part in ranges.split(",")]
    return tuple(
        slice(int(part[0]), int(part[-1]) + 1) if part[0] else slice(None) for part in parts
    )
