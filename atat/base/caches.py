"""Where a user's caches lie, and a sentence for one that cannot be written to.

Knows nothing of what is kept there.
"""

from __future__ import annotations

import os
from pathlib import Path

from atat.base.errors import InputError


def folder(variable: str, *below: str) -> Path:
    """The folder that an environment variable names, else one below ~/.cache/atat (XDG_CACHE_HOME).

    Raises InputError for a user without a home.
    """
    if named := os.environ.get(variable):
        return Path(named)
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # no HOME, and the system does not know the user
        raise InputError(
            f"there is no home folder, and so no cache; name a folder for it: {variable}=DIR"
        ) from None
    return cache.joinpath("atat", *below)


def make(path: Path, variable: str) -> Path:
    """Make a folder of a cache. Raises InputError, with the variable that names another, if not."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        if os.access(path, os.W_OK):
            return path
        why = "no right to write"
    except OSError as error:
        why = error.strerror or str(error)
    raise InputError(f"{path}: cannot be written to ({why}); name another folder: {variable}=DIR")
