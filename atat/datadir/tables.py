"""One table of a data dir: lines `<key> <value>`, sorted by key in C locale.

That is Python's own order of `str`. Blanks and tabs both separate a key from its value, as in
Kaldi.

Values are strings here, whatever they mean; what a data dir's tables say together is for
`atat.datadir.kaldi_dir`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from atat.base import together
from atat.base.errors import InputError
from atat.base.files import atomic_write, plain_lines, read_bytes
from atat.base.report import Finding
from atat.datadir import ids

BLANKS = " \t"
COMMENT = ";;"  # how a line of a ctm begins that is none
NAMED = 10  # ids out of order that a message names


@dataclass
class Scan:
    """A table read with all its faults collected instead of raised.

    The first line of a repeated key counts, unless keys may repeat (a ctm): then the lines of a
    key are joined by newlines.
    """

    path: Path
    table: dict[str, str] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)  # line of each key, in the table's order
    findings: list[Finding] = field(default_factory=list)
    conflicting: set[str] = field(default_factory=set)  # keys that repeat with another value
    _line_of: dict[str, int] = field(default_factory=dict)

    def line(self, key: str) -> int:
        """Line number of the (first) line of a key; 0 if there is none."""
        if not self._line_of:
            self._line_of.update(zip(self.table, self.numbers))
        return self._line_of.get(key, 0)

    def find(self, line: int, kind: str, message: str, is_error: bool = True) -> None:
        self.findings.append(Finding(str(self.path), line, kind, message, is_error))


def scan_table(path: str | Path, *, repeated: bool = False) -> Scan:
    """Read a table and collect its faults; raises InputError only if there is no file.

    `repeated` allows a key on several lines, and comments, which begin with `;;` (a ctm).
    """
    scan = Scan(Path(path))
    together.settle(scan.path.parent)
    lines = _lines(scan)
    table, numbers, previous = scan.table, scan.numbers, ""
    unsorted: list[int] = []
    duplicates: list[tuple[int, str]] = []
    for number, line in enumerate(lines, 1):
        if repeated and line.startswith(COMMENT):
            continue
        key, _, value = line.partition(" ")
        if "\t" in key:
            key, _, value = line.partition("\t")
        if not key:
            what = "starts with a blank" if line.strip(BLANKS) else "is empty"
            scan.find(
                number,
                "line without a key",
                f"the line {what}; expected `<key> <value>`; remove the blank or the line",
            )
            continue
        if key in table:
            if repeated:
                table[key] += "\n" + value.strip(BLANKS)
                if key != previous:
                    unsorted.append(number)
                    previous = key
            else:
                duplicates.append((number, key))
                if table[key] != value.strip(BLANKS):
                    scan.conflicting.add(key)
            continue
        if key < previous:
            unsorted.append(number)
        previous = key
        if odd := ids.odd_character(key):
            scan.find(number, "malformed id", f"the id {key!r} {odd}; rename it in all files")
        table[key] = value.strip(BLANKS)
        numbers.append(number)
    for number, key in duplicates:
        scan.find(
            number,
            "duplicate key",
            f"{key!r} occurs a second time (first in line {scan.line(key)}); remove one of the two",
        )
    if unsorted:
        keys = [lines[number - 1].replace("\t", " ").partition(" ")[0] for number in unsorted]
        named = ", ".join(dict.fromkeys(keys[:NAMED]))
        more = ", …" if len(unsorted) > NAMED else ""
        scan.find(
            unsorted[0],
            "not sorted",
            f"{_count(unsorted, 'line')} out of order, this the first ({named}{more}); sort with: "
            f"LC_ALL=C sort -s -k1,1 -o {path} {path}",
        )
    return scan


def read_table(path: str | Path, *, repeated: bool = False) -> dict[str, str]:
    """A table as a dict from key to the rest of the line, in the order of the file.

    Raises InputError, naming file and line, for a missing file, duplicate or unsorted keys,
    lines without a key, a byte order mark, Windows line ends and bytes that are not UTF-8.
    """
    scan = scan_table(path, repeated=repeated)
    for finding in scan.findings:
        if finding.is_error:
            raise InputError(str(finding))
    return scan.table


Table = Mapping[str, str | list[str]]


def write_table(path: str | Path, table: Table, *, durable: bool = True) -> None:
    """Write a table sorted by key, atomically; a list as value puts its key on several lines.

    `durable`: see `files.atomic_write`.

    Raises InputError for a key that is empty or holds a blank, and a value with a line break.
    """
    with atomic_write(path, durable=durable) as stream:
        stream.writelines(_rows(Path(path), table))


def write_tables(
    folder: str | Path,
    tables: Mapping[str, Table],
    *,
    lines: Mapping[str, Iterable[str]] | None = None,
    remove: Iterable[str] = (),
) -> None:
    """Write several tables of a data dir so that all of them are new or all of them are old.

    An error (a full disk, an interrupt) leaves the dir unchanged; after a kill or a power cut
    the next reader finds all old or all new ones (see `together`). In the same step files that
    are no tables are written, given by their `lines`, and those of `remove` that are not written
    removed.
    Raises InputError as `write_table` does.
    """
    with together.new_files(folder, remove=remove) as new:
        contents = {name: _rows(Path(folder, name), table) for name, table in tables.items()}
        for name, own in (lines or {}).items():
            contents[name] = (f"{line}\n" for line in own)
        for name, rows in contents.items():
            with atomic_write(new / name, durable=False) as stream:  # `together` sees to that
                stream.writelines(rows)


def refuse_line_breaks(path: Path) -> None:
    """Raise InputError for a path with a line break, before work whose table could not name it."""
    if "\n" in str(path) or "\r" in str(path):
        raise InputError(
            f"{str(path)!r}: a line break in a path cannot stand in a table of Kaldi; name another "
            "folder"
        )


def seconds(value: float | None, missing: float = 0.0) -> str:
    """A time as written in tables: at most six decimals, no trailing zeros."""
    text = f"{missing if value is None else value:.6f}"
    return text.rstrip("0").rstrip(".")


def _lines(scan: Scan) -> list[str]:
    """Lines of a file as text; faults of their bytes go to the scan's findings."""
    path = scan.path
    data = read_bytes(path)
    lines, faults = plain_lines(path, data)
    for fault in faults:
        scan.find(*fault)
    data = data.replace(b"\r\n", b"\n")
    if lines and not data.endswith(b"\n"):
        scan.find(
            len(lines),
            "no newline at the end",
            "the last line has no newline: is the file whole? If so: echo >> " + str(path),
            is_error=False,
        )
    if blanks := data.count(b" \n") + data.count(b"\t\n"):
        at = min(i for i in (data.find(b" \n"), data.find(b"\t\n")) if i >= 0)
        scan.find(
            data.count(b"\n", 0, at) + 1,
            "trailing blanks",
            f"{blanks} lines end in a blank, this the first; remove: sed -i 's/[ \\t]*$//' {path}",
            is_error=False,
        )
    return lines


def _rows(path: Path, table: Table) -> Iterator[str]:
    """The lines of a table, sorted by key; messages name `path`."""
    for key in sorted(table):
        value = table[key]
        for row in [value] if isinstance(value, str) else value:
            yield _line(path, key, row)


def _line(path: Path, key: str, value: str) -> str:
    if not key or ids.odd_character(key):
        raise InputError(
            f"{path}: the key {key!r} {ids.odd_character(key) or 'is empty'}; give it another name"
        )
    if "\n" in value or "\r" in value:
        raise InputError(f"{path}: the value of {key!r} holds a line break: {value!r}")
    value = value.strip(BLANKS)
    return f"{key} {value}\n" if value else f"{key}\n"


def _count(items: list[int], noun: str) -> str:
    return f"1 {noun}" if len(items) == 1 else f"{len(items)} {noun}s"
