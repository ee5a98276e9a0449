"""Repair a data dir: sort, drop incomplete or broken utterances, make spk2utt again.

The findings of `check` decide what is dropped: an utterance with an error of its own from all
files, a faulty alignment from its own file only; Windows line ends, byte order marks, blanks and
the order of lines are fixed. Nothing is dropped silently: a `Plan` lists it all before anything is
changed, more than a share of the utterances is refused, and the old files are kept in
`DIR/.backup`. Of questions and files of unknown names only the lines of what goes are dropped.
Errors that only a person can fix (pipes, an unknown encoding, two values of a speaker) stay and are
reported; lines that are not UTF-8 can be dropped.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

from atat.base.errors import InputError
from atat.base.files import NOT_UTF8, fields, plain_lines, read_bytes, sync
from atat.base.report import Finding, Report
from atat.base.together import alone
from atat.datadir import questions
from atat.datadir.check import OF_TWO_SPEAKERS, examine
from atat.datadir.check_audio import AudioOptions
from atat.datadir.edit import keys_of, select
from atat.datadir.files import (
    ALIGNMENTS,
    CORE,
    RECORDING,
    SPEAKER,
    UTTERANCE,
    DataDir,
    named_tables,
    scan_dir,
)
from atat.datadir.ids import visible
from atat.datadir.kaldi_dir import speakers_to_utterances
from atat.datadir.plain_text import ODD_BLANKS
from atat.datadir.questions import QUESTIONS
from atat.datadir.tables import Table, write_table, write_tables

SHOWN = 20  # utterances named of those that go for one reason
REPLACED = "\ufffd"  # what stands for bytes that are not UTF-8 where a file was read
MAX_LOST = 0.01  # share of the utterances that may go without being asked for
# Whose lines go from a table besides those of the utterances that go.
NOBODY = {
    UTTERANCE: "utterances that are not in utt2spk",
    SPEAKER: "speakers of whom nothing is left",
    RECORDING: "recordings of which nothing is left",
}


class Rest(NamedTuple):
    """What is left of a file of questions or of an unknown name."""

    lines: list[str]
    gone: int  # number of the other lines


@dataclass(frozen=True)
class Plan:
    """The changes that a repair would make; nothing is changed yet."""

    data: DataDir
    report: Report
    total: int  # utterances, over all files
    lost: dict[str, str]  # utterance -> why it goes
    lost_alignments: dict[str, str]
    tables: dict[str, Table]  # as they will be
    rest: dict[str, Rest]  # files of which lines go that are about what goes

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
        told = self.lost.keys() | self.lost_alignments.keys()
        for name, kind in self.data.keyed_by.items():
            keys = self.data.table(name).keys() - self.tables.get(name, {}).keys() - told
            gone = sum(REPLACED not in key for key in keys)
            if gone and name in self.tables and name != "spk2utt":
                lines.append(f"  {gone} lines of {name}: {NOBODY[kind]}")
        for name, rest in self.rest.items():
            lines.append(f"  {rest.gone} lines of {name}: about what is not left")
        return "\n".join(lines)


def percent(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.2f} %"


def plan(
    folder: str | Path, options: AudioOptions | None = None, *, drop_undecodable: bool = False
) -> Plan:
    """Find out what a repair would change and drop.

    Raises InputError if there is no such folder, for bytes that are not UTF-8 (guessing an
    encoding would write wrong words), unless their lines may be dropped, and if there is no utt2spk
    and spk2utt does not say of each utterance whose it is.
    """
    data = scan_dir(folder)
    if not drop_undecodable:
        _refuse_undecodable(data)
    report = examine(data, options or AudioOptions())
    _refuse_two_speakers(data, report)
    for name in dict.fromkeys(name for name, _ in _undecodable(data)):
        _lose_undecodable(data, name, report)
    everyone = set(data.speakers).union(
        *(data.table(name) for name in CORE if data.keyed_by.get(name) == UTTERANCE)
    )
    lost = {key: report.lost[key] for key in sorted(everyone) if key in report.lost}
    kept = everyone - lost.keys()
    alike = _undecodable_ids(data)
    lost = {key: why for key, why in lost.items() if key not in alike}
    lost |= dict.fromkeys(sorted(set().union(*alike.values())), NOT_UTF8)
    tables, rest = _left(data, kept)
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
    return Plan(data, report, len(kept) + len(lost), lost, alignments, tables, rest)


def _lose_undecodable(data: DataDir, name: str, report: Report) -> None:
    """Count as lost what has bytes that are no UTF-8 in a table: utterances or alignments."""
    kind, table = data.keyed_by[name], data.table(name)
    if name == "spk2utt":  # made again, or all that says who speaks
        kind, table = UTTERANCE, data.speakers
    owners: dict[str, list[str]] = {}
    if kind == RECORDING:
        owners = data.users()
    elif kind == SPEAKER:
        of_speaker = speakers_to_utterances(data.speakers)
        owners = {speaker: fields(utterances) for speaker, utterances in of_speaker.items()}
    for key, value in table.items():
        if REPLACED not in key + value:
            continue
        if name in ALIGNMENTS:
            report.lost.setdefault((name, key), NOT_UTF8)
            continue
        for utterance in [key] if kind == UTTERANCE else owners.get(key, ()):
            report.lost.setdefault(utterance, NOT_UTF8)


def _undecodable_ids(data: DataDir) -> dict[str, set[str]]:
    """Utterance ids with bytes that are no UTF-8, as they were read -> those that look so, with
    these bytes spelled out."""
    names = [name for name in CORE if data.keyed_by.get(name) == UTTERANCE]
    if "utt2spk" not in data.scans:
        names.append("spk2utt")
    found: dict[str, set[str]] = {}
    for name in dict.fromkeys(name for name, _ in _undecodable(data) if name in names):
        for line in read_bytes(data.folder / name).split(b"\n"):
            words = line.replace(b"\t", b" ").split()
            for word in words[1:] if name == "spk2utt" else words[:1]:
                if REPLACED in (key := word.decode(errors="replace")):
                    found.setdefault(key, set()).add(word.decode(errors="backslashreplace"))
    return found


def _left(data: DataDir, kept: Collection[str]) -> tuple[dict[str, Table], dict[str, Rest]]:
    """The tables of the utterances that are kept, and the other files of which lines go.

    A table with two values of a key that stays is in neither: which is right only the user knows.
    Nor are questions that cannot be read.
    """
    tables, rest = select(data, kept), {}
    known, left = (keys_of(data, data.speakers.keys() & keys) for keys in (data.speakers, kept))
    named = named_tables(data.folder)
    for name, scan in data.scans.items():
        if name not in named:
            del tables[name]
            kind = data.keyed_by[name]
            rest[name] = _rest_of(scan.path, known[kind] - left[kind])
        elif name not in ("utt2spk", "spk2utt") and scan.conflicting & tables[name].keys():
            del tables[name]
    with suppress(InputError):
        asked = questions.read(data.folder) if QUESTIONS in data.others else []
        stay = [one for one in asked if one.utt in left[UTTERANCE]]
        rest[QUESTIONS] = Rest(questions.lines(stay), len(asked) - len(stay))
    return tables, {name: one for name, one in rest.items() if one.gone}


def _rest_of(path: Path, gone: Collection[str]) -> Rest:
    """A file without the lines that begin with certain keys."""
    lines, _ = plain_lines(path, read_bytes(path))
    stay = [line for line in lines if line.replace("\t", " ").partition(" ")[0] not in gone]
    return Rest(stay, len(lines) - len(stay))


def apply(todo: Plan, *, max_lost: float = MAX_LOST) -> list[str]:
    """Carry out a plan; returns the names of changed files. Old ones go to `DIR/.backup`.

    Raises InputError, and changes nothing, if more than the share `max_lost` of the utterances,
    or all of them, would be dropped.
    """
    folder = todo.data.folder
    if not todo.total:
        raise InputError(
            f"{folder}: has no utterances to repair; expected lines `<utterance> <speaker>` in "
            "utt2spk, or `<speaker> <utterances>` in spk2utt"
        )
    if len(todo.lost) == todo.total:
        raise InputError(f"{folder}: every utterance has an error; nothing was changed")
    if len(todo.lost) > max_lost * todo.total:
        raise InputError(
            f"{folder}: {len(todo.lost)} of {todo.total} utterances "
            f"({percent(len(todo.lost), todo.total)}) would go, more than {100 * max_lost:g} %; "
            "nothing was changed. Fix the cause, or allow it with --max_lost"
        )
    dropped = {**todo.lost_alignments, **todo.lost}
    return _replace(todo.data, todo.tables, todo.rest, dropped)


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


def _refuse_two_speakers(data: DataDir, report: Report) -> None:
    """Raise InputError if spk2utt, of which utt2spk is to be made, does not say who speaks."""
    scan = data.scans.get("spk2utt")
    if scan is None or "utt2spk" in data.scans:
        return
    for speaker in sorted(scan.conflicting):
        raise InputError(
            f"{scan.path}:{scan.line(speaker)}: {speaker!r} has a second line with other "
            "utterances, and there is no utt2spk; write all its utterances into one line"
        )
    for finding in report.kept.get((OF_TWO_SPEAKERS, True), ()):
        raise InputError(f"{finding}; repair cannot know who that is")


def check_droppable(folder: str | Path, lost: Collection[str]) -> None:
    """Raise InputError where `drop` would, before work that ends in it."""
    _droppable(folder, lost)


def drop(folder: str | Path, lost: Mapping[str, str]) -> list[str]:
    """Drop utterances, by name with the reason; returns the names of changed files, whose old
    ones go to `DIR/.backup`.

    Raises InputError, and changes nothing, if nothing would be left, and for bytes that are no
    UTF-8, which would be written otherwise.
    """
    data, kept = _droppable(folder, lost.keys())
    return _replace(data, *_left(data, kept), lost)


def _droppable(folder: str | Path, lost: Collection[str]) -> tuple[DataDir, set[str]]:
    data = scan_dir(folder)
    _refuse_undecodable(data)
    kept = data.speakers.keys() - lost
    if not kept:
        raise InputError(f"{folder}: no utterance would be left; nothing was changed")
    return data, kept


def _replace(
    data: DataDir,
    tables: Mapping[str, Table],
    rest: Mapping[str, Rest],
    dropped: Mapping[str, str],
) -> list[str]:
    """Write the files that differ, after a copy of the old ones was made; returns their names."""
    folder = data.folder
    changed = {
        name: table for name, table in tables.items() if table and _differs(data, name, table)
    }
    lines = {name: one.lines for name, one in rest.items() if one.lines}
    emptied = [name for name, table in tables.items() if not table]
    emptied += rest.keys() - lines.keys()
    names = [name for name in (*changed, *lines, *emptied) if (folder / name).exists()]
    backup = _back_up(folder, names, dropped)
    try:
        write_tables(folder, changed, lines=lines, remove=emptied)
    except InputError:  # what cannot stand in a table; nothing was changed
        if backup is not None:
            shutil.rmtree(backup, ignore_errors=True)
        raise
    return sorted((*changed, *lines, *emptied))


def _differs(data: DataDir, name: str, table: Table) -> bool:
    """Whether a file must be written again; not if only its separators are tabs."""
    scan = data.scans.get(name)
    if scan is None or scan.findings:
        return True
    return scan.table != {
        key: value if isinstance(value, str) else "\n".join(value) for key, value in table.items()
    }


def _back_up(folder: Path, names: list[str], dropped: Mapping[str, str]) -> Path | None:
    """Copy files to `.backup` (`.backup.2` … if an earlier repair left its own); returns it.

    The table `dropped` beside them says why each utterance, or its alignment, was dropped.
    """
    if not names:
        return None
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
    return target
