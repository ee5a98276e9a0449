"""Audio folders of Hugging Face datasets, as tables of utterances.

    my_data/metadata.csv          file_name,transcription,intent
    my_data/train/001.wav         train/001.wav,play silver river,play music

The file metadata.csv or metadata.jsonl lies beside the recordings: in the folder, or in the folder
of each split (https://huggingface.co/docs/datasets/audio_dataset). Only `file_name` is fixed; other
columns are read under the names of `NAMES`. Knows nothing of audio and data dirs.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from atat.base.errors import InputError
from atat.base.files import read_lines
from atat.datadir import utterance_table
from atat.datadir.utterance_table import Row, Table

FILE_NAME = "file_name"
# Column of a table of utterances -> its names in metadata; the first that is there counts.
NAMES = {
    "path": (FILE_NAME,),
    "speaker": ("speaker", "speaker_id"),
    "text": ("text", "transcription", "transcript", "sentence"),
    "tree": ("tree", "semantics"),
    "intent": ("intent",),
    "slots": ("slots",),
}
_KNOWN = frozenset(name for names in NAMES.values() for name in names)
# Names of folders that the library takes for splits.
SPLITS = frozenset("train training validation valid val dev test testing eval evaluation".split())


def read(folder: Path) -> dict[str, Table]:
    """Split -> its table, whose paths start at the split's `Table.path.parent`.

    A folder without splits is the split "". Raises InputError if there is no metadata, or it is
    not as the library wants it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one with metadata.csv or .jsonl")
    if (path := _metadata(folder)) is not None:
        return _by_split(_read(path))
    found = {
        below.name: _read(path)
        for below in sorted(folder.iterdir())
        if below.is_dir() and (path := _metadata(below)) is not None
    }
    if not found:
        raise InputError(
            f"{folder}: no metadata.csv or metadata.jsonl, nor in a folder of a split; without "
            "it nobody knows what the recordings say"
        )
    return found


def _metadata(folder: Path) -> Path | None:
    there = [path for name in ("csv", "jsonl") if (path := folder / f"metadata.{name}").is_file()]
    if len(there) > 1:
        raise InputError(f"{folder}: has metadata.csv and metadata.jsonl; remove one of them")
    if not there and (folder / "metadata.parquet").exists():
        raise InputError(
            f"{folder}/metadata.parquet is not read; write it as metadata.csv "
            "(pandas.read_parquet(…).to_csv(…, index=False))"
        )
    return there[0] if there else None


def _read(path: Path) -> Table:
    rows: list[Row] = []
    broken: list[str] = []
    columns: set[str] = set()
    for where, cells in _csv(path) if path.suffix == ".csv" else _jsonl(path):
        if isinstance(cells, str):
            broken.append(f"{where}: {cells}")
            continue
        columns |= cells.keys()
        try:
            row = Row(where, **_known(cells))
        except InputError as error:
            broken.append(f"{where}: {error}")
            continue
        if row.path:
            rows.append(row)
        else:
            broken.append(f"{where}: no {FILE_NAME}; expected the path of a recording")
    if columns and FILE_NAME not in columns:
        raise InputError(f"{path}:1: no column {FILE_NAME}; found {', '.join(sorted(columns))}")
    if not rows:
        raise InputError(
            f"{path}: no row can be read; expected one for each recording"
            + "".join(f"\n  {what}" for what in broken[:3])
        )
    return Table(path, rows, sorted(columns - _KNOWN), broken)


def _known(cells: Mapping[str, Any]) -> dict[str, str]:
    """The cells of a row, under the names of a table of utterances."""
    found = {}
    for column, names in NAMES.items():
        value = next((cells[name] for name in names if cells.get(name) is not None), "")
        if column == "slots" and isinstance(value, dict):
            value = json.dumps(value, ensure_ascii=False)
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise InputError(f"found {value!r} as {column}, expected text")
        found[column] = str(value).strip() if column == "path" else " ".join(str(value).split())
    return found


def _csv(path: Path) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """(file:line, cells or what is wrong) of each row."""
    reader = csv.reader(io.StringIO(utterance_table.decode(path), newline=""), strict=True)
    line = 1
    try:
        header = next(reader, [])
        utterance_table.refuse_repeated(path, header, _KNOWN)
        line = reader.line_num + 1
        for cells in reader:
            where, line = f"{path}:{line}", reader.line_num + 1
            if not any(cells):
                continue
            if len(cells) != len(header):
                yield where, f"{len(cells)} cells, the header has {len(header)}"
            else:
                yield where, dict(zip(header, cells))
    except csv.Error as error:
        raise InputError(f"{path}:{line}: the quotes of this row do not match ({error})") from None


def _jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any] | str]]:
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            cells = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield f"{path}:{number}", f"is not JSON ({error})"
            continue
        yield f"{path}:{number}", cells if isinstance(cells, dict) else "is not a JSON object"


def _by_split(table: Table) -> dict[str, Table]:
    """The rows by the folder in which their recording lies, if these are names of splits."""
    parts: dict[str, list[Row]] = {}
    for row in table.rows:
        first, slash, _ = row.path.partition("/")
        parts.setdefault(first if slash and first.lower() in SPLITS else "", []).append(row)
    # Rows that cannot be read belong to no split: the first one names them.
    return {
        split: Table(table.path, rows, table.unread, [] if number else table.broken)
        for number, (split, rows) in enumerate(parts.items())
    }
