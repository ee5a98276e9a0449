"""One process at a time works in a folder; a second is told who holds it.

The lock is the system's (flock) on an open file of the folder, or beside it where the folder is
replaced as a whole. It ends with the process that holds it, so a killed process never blocks the
folder. The file in a folder stays; while the lock is held, it holds the holder's name. Knows
nothing of the work done in the folder.
"""

from __future__ import annotations

import datetime
import errno
import fcntl
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from atat.base import permissions
from atat.base.errors import InputError

logger = logging.getLogger(__name__)
NAME = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # some network file systems
_held: set[int] = set()  # file descriptors
_watches_forks = False


@contextmanager
def hold(folder: str | Path, what: str, *, file: str = NAME, wait: bool = False) -> Iterator[None]:
    """Keep `folder` for this process while the block runs; the folder is made if missing, and
    removed again if the block ends with an error before there is anything in it.

    what: the work, as others are told: "a training", "feature extraction". file: another name for
    work that may be done at the same time. wait: wait for the other process instead of raising.
    Raises InputError, naming the holder, while another process (or this one) holds it. If the
    file system has no locks, a warning is logged instead.
    """
    folder = Path(folder)
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with _hold(folder / file, folder, what, wait, stays=True):
        try:
            yield
        except BaseException:
            if is_new and os.listdir(folder) == [file]:  # nothing was done
                (folder / file).unlink()
                folder.rmdir()
            raise


@contextmanager
def hold_name(folder: str | Path, what: str, *, wait: bool = False) -> Iterator[None]:
    """`hold`, of a folder that the work puts in its place as a whole, where there may be none yet.

    The lock's file is beside it, as `.FOLDER.lock`, and goes when the block ends. Raises InputError
    for a place that cannot be written to, too.
    """
    path = Path(os.path.abspath(folder))  # a name of its own, of `.` too
    file = path.with_name(f".{path.name}{NAME}")
    with permissions.to_write(folder, "nothing can be written here"):
        file.parent.mkdir(parents=True, exist_ok=True)
        open(file, "ab").close()
    with _hold(file, Path(folder), what, wait, stays=False):
        yield


@contextmanager
def _hold(file: Path, folder: Path, what: str, wait: bool, stays: bool) -> Iterator[None]:
    descriptor = _taken(file, folder, wait)
    _held.add(descriptor)
    try:
        _let_go_in_forks()
        _write_holder(descriptor, what)
        yield
    finally:
        if descriptor in _held:  # otherwise this is a fork of the process that holds it
            _held.discard(descriptor)
            if not stays:
                file.unlink(missing_ok=True)
            os.ftruncate(descriptor, 0)  # the holder's name
            os.close(descriptor)


def _taken(file: Path, folder: Path, wait: bool) -> int:
    """The file, open and locked. One that its holder has removed meanwhile is no lock: again."""
    while True:
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:  # its holder has removed the folder, too
            file.parent.mkdir(parents=True, exist_ok=True)
            continue
        try:
            _take(descriptor, folder, wait)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _take(descriptor: int, folder: Path, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise InputError(
            f"{folder}: {_holder(descriptor)} is at work in this folder. Wait until it is done, or "
            "stop it and run this command again to go on from there, or give another folder"
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        logger.warning(
            "%s: its file system has no locks (%s); make sure that only one process works there",
            folder,
            error.strerror,
        )


def _write_holder(descriptor: int, what: str) -> None:
    about = {
        "what": what,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %z"),
    }
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(about).encode(), 0)


def _holder(descriptor: int) -> str:
    """Who holds the lock, in words; the file may be read just before its name is written."""
    try:
        about = json.loads(os.pread(descriptor, 4096, 0))
        return "{what} (process {pid} on {host}, since {since})".format(**about)
    except (ValueError, LookupError, TypeError):
        return "another process"


def _let_go_in_forks() -> None:
    """A forked worker inherits open files; the lock would live as long as the last of them."""
    global _watches_forks
    if not _watches_forks:
        os.register_at_fork(after_in_child=_let_go)
        _watches_forks = True


def _let_go() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()
