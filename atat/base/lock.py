"""One process at a time works in a folder; a second is told who holds it.

The lock is the system's (flock) on an open file of the folder, or beside it where the folder is
replaced as a whole. It ends with the process that holds it, so a killed process never blocks the
folder; on a network disk that of a lost machine ends when the disk's server gives it up. The file
in a folder stays; while the lock is held, it holds the holder's name. Knows nothing of the work
done in the folder.
"""

from __future__ import annotations

import datetime
import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from atat.base import permissions
from atat.base.errors import InputError
from atat.base.files import NO_LOCKS

logger = logging.getLogger(__name__)
NAME = ".lock"
# Seconds to wait for the lock of a machine that may be gone: NFS 4 gives it up after 90.
LOST = 180.0
POLL = 0.5  # s between two tries
_held: set[int] = set()  # file descriptors
_watches_forks = False


@contextmanager
def hold(
    folder: str | Path, what: str, *, file: str = NAME, wait: bool = False, patience: float = 0.0
) -> Iterator[None]:
    """Keep `folder` for this process while the block runs; the folder is made if missing, and
    removed again if the block ends with an error before there is anything in it.

    what: the work, as others are told: "a training", "feature extraction". file: another name for
    work that may be done at the same time. wait: wait for the other process instead of raising.
    patience: seconds to wait if it is on another machine, which may be gone. Raises InputError,
    naming the holder, while another process (or this one) holds it. If the file system has no
    locks, a warning is logged instead.
    """
    folder = Path(folder)
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with _hold(folder / file, folder, what, None if wait else patience, stays=True):
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
    with _hold(file, Path(folder), what, None if wait else 0.0, stays=False):
        yield


@contextmanager
def _hold(
    file: Path, folder: Path, what: str, patience: float | None, stays: bool
) -> Iterator[None]:
    descriptor = _taken(file, folder, patience)
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


def _taken(file: Path, folder: Path, patience: float | None) -> int:
    """The file, open and locked. One that its holder has removed meanwhile is no lock: again."""
    while True:
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:  # its holder has removed the folder, too
            file.parent.mkdir(parents=True, exist_ok=True)
            continue
        try:
            _take(descriptor, folder, patience)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _take(descriptor: int, folder: Path, patience: float | None) -> None:
    """Lock an open file; patience: as in `hold`, None to wait for any holder."""
    end, told = time.monotonic() + (patience or 0.0), False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if patience is None else fcntl.LOCK_NB))
            return
        except BlockingIOError:
            if time.monotonic() >= end or not _is_elsewhere(descriptor):
                raise _at_work(folder, descriptor, told) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            logger.warning(
                "%s: its file system has no locks (%s); make sure that only one process works "
                "there",
                folder,
                error.strerror,
            )
            return
        if not told:
            told = True
            logger.warning(
                "%s: held by %s; if that machine is gone, the lock ends: waiting, at most %.0f s",
                folder,
                _holder(descriptor),
                patience,
            )
        time.sleep(POLL)


def _at_work(folder: Path, descriptor: int, waited: bool) -> InputError:
    gone = (
        ". If that machine is gone, the disk's server has not noticed it yet: try again later"
        if waited
        else ""
    )
    return InputError(
        f"{folder}: {_holder(descriptor)} is at work in this folder. Wait until it is done, or "
        f"stop it and run this command again to go on from there, or give another folder{gone}"
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
    """Who holds the lock, in words."""
    try:
        return "{what} (process {pid} on {host}, since {since})".format(**_about(descriptor))
    except LookupError:
        return "another process"


def _is_elsewhere(descriptor: int) -> bool:
    """Whether another machine holds the lock; that of this one lives, or the lock had ended."""
    return _about(descriptor).get("host") != socket.gethostname()


def _about(descriptor: int) -> dict[str, Any]:
    """What the holder has written; the file may be read just before that."""
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


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
