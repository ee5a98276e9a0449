"""Repair a data dir: sort, drop incomplete or broken utterances, make spk2utt again.

The findings of `check` decide what is dropped: an utterance with an error of its own from all
files, a faulty alignment from its own file only; Windows line ends, byte order marks, blanks and
the order of lines are fixed. Nothing is dropped silently: a `Plan` lists it all before anything is
changed, more than a share of the utterances is refused, and the old files are kept in
`DIR/.backup`.
Errors that only a person can fix (pipes, an unknown encoding) stay and are reported; lines that are
not UTF-8 can be dropped.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from atat.base.errors import InputError
from atat.base.files import NOT_UTF8, sync
from atat.base.report import Finding, Report
from atat.base.together import alone
from atat.datadir.check import examine
from atat.datadir.check_audio import AudioOptions
from atat.datadir.edit import select
from atat.datadir.files import ALIGNMENTS, CORE, RECORDING, UTTERANCE, DataDir, scan_dir
from atat.datadir.ids import visible
from atat.datadir.plain_text import ODD_BLANKS
from atat.datadir.tables import Table, write_table, write_tables

SHOWN = 20  # utterances named of those that go for one reason
REPLACED = "\ufffd"  # what stands for bytes that are not UTF-8 where a file was read
MAX_LOST = 0.01  # share of the utterances that may go without being asked for


@dataclass(frozen=True)
class Plan:
    """The changes that a repair would make; nothing is changed yet."""

    data: DataDir
    report: Report
    total: int  # utterances, over all files
    lost: dict[str, str]  # utterance -> why it goes
    lost_alignments: dict[str, str]
    tables: dict[str, Table]  # as they will be

    def __str__(self) -> str:
        """Everything to be dropped, counted by reason; the utterances by name."""
        lines = [
            f"{self.data.folder}: {len(self.lost)} of {self.total} utterances go "
            f"({percent(len(self.lost), self.total)}), {len(self.lost_alignments)} alignments"
        ]
        for noun, lost in (("utterances", self.lost), ("alignments", self.lost_alignments)):
            for reason, count in Counter(lost.values()).items():
                names = sorted(visible(name) for name, why in lost.items() if why == reason)
                more = f" and {count - SHOWN} more" if count > SHOWN else ""
                lines.append(f"  {count} {noun}: {reason}: {' '.join(names[:SHOWN])}{more}")
        for name in self.data.names(RECORDING):
            gone = len(self.data.table(name)) - len(self.tables[name])
            if gone:
                lines.append(f"  {gone} lines of {name}: recordings of which nothing is left")
        return "\n".join(lines)


def percent(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.2f} %"


def plan(
    folder: str | Path, options: AudioOptions | None = None, *, drop_undecodable: bool = False
) -> Plan:
    """Find out what a repair would change and drop.

    Raises InputError if there is no such folder, and for bytes that are not UTF-8 (guessing an
    encoding would write wrong words), unless their lines may be dropped.
    """
    data = scan_dir(folder)
    if not drop_undecodable:
        _refuse_undecodable(data)
    report = examine(data, options or AudioOptions())
    for name in dict.fromkeys(name for name, _ in _undecodable(data)):
        _lose_undecodable(data, name, report)
    everyone = set(data.speakers).union(
        *(data.table(name) for name in CORE if data.keyed_by.get(name) == UTTERANCE)
    )
    lost = {key: report.lost[key] for key in sorted(everyone) if key in report.lost}
    kept = everyone - lost.keys()
    tables = select(data, kept)
    alignments: dict[str, str] = {}
    for name in ALIGNMENTS:
        faulty = {key: report.lost[name, key] for key in kept if (name, key) in report.lost}
        if name in tables:
            tables[name] = {k: v for k, v in tables[name].items() if k not in faulty}
        alignments |= dict(sorted(faulty.items()))
    for name in ("text", "semantics"):
        if name in tables:
            # Only in alignments does a key have several lines.
            lines = cast("Mapping[str, str]", tables[name])
            tables[name] = {key: ODD_BLANKS.sub(" ", value) for key, value in lines.items()}
    return Plan(data, report, len(everyone), lost, alignments, tables)


def _lose_undecodable(data: DataDir, name: str, report: Report) -> None:
    """Count as lost what has bytes that are no UTF-8 in a table: utterances or alignments."""
    users = data.users()
    for key, value in data.table(name).items():
        if REPLACED not in value:
            continue  # an id with such bytes is in no other table, and goes as such
        if name in ALIGNMENTS:
            report.lost.setdefault((name, key), NOT_UTF8)
        elif data.keyed_by[name] == UTTERANCE:
            report.lost.setdefault(key, NOT_UTF8)
        elif data.keyed_by[name] == RECORDING:
            for utterance in users.get(key, ()):
                report.lost.setdefault(utterance, NOT_UTF8)


def apply(todo: Plan, *, max_lost: float = MAX_LOST) -> list[str]:
    """Carry out a plan; returns the names of changed files. Old ones go to `DIR/.backup`.

    Raises InputError, and changes nothing, if more than the share `max_lost` of the utterances,
    or all of them, would be dropped.
    """
    folder = todo.data.folder
    if len(todo.lost) == todo.total:
        raise InputError(f"{folder}: every utterance has an error; nothing was changed")
    if len(todo.lost) > max_lost * todo.total:
        raise InputError(
            f"{folder}: {len(todo.lost)} of {todo.total} utterances "
            f"({percent(len(todo.lost), todo.total)}) would go, more than {100 * max_lost:g} %; "
            "nothing was changed. Fix the cause, or allow it with --max_lost"
        )
    return _replace(todo.data, todo.tables, {**todo.lost_alignments, **todo.lost})


def _undecodable(data: DataDir) -> list[tuple[str, Finding]]:
    """Where a table has bytes that are no UTF-8."""
    return [
        (name, finding)
        for name, scan in data.scans.items()
        for finding in scan.findings
        if finding.kind == NOT_UTF8
    ]


def _refuse_undecodable(data: DataDir) -> None:
    for _, finding in _undecodable(data):
        raise InputError(
            f"{finding}; repair cannot know the encoding, but it drops what is in such lines with "
            "--drop_undecodable"
        )


def check_droppable(folder: str | Path) -> None:
    """Raise InputError for a data dir that `drop` would refuse, before work that ends in it."""
    _refuse_undecodable(scan_dir(folder))


def drop(folder: str | Path, lost: Mapping[str, str]) -> list[str]:
    """Drop utterances, by name with the reason; returns the names of changed files, whose old
    ones go to `DIR/.backup`.

    Raises InputError, and changes nothing, if nothing would be left, and for bytes that are no
    UTF-8, which would be written otherwise.
    """
    data = scan_dir(folder)
    _refuse_undecodable(data)
    kept = data.speakers.keys() - lost.keys()
    if not kept:
        raise InputError(f"{folder}: no utterance would be left; nothing was changed")
    return _replace(data, select(data, kept), lost)


def _replace(data: DataDir, tables: Mapping[str, Table], dropped: Mapping[str, str]) -> list[str]:
    """Write the tables that differ, after a copy of the old ones was made; returns their names."""
    folder = data.folder
    changed = {
        name: table for name, table in tables.items() if table and _differs(data, name, table)
    }
    emptied = [name for name, table in tables.items() if not table]
    names = [name for name in (*changed, *emptied) if (folder / name).exists()]
    _back_up(folder, names, dropped)
    write_tables(folder, changed, remove=emptied)
    return sorted((*changed, *emptied))


def _differs(data: DataDir, name: str, table: Table) -> bool:
    """Whether a file must be written again; not if only its separators are tabs."""
    scan = data.scans.get(name)
    if scan is None or scan.findings:
        return True
    return scan.table != {
        key: value if isinstance(value, str) else "\n".join(value) for key, value in table.items()
    }


def _back_up(folder: Path, names: list[str], dropped: Mapping[str, str]) -> None:
    """Copy files to `.backup` (`.backup.2` … if an earlier repair left its own).

    The table `dropped` beside them says why each utterance, or its alignment, was dropped.
    """
    if not names:
        return
    number = 1
    while (target := folder / (".backup" if number == 1 else f".backup.{number}")).exists():
        number += 1
    staging = folder / ".backup.tmp"
    with alone(folder):
        shutil.rmtree(staging, ignore_errors=True)  # left by a killed process
        try:
            staging.mkdir()
            for name in names:
                shutil.copy2(folder / name, staging / name)
                sync(staging / name)
            write_table(staging / "dropped", {visible(name): why for name, why in dropped.items()})
            os.replace(staging, target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
