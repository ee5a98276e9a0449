"""Reading and writing text files so that no reader ever finds a half-written one.

A file is written as `NAME.tmp` beside its final place and moved there when it is complete. The
writing process holds the system's lock (flock) on it: a `.tmp` without a lock is a leftover of a
process that was killed, and the next process may overwrite or remove it. On a file system without
locks each process writes under a name of its own.

Knows nothing of the files' contents.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, NamedTuple

from atat.base.errors import InputError

TEMPORARY = ".tmp"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
NOT_UTF8 = "not UTF-8"  # the kind of a fault
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # some network file systems
_JUST_MADE = 60  # s: the process that made a scratch folder may not hold it yet at this age


@contextmanager
def atomic_write(path: str | Path, mode: str = "w", *, durable: bool = True) -> Iterator[IO[Any]]:
    """Open a file that appears under `path` only when the block ends without an error.

    A reader sees the old file or the new one, never a part. On an error (a full disk, an
    interrupt) the old file stays as it was. A leftover of a killed process is overwritten. Missing
    parent folders are made. With `durable` this holds after a power failure, too: the file is on
    disk before it takes its place (some 10 ms a file, too much for thousands of files that are
    made again when one is damaged). An OSError names the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = _open_temporary(path, mode)
    try:
        yield stream
        if not stream.closed:
            stream.flush()
        if durable:
            sync(stream.name)
        # The file is still open and so still locked: no process takes it for a leftover.
        os.replace(stream.name, path)
    except BaseException as error:
        Path(stream.name).unlink(missing_ok=True)
        with suppress(OSError):  # fails again after a failed write
            stream.close()
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise
    stream.close()
    if durable:
        sync(path.parent)


def sync(path: str | Path) -> None:
    """Wait until the disk has written a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # no disk behind it
            raise
    finally:
        os.close(descriptor)


def remove_leftovers(folder: str | Path, pattern: str = "*") -> None:
    """Remove leftovers of killed processes under a folder, of files whose names match a pattern.

    Files that a running process is writing stay.
    """
    for path in Path(folder).rglob(pattern + TEMPORARY):
        if path.is_symlink() or not path.is_file():
            continue
        # Its writer may have moved it to its place meanwhile, and another may have begun a new one.
        with suppress(FileNotFoundError), open(path, "rb") as stream:
            if _hold(stream.fileno()) and _is_same(stream.fileno(), path):
                path.unlink(missing_ok=True)


@contextmanager
def scratch_folder(purpose: str) -> Iterator[Path]:
    """A temporary folder, removed when the block ends; older leftovers are removed first."""
    prefix = f"atat-{purpose}-"
    _remove_scratch(prefix)
    with tempfile.TemporaryDirectory(prefix=prefix) as name:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _hold(descriptor)
            yield Path(name)
        finally:
            os.close(descriptor)


@cache
def _remove_scratch(prefix: str) -> None:
    """Runs only once in a process."""
    for path in Path(tempfile.gettempdir()).glob(prefix + "*"):
        try:
            if time.time() - path.stat().st_mtime < _JUST_MADE:
                continue
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # another user's, or just removed
            continue
        try:
            if _hold(descriptor):
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(descriptor)


def _open_temporary(path: Path, mode: str) -> IO[Any]:
    """The file beside `path`, locked and empty; under another name if a running process has it, or
    if there are no locks that would say so."""
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}

    def untouched(name: str, flags: int) -> int:
        return os.open(name, flags & ~os.O_TRUNC, 0o666)

    for name in (path.name + TEMPORARY, f"{path.name}.{os.getpid()}{TEMPORARY}"):
        temporary = path.with_name(name)
        was_there = temporary.exists()
        while True:
            stream = open(temporary, mode, opener=untouched, **text)
            held = _hold(stream.fileno())
            if held and not _is_same(stream.fileno(), temporary):
                # Its writer has moved it to its place after we opened it and before we locked it.
                stream.close()
                continue
            break
        if held or name != path.name + TEMPORARY:
            break
        stream.close()
        if held is None and not was_there:  # else it may be that of a process which has locks
            temporary.unlink(missing_ok=True)
    if os.fstat(stream.fileno()).st_size:
        os.ftruncate(stream.fileno(), 0)
    return stream


def _hold(descriptor: int) -> bool | None:
    """Take the lock on an open file; False if another process has it, None without locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return None if error.errno in NO_LOCKS else False
    return True


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def fields(line: str) -> list[str]:
    """The fields of a line, separated by blanks and tabs as in Kaldi.

    `str.split` would split at any Unicode white space, even inside an id or a word.
    """
    return [field for field in line.replace("\t", " ").split(" ") if field]


class ByteFault(NamedTuple):
    """What is wrong with the bytes of a text file, and where."""

    line: int
    kind: str
    message: str


def read_bytes(path: str | Path) -> bytes:
    """The bytes of a user's file; InputError if it is missing, a folder or not readable."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, a file was expected") from None
    except PermissionError:
        raise InputError(f"{path}: cannot be read; allow it with: chmod u+r {path}") from None


def plain_lines(path: str | Path, data: bytes) -> tuple[list[str], list[ByteFault]]:
    """The lines of a text file's bytes without their newlines, and what is wrong with the bytes.

    A byte order mark and the carriage returns of Windows are removed; bytes that are not UTF-8
    become U+FFFD.
    """
    faults = []
    if data.startswith(BYTE_ORDER_MARK):
        data = data[len(BYTE_ORDER_MARK) :]
        way_out = f"save as plain UTF-8: sed -i '1s/^\\xef\\xbb\\xbf//' {path}"
        message = f"starts with a byte order mark; {way_out}"
        faults.append(ByteFault(1, "byte order mark", message))
    if (at := data.find(b"\r\n")) >= 0:
        count = data.count(b"\r\n")
        found = "1 line ends in CRLF" if count == 1 else f"{count} lines end in CRLF"
        message = f"{found}, this the first; convert: sed -i 's/\\r$//' {path}"
        faults.append(ByteFault(data.count(b"\n", 0, at) + 1, "Windows line ends", message))
        data = data.replace(b"\r\n", b"\n")
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        lines = [_decode(path, *row, faults) for row in enumerate(data.split(b"\n"), 1)]
    if lines[-1] == "":
        lines.pop()
    return lines, faults


def _decode(path: str | Path, number: int, line: bytes, faults: list[ByteFault]) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        message = (
            f"byte {line[error.start]:#04x} is not UTF-8; convert the file, if it is Latin-1: "
            f"iconv -f latin1 -t utf-8 {path}"
        )
        faults.append(ByteFault(number, NOT_UTF8, message))
        return line.decode("utf-8", errors="replace")


def read_lines(path: str | Path) -> list[str]:
    """Lines of a UTF-8 text file without their newlines.

    Raises InputError, naming file and line, for a missing file, a byte order mark, Windows
    line ends and bytes that are not UTF-8.
    """
    lines, faults = plain_lines(path, read_bytes(path))
    for fault in faults:
        raise InputError(f"{path}:{fault.line}: {fault.message}")
    return lines
