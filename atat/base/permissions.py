"""Who may write in a place, and who may read what has been written there."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from atat.base.errors import InputError


@contextmanager
def to_write(folder: str | Path, refused: str) -> Iterator[None]:
    """Raise InputError, with the sentence `refused`, where the block cannot write in a folder.

    A full disk stays the OSError that it is: another folder need not help.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            f"{folder}: {refused} ({error.strerror}: {error.filename}); name a folder that you may "
            "write to"
        ) from None


def check(folder: str | Path, refused: str) -> None:
    """Raise the same where a file cannot be made in a folder: before the work, not after it."""
    with to_write(folder, refused):
        tempfile.TemporaryFile(dir=folder).close()


@contextmanager
def of_new_files(path: Path) -> Iterator[None]:
    """Give a file that the block writes the permissions of any new file in its folder.

    safetensors leaves what it writes to its owner alone, which keeps a model from colleagues.
    """
    path.touch()
    mode = path.stat().st_mode
    yield
    path.chmod(mode)
