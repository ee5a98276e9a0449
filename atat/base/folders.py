"""Putting a finished folder in the place of an older one, so that one of them is always there.

Knows nothing of what is in them.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path

from atat.base.errors import InputError

_HERE = -100  # AT_FDCWD: paths are meant from the working folder
_EXCHANGE = 2  # RENAME_EXCHANGE


def replace(new: Path, folder: Path) -> None:
    """Give a folder the name of another, which is removed if it exists; of a link, the link alone.

    Where the system can exchange two names, a reader or a kill finds the old or the new one whole
    under `folder`. Elsewhere it may find none for a moment; the old one is then beside it, as
    `FOLDER.old`.
    """
    if not os.path.lexists(folder):
        new.rename(folder)
        return
    if exchange(new, folder):
        _remove(new)
        return
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    folder.rename(old)
    new.rename(folder)
    _remove(old)


def check_name(folder: Path) -> None:
    """Raise InputError for a path without a name, such as `.`: nothing can take its place."""
    if not folder.name:
        raise InputError(
            f"{folder}: has no name under which a new folder could take its place; name another "
            f"one, such as {folder / 'model'}"
        )


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder)


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one step; False where that cannot be done."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):  # not Linux, or of another age
        return False
    done: int = call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)
    return done == 0
