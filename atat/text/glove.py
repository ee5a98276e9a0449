"""Pretrained word embeddings in GloVe's plain-text format: one word and its numbers per line.

Knows nothing of their use.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from atat.base.errors import InputError

# GloVe's files begin with the most frequent words; a tagger maps all others to `unknown`.
MOST_FREQUENT = 50_000


def load(
    path: str | Path, wanted: Collection[str], most_frequent: int = MOST_FREQUENT
) -> dict[str, np.ndarray]:
    """Word -> its vector (D,) float32, for the wanted words and the first lines of the file.

    Raises InputError with the line number for a line that is not a word and D numbers, or not
    UTF-8, and for the header that word2vec writes.
    """
    path, wanted = Path(path), frozenset(wanted)
    vectors: dict[str, np.ndarray] = {}
    size = 0
    try:
        stream = open(path, "rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    with stream:
        for number, content in enumerate(stream, 1):
            line = _decoded(content, path, number)
            fields = line.rstrip().split(" ")
            if number == 1:
                if len(fields) == 2:
                    raise InputError(
                        f"{path}:1: {line.strip()!r} is word2vec's header; GloVe's "
                        f"format has none: tail -n +2 {path} > OUT"
                    )
                size = len(fields) - 1
            # Some words of the large files hold blanks; the numbers are at the end.
            word = " ".join(fields[:-size]) if size else ""
            if not word:
                raise InputError(
                    f"{path}:{number}: {len(fields)} fields, expected a word and "
                    f"{size or 'some'} numbers between single blanks"
                )
            if number <= most_frequent or word in wanted:
                vectors.setdefault(word, _numbers(fields[-size:], path, number))
    if not vectors:
        raise InputError(f"{path}: is empty; expected lines `<word> <number> <number> ...`")
    return vectors


def _decoded(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}:{number}: byte {line[error.start]:#04x} is not UTF-8; fetch the file again, "
            f"or, if it is Latin-1, convert it: iconv -f latin1 -t utf-8 {path} > OUT"
        ) from None


def _numbers(fields: list[str], path: Path, number: int) -> np.ndarray:
    try:
        return np.array([float(field) for field in fields], dtype=np.float32)
    except ValueError as error:
        raise InputError(
            f"{path}:{number}: {error}; expected a word and {len(fields)} "
            "numbers between single blanks"
        ) from None
