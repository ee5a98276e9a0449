"""Which data dirs use a folder of synthetic speech, and of which speech their tables are.

WAVS/NAME/synthesis.json names the data dir whose recordings the folder holds, so that another of
the same name does not speak over them, and keeps for every data dir that uses them a digest of the
speech that its tables were last written of. Paths are relative to the folder: a project may be
moved as a whole. Knows nothing of synthesis.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.json_file import read_object_or_none

NAME = "synthesis.json"


class Record:
    """What a folder of speech says of one data dir."""

    def __init__(self, folder: Path, data: Path) -> None:
        """A file that is missing or torn says nothing."""
        self._folder, self._data = folder, data
        self._key = os.path.relpath(data, folder)
        found = read_object_or_none(folder / NAME) or {}
        self._owner = str(found.get("data", self._key))
        tables_of = found.get("tables_of")
        self._tables_of = dict(tables_of) if isinstance(tables_of, dict) else {}

    @property
    def tables_of(self) -> str | None:
        """The digest of the speech that the data dir's tables are of; None if nobody knows."""
        return self._tables_of.get(self._key)

    def claim(self, overwritten: Sequence[str]) -> None:
        """Take the folder for this data dir unless it is another's.

        overwritten: utterances of which it would lose what it holds. Raises InputError if it is
        another's and there are some. One that has been moved or removed since owns nothing.
        """
        owner = self._path_of(self._owner)
        if not owner.is_dir() or owner.samefile(self._data):
            self._owner = self._key
        elif overwritten:
            raise InputError(
                f"{self._data}: {len(overwritten)} utterances, such as {overwritten[0]}, would be "
                f"spoken over those of {owner} in {self._folder}; name another --wavs or, if "
                f"{owner} no longer needs them, remove {self._folder / NAME}"
            )
        self._write()

    def written(self, digest: str) -> None:
        """Keep the digest of the speech that the data dir's tables are of from now on."""
        self._tables_of[self._key] = digest
        self._write()

    def _write(self) -> None:
        there = {key: one for key, one in self._tables_of.items() if self._path_of(key).is_dir()}
        with atomic_write(self._folder / NAME) as stream:
            json.dump({"data": self._owner, "tables_of": there}, stream, indent=1)

    def _path_of(self, key: str) -> Path:
        """The data dir of a key: its `..` are of the text, as those of `relpath`, though the folder
        may be a link."""
        return Path(os.path.normpath(self._folder / key))
