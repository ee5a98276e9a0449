"""Reading and writing text files so that nothing half-written is ever found.

Knows nothing of what the files hold.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from atat.errors import InputError


@contextmanager
def atomic_write(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that appears under `path` only when the block ends without an error.

    A reader sees the old file or the new one, never a part; on an error (a full disk, an
    interrupt) the old file stays as it was. Missing parent folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process id keeps two processes that write the same file from sharing one temporary.
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with open(temporary, mode, **text) as stream:
            yield stream
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def fields(line: str) -> list[str]:
    """The fields of a line, parted by blanks and tabs as in Kaldi.

    `str.split` would part at every white space of Unicode, inside an id or a word.
    """
    return [field for field in line.replace("\t", " ").split(" ") if field]


def read_lines(path: str | Path) -> list[str]:
    """Lines of a UTF-8 text file without their newlines.

    Raises InputError, naming file and line, for a missing file, a byte order mark, Windows
    line ends and bytes that are not UTF-8.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, a file was expected") from None
    if data.startswith(b"\xef\xbb\xbf"):
        raise InputError(
            f"{path}:1: starts with a byte order mark; save as plain UTF-8, with: "
            f"sed -i '1s/^\\xef\\xbb\\xbf//' {path}"
        )
    carriage_return = data.find(b"\r\n")
    if carriage_return >= 0:
        line = data.count(b"\n", 0, carriage_return) + 1
        raise InputError(
            f"{path}:{line}: Windows line end (CRLF); convert with: sed -i 's/\\r$//' {path}"
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}:{line}: byte {data[error.start]:#04x} is not UTF-8; "
            "convert with: iconv -t utf-8"
        ) from None
    lines = text.split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    return lines
