"""A list of digests beside files, so that a changed bit is noticed before the file is used.

    SHA256SUMS     as `sha256sum` writes and checks it: sha256sum -c SHA256SUMS

A folder without the list was written by a version that wrote none: nothing is checked. It guards
against broken disks and copies, not against people: who can change a file can change the list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from atat.base.digests import of_file
from atat.base.errors import InputError
from atat.base.files import atomic_write

NAME = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_WAY_OUT = (
    "copy the whole folder again from where it came, or make it again. Where you changed it "
    f"yourself, remove {NAME}, and it is no longer checked"
)


def write(folder: Path) -> None:
    """Write the digests of all files in the folder, those of its folders included."""
    lines = [f"{of_file(folder / name)}  {name}\n" for name in _files(folder, ["."])]
    with atomic_write(folder / NAME) as stream:
        stream.writelines(lines)


def check(folder: Path, parts: Iterable[str]) -> None:
    """Raise InputError unless the folder's `parts`, files or folders, are as they were written.

    A missing part is no error in itself, but every file that the list names must exist.
    """
    path = folder / NAME
    if not path.is_file():
        return
    listed = _read(path)
    missing = [name for name in listed if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder}: no {missing[0]}, which {NAME} names; {_WAY_OUT}")
    for name in _files(folder, parts):
        if name not in listed:
            raise InputError(
                f"{folder / name}: not one of the files that {NAME} names; remove it, or {_WAY_OUT}"
            )
        if of_file(folder / name) != listed[name]:
            raise InputError(
                f"{folder / name}: damaged or changed since it was written (its digest is not "
                f"that in {NAME}); {_WAY_OUT}"
            )


def others(folder: Path) -> list[str]:
    """Files in the folder that the list does not name; all of them if there is no list."""
    listed = _read(folder / NAME) if (folder / NAME).is_file() else {}
    return [name for name in _files(folder, ["."]) if name not in listed]


def _files(folder: Path, parts: Iterable[str]) -> list[str]:
    """Names of the files of these parts, relative to the folder, without the list itself."""
    found = []
    for part in (folder / part for part in parts):
        found += [part] if part.is_file() else [path for path in part.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix() for path in found}
    return sorted(names - {NAME})


def _read(path: Path) -> dict[str, str]:
    """Digests by name."""
    listed = {}
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        match = _LINE.fullmatch(line.decode("utf-8", errors="replace"))
        if match is None or ".." in Path(match[2]).parts or Path(match[2]).is_absolute():
            raise InputError(f"{path}:{number}: not a digest and a name; {_WAY_OUT}")
        listed[match[2]] = match[1]
    return listed
