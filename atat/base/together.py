"""Several files of a folder become new together: all of them or none, whatever happens between.

The new files are written into FOLDER/.new. Renaming that to FOLDER/.committed is the moment they
count; from there they are moved to their places one by one. A process killed before leaves a .new,
which the next writer removes; one killed after leaves a .committed, which the next reader or writer
moves on (`settle`). Readers come through `steadily`: what a living writer changes while they read
is read again. Programs that know nothing of this see a mixture only from such a kill until then.

One writer at a time, by the system's lock (flock) on the folder itself, which ends with the process
that holds it; where the file system has no such locks, the user has to see to that.
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
_REMOVED = ".removed"  # in either: names of the files that go, one a line
_READINGS = 10


@contextmanager
def new_files(folder: str | Path, *, remove: Iterable[str] = ()) -> Iterator[Path]:
    """A folder for new files, which take their places in `folder` when the block ends.

    Those of `remove` go with the same step. An error leaves all as it was.
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
            (new / _REMOVED).write_text("".join(f"{name}\n" for name in remove), encoding="utf-8")
            for path in new.iterdir():
                sync(path)
            sync(new)
            os.rename(new, folder / COMMITTED)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        sync(folder)
        _move_on(folder)


def settle(folder: str | Path) -> None:
    """Finish what a killed process had begun to change in a folder; mostly there is nothing to do.

    Raises InputError where that is needed and the folder may not be written to.
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
    """What `read` gives, of files that nobody replaced meanwhile: all of them old, or all new.

    names: the files that it reads. Raises InputError when they do not come to rest.
    """
    names = tuple(names)
    for _ in range(_READINGS):
        settle(folder)
        before = _state(folder, names)
        error = None
        try:
            found = read()
        except InputError as problem:  # of files that do not belong together, maybe
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
    """Be the only one that changes a folder's files in this block; waits for who else does."""
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
    """Move the files of .committed to their places; again and again gives the same."""
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
    # After the moves are on disk: as long as it is there, all of it can be gone through again.
    (committed / _REMOVED).unlink(missing_ok=True)
    committed.rmdir()


def _state(folder: str | Path, names: Iterable[str]) -> list[tuple[int, int] | None]:
    """Another whenever one of the files has been replaced."""
    state: list[tuple[int, int] | None] = []
    for name in names:
        try:
            status = os.stat(os.path.join(folder, name))
            state.append((status.st_ino, status.st_mtime_ns))
        except OSError:
            state.append(None)
    return state
