"""A corpus as a csv file with a header and one row for each recording or sentence.

    path,speaker,text,intent,slots
    anna/001.wav,anna,Play Silver River,play music,song=silver river
    ,,stop the music,stop music,

    path     the recording; a row without it is a sentence that a model learns as text
    speaker  who speaks
    text     what is said
    tree     what it means: [IN:PLAY_MUSIC play [SL:SONG silver river ] ]
    intent   the same in two columns, instead of a tree; `atat.text.slot_trees` says what
    slots    stands in them

Any of the columns may be missing, as long as something can be learned from the rest. Columns are
separated by commas, semicolons or tabs, whichever the header has. Other columns are not read.
Knows nothing of audio and trees: cells are strings here.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from atat.base import suggest
from atat.base.errors import InputError

COLUMNS = ("path", "speaker", "text", "tree", "intent", "slots")
SEPARATORS = ",;\t"
_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"PK": "an Excel workbook"}


@dataclass(frozen=True)
class Row:
    """A row; `where` is file:line. Missing cells are empty strings."""

    where: str
    path: str = ""
    speaker: str = ""
    text: str = ""
    tree: str = ""
    intent: str = ""
    slots: str = ""


@dataclass(frozen=True)
class Table:
    """The rows, the names of the columns that are not read, and the rows that cannot be read."""

    path: Path
    rows: list[Row]
    unread: list[str]
    broken: list[str] = field(default_factory=list)  # "file:line: what is wrong"

    def has(self, column: str) -> bool:
        """Whether at least one row has something in a column."""
        return any(getattr(row, column) for row in self.rows)


def read(path: str | Path) -> Table:
    """Read a table of utterances; InputError says which line of the file is wrong and why."""
    path = Path(path)
    text = decode(path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text), strict=True)
    rows: list[Row] = []
    broken: list[str] = []
    line = 1
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        unread = _check_header(path, header)
        line = reader.line_num + 1
        for cells in reader:
            where, line = f"{path}:{line}", reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                broken.append(
                    f"{where}: {len(cells)} cells, the header has {len(header)}; a cell "
                    "with a separator in it stands between quotes"
                )
                continue
            # A file name may hold two blanks; elsewhere white space separates words.
            known = {
                name: cell.strip() if name == "path" else " ".join(cell.split())
                for name, cell in zip(header, cells)
                if name in COLUMNS
            }
            rows.append(Row(where, **known))
    except csv.Error as error:
        raise InputError(
            f"{path}:{line}: the quotes of this row do not match ({error}); a cell "
            "with quotes in it stands between quotes, and its own are doubled: "
            '"say ""stop"""'
        ) from None
    if not rows:
        raise InputError(
            f"{path}: no row below the header can be read; expected one for each "
            "recording or sentence" + "".join(f"\n  {what}" for what in broken[:3])
        )
    return Table(path, rows, unread, broken)


def decode(path: Path) -> str:
    """The text of the file, without the byte order mark that Excel writes."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected a csv file")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; expected a csv file with the columns "
            f"{', '.join(COLUMNS)}, of which some may be missing"
        ) from None
    for start, name in _ENCODINGS.items():
        if data.startswith(start):
            raise InputError(
                f'{path}: is {name}, expected a csv file in UTF-8; save it as "CSV UTF-8"'
            )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}:{line}: byte {data[error.start]:#04x} is not UTF-8; save the "
            f'file as "CSV UTF-8", or: iconv -f latin1 -t utf-8 {path}'
        ) from None


def _separator(text: str) -> str:
    """The separator that gives the most known columns in the header."""
    first = text.partition("\n")[0]

    def known(separator: str) -> int:
        return len({name.strip(' "\r').lower() for name in first.split(separator)} & set(COLUMNS))

    return max(SEPARATORS, key=known)


def refuse_repeated(path: Path, header: Iterable[str], known: Collection[str]) -> None:
    """Raise InputError if a known column stands twice in a header."""
    for name, count in Counter(header).items():
        if count > 1 and name in known:
            raise InputError(f"{path}:1: the column {name!r} occurs twice; rename or remove one")


def _check_header(path: Path, header: Sequence[str]) -> list[str]:
    """The columns that are not read; InputError if nothing can be learned from the others."""
    where, found = f"{path}:1", ", ".join(name or "(no name)" for name in header) or "nothing"
    refuse_repeated(path, header, COLUMNS)
    missing = [name for name in COLUMNS if name not in header]
    unread = [name for name in header if name not in COLUMNS]
    for name in unread:
        if near := suggest.nearest(name, missing, alike=0.8):
            raise InputError(
                f"{where}: the column {name!r} is not known and {near!r} is "
                f"missing; rename it to {near}, or to something less like it"
            )
    if "slots" in header and "intent" not in header:
        raise InputError(f"{where}: a column slots without intent; add the intent of each row")
    meaning = "tree" in header or "intent" in header
    if not ("text" in header or meaning) or not ("path" in header or "text" in header and meaning):
        raise InputError(
            f"{where}: nothing can be learned from the columns {found}; expected path and one of "
            "text, tree, intent; or text and one of tree, intent; separated by commas"
        )
    return unread
