"""Replaces several files of a folder together: all of them or none, even if the process is killed.

The new files are written into FOLDER/.new. Renaming it to FOLDER/.committed commits them; from
there they are moved to their places one by one. A process killed before the commit leaves a .new,
which the next writer removes; one killed after it leaves a .committed, and the next reader or
writer finishes the moves (`settle`). Readers use `steadily`, which reads again if a writer changes
files meanwhile. Other programs can see a mixture only between such a kill and `settle`.

The system's lock (flock) on the folder itself admits one writer at a time and ends with its
process; on a file system without such locks, the user must make sure of that.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from atat.base.errors import InputError
from atat.base.files import sync

Result = TypeVar("Result")

NEW, COMMITTED = ".new", ".committed"
_REMOVED = ".removed"  # in both: names of the files to remove, one per line
_READINGS = 10


@contextmanager
def new_files(folder: str | Path, *, remove: Iterable[str] = ()) -> Iterator[Path]:
    """A folder for new files, which take their places in `folder` when the block ends.

    The files of `remove` that are not among the new ones are removed in the same step. On an error
    nothing changes.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        _move_on(folder)
        new = folder / NEW
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        try:
            yield new
            # Finishing after a kill would remove a new file that is in its place already.
            gone = "".join(f"{name}\n" for name in sorted(set(remove) - set(os.listdir(new))))
            (new / _REMOVED).write_text(gone, encoding="utf-8")
            for path in new.iterdir():
                sync(path)
            sync(new)
            os.rename(new, folder / COMMITTED)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        sync(folder)
        _move_on(folder)


def settle(folder: str | Path) -> None:
    """Finish a change that a killed process has left in a folder; usually there is none.

    Raises InputError if there is one and the folder cannot be written to.
    """
    folder = Path(folder)
    if not (folder / COMMITTED).is_dir():
        return
    try:
        with alone(folder):
            _move_on(folder)
    except OSError as error:
        raise InputError(
            f"{folder}: a process that was changing its files was killed, and the rest of the "
            f"change cannot be made now ({error.strerror}); allow writing to the folder for one "
            "command, such as: atat datadir info"
        ) from None


def steadily(folder: str | Path, names: Iterable[str], read: Callable[[], Result]) -> Result:
    """The result of `read` on files that were not replaced meanwhile: all old or all new.

    names: the files that it reads. Raises InputError if they keep changing.
    """
    names = tuple(names)
    for _ in range(_READINGS):
        settle(folder)
        before = _state(folder, names)
        error = None
        try:
            found = read()
        except InputError as problem:  # perhaps it read old and new files
            error = problem
        if _state(folder, names) == before:
            if error is not None:
                raise error
            return found
    raise InputError(
        f"{folder}: its files are replaced again and again while they are read; wait "
        "until the program that writes them is done"
    )


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock in this block; waits until another writer is done."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # no locks here
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        with suppress(OSError):
            # Not only closed: a fork of this process may have inherited it.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _move_on(folder: Path) -> None:
    """Move the files of .committed to their places; can be repeated safely."""
    committed = folder / COMMITTED
    if not committed.is_dir():
        return
    names = sorted(os.listdir(committed))
    if _REMOVED in names:
        for name in (committed / _REMOVED).read_text(encoding="utf-8").split("\n")[:-1]:
            (folder / name).unlink(missing_ok=True)
    for name in names:
        if name != _REMOVED:
            os.replace(committed / name, folder / name)
    sync(folder)
    # Only after the moves are on disk: until then, all of this can be repeated.
    (committed / _REMOVED).unlink(missing_ok=True)
    committed.rmdir()


def _state(folder: str | Path, names: Iterable[str]) -> list[tuple[int, int] | None]:
    """A value that changes whenever one of the files is replaced."""
    state: list[tuple[int, int] | None] = []
    for name in names:
        try:
            status = os.stat(os.path.join(folder, name))
            state.append((status.st_ino, status.st_mtime_ns))
        except OSError:
            state.append(None)
    return state
