"""The library that reads and writes matrices in Kaldi's formats: kaldiio or omniio.

The only module that imports either. kaldiio comes under an evaluation agreement of NTT, which is
not a free software licence; omniio is under MIT. Both write the same bytes and read the same
numbers, except in three cases: for less than five rows compressed as speech omniio computes the
quantiles as Kaldi does; omniio refuses to compress NaN and infinity; kaldiio cannot read a text
vector whose first value is a whole number and another is not. If both are installed, kaldiio is
used: it compresses several times as fast. To choose, set ATAT_ARK_LIBRARY=kaldiio or =omniio.

Knows nothing of ids, offsets and damaged files: `atat.datadir.ark` checks them first.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from functools import lru_cache
from typing import IO, BinaryIO, NamedTuple, Optional

import numpy as np

from atat.base import extras
from atat.base.errors import InputError

VARIABLE = "ATAT_ARK_LIBRARY"


class Library(NamedTuple):
    """The functions that atat needs from a library."""

    read: Callable[[BinaryIO], np.ndarray]  # the matrix or vector that starts here
    # The stream, a matrix or vector, and Kaldi's number of a way to compress it.
    write: Callable[[IO[bytes], np.ndarray, Optional[int]], None]


def read_matrix(stream: BinaryIO) -> np.ndarray:
    """The matrix or vector that starts at this place of the stream."""
    return functions_of(_chosen()).read(stream)


def write_matrix(stream: IO[bytes], matrix: np.ndarray, compression: int | None = None) -> None:
    """Write a matrix or vector; `compression` is Kaldi's number of a method, for matrices only."""
    functions_of(_chosen()).write(stream, matrix, compression)


@lru_cache
def functions_of(name: str) -> Library:
    """Those of kaldiio or omniio; with an empty name of the one that is installed, kaldiio first.

    Raises InputError if it is not installed.
    """
    if name:
        with extras.needed(extras.EXTRA_OF[name], by=f"{VARIABLE}={name}"):
            return LIBRARIES[name]()
    for load in LIBRARIES.values():
        try:
            return load()
        except ImportError:
            continue
    raise InputError(
        "text arks, vectors and all writing of arks need kaldiio or omniio, and neither is "
        f"installed; {extras.how_to_install('kaldi')} (omniio, under MIT: kaldi-mit)"
    )


def _chosen() -> str:
    name = os.environ.get(VARIABLE, "")
    if name and name not in LIBRARIES:
        raise InputError(
            f"{VARIABLE}={name}: no such library; expected {' or '.join(LIBRARIES)}, or nothing "
            "for the first of them that is installed"
        )
    return name


def _kaldiio() -> Library:
    from kaldiio import matio

    def write(stream: IO[bytes], matrix: np.ndarray, compression: int | None) -> None:
        matio.write_array(stream, matrix, compression_method=compression)

    return Library(matio.read_kaldi, write)


def _omniio() -> Library:
    from omniio import kaldi

    def write(stream: IO[bytes], matrix: np.ndarray, compression: int | None) -> None:
        # It writes an id before each matrix; we choose the place, or write no id.
        record = io.BytesIO()
        kaldi.save_ark(record, {"-": matrix}, compression_method=compression)
        stream.write(record.getbuffer()[len(b"- ") :])

    return Library(kaldi.read_object, write)


LIBRARIES: dict[str, Callable[[], Library]] = {"kaldiio": _kaldiio, "omniio": _omniio}
