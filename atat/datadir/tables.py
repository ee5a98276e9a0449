"""Kaldi data dirs: tables, the utterances they describe, reading and writing.

A data dir is a folder of tables, each line `<key> <value>`, sorted by key in C locale (which
is Python's own order of `str`). `load` joins them by utterance id into `Utterance`s, `write`
takes them apart again. Blanks and tabs both separate a key from its value, as in Kaldi.

Knows nothing of audio, trees or features: values are strings here. `atat.datadir.check` checks
a data dir beyond its tables; the command line is `atat datadir`.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from atat.base import together
from atat.base.errors import InputError
from atat.base.files import atomic_write, fields, plain_lines, read_bytes
from atat.base.pipes import WAYS_OUT, is_pipe
from atat.base.report import Finding
from atat.datadir import ids

BLANKS = " \t"
# The files that `load` reads.
LOADED = (
    "utt2spk",
    "segments",
    "wav.scp",
    "feats.scp",
    "utt2num_frames",
    "utt2dur",
    "text",
    "semantics",
)


@dataclass(frozen=True, slots=True)
class Utterance:
    """One utterance of a data dir, joined over its files; missing values are None.

    `wav` is an absolute path or a shell command as written in wav.scp (see `refuse_pipes`).
    `recording` is the key in wav.scp of an utterance that is a segment of a longer file.
    """

    id: str
    speaker: str
    wav: str | None = None
    start: float | None = None  # seconds into the recording; None = the whole file
    end: float | None = None  # seconds; None = up to the end of the file
    feats: str | None = None  # "/path/file.ark:offset"
    num_frames: int | None = None
    duration: float | None = None  # seconds
    text: str | None = None
    semantics: str | None = None
    recording: str | None = None


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

    `repeated` allows a key on several lines (a ctm).
    """
    scan = Scan(Path(path))
    together.settle(scan.path.parent)
    lines = _lines(scan)
    table, numbers, previous = scan.table, scan.numbers, ""
    unsorted: list[int] = []
    duplicates: list[tuple[int, str]] = []
    for number, line in enumerate(lines, 1):
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
        scan.find(
            unsorted[0],
            "not sorted",
            f"{_count(unsorted, 'line')} out of order, this the "
            f"first; sort with: LC_ALL=C sort -s -k1,1 -o {path} {path}",
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
Number = TypeVar("Number", int, float)


def write_table(path: str | Path, table: Table, *, durable: bool = True) -> None:
    """Write a table sorted by key, atomically; a list as value puts its key on several lines.

    `durable`: see `files.atomic_write`.

    Raises InputError for a key that is empty or holds a blank, and a value with a line break.
    """
    path = Path(path)
    with atomic_write(path, durable=durable) as stream:
        for key in sorted(table):
            value = table[key]
            rows = [value] if isinstance(value, str) else value
            stream.writelines(_line(path, key, row) for row in rows)


def write_tables(
    folder: str | Path, tables: Mapping[str, Table], *, remove: Iterable[str] = ()
) -> None:
    """Write several tables of a data dir so that all of them are new or all of them are old.

    An error (a full disk, an interrupt) leaves the dir unchanged; after a kill or a power cut
    the next reader finds all old or all new ones (see `together`). The files of `remove` are
    removed in the same step.
    """
    with together.new_files(folder, remove=remove) as new:
        for name, table in tables.items():
            write_table(new / name, table, durable=False)  # `together` sees to that


def load(folder: str | Path, *, root: str | Path | None = None) -> list[Utterance]:
    """Read a data dir: its utterances, sorted by id, with the values from all its files.

    Only `utt2spk` is required. Relative paths in wav.scp and feats.scp start at `root` if given,
    else at the data dir if the file exists there, else (as in Kaldi) at the current folder. A
    shell pipe in wav.scp is only text here: readers of features or words can ignore it, readers
    of audio call `refuse_pipes`. Raises InputError, naming file and line, if a table is malformed,
    if an utterance is in one file and not in another, and for a pipe in feats.scp, which atat
    never runs.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such data dir (a folder with at least `utt2spk`)")
    return together.steadily(folder, LOADED, lambda: _load(folder, root))


def _load(folder: Path, root: str | Path | None) -> list[Utterance]:
    speakers = read_table(folder / "utt2spk")
    resolve = path_resolver(folder, root)
    segments = _load_segments(folder, speakers)
    wavs = _load_paths(folder / "wav.scp", None if segments else speakers, resolve)
    feats = _load_paths(folder / "feats.scp", speakers, resolve)
    frames = _load_numbers(folder / "utt2num_frames", speakers, int)
    durations = _load_numbers(folder / "utt2dur", speakers, float)
    texts = _optional_table(folder / "text", speakers)
    trees = _optional_table(folder / "semantics", speakers)
    utterances = []
    for number, (utterance, speaker) in enumerate(speakers.items(), 1):
        if not speaker or (odd := ids.odd_character(speaker)):
            why = f", which {odd}" if speaker else ""
            raise InputError(
                f"{folder / 'utt2spk'}:{number}: found {speaker!r} after "
                f"{utterance!r}; expected one speaker id{why}"
            )
        recording, start, end = segments.get(utterance, (None, None, None))
        duration = durations.get(utterance)
        if duration is None and start is not None and end is not None:
            duration = round(end - start, 6)
        utterances.append(
            Utterance(
                utterance,
                speaker,
                wavs.get(recording or utterance),
                start,
                end,
                feats.get(utterance),
                frames.get(utterance),
                duration,
                texts.get(utterance),
                trees.get(utterance),
                recording,
            )
        )
    return utterances


def write(folder: str | Path, utterances: Iterable[Utterance]) -> None:
    """Write the data dir of some utterances, all files at once (see `write_tables`).

    Writes utt2spk and spk2utt, and each of wav.scp, segments, feats.scp, utt2num_frames,
    utt2dur, text, semantics that the utterances have; an old file of these names that they do
    not have is removed. Files of other names stay.
    Raises InputError for repeated ids and for a field that only some utterances have.
    """
    by_id: dict[str, Utterance] = {}
    for utterance in utterances:
        if utterance.id in by_id:
            raise InputError(
                f"{folder}: two utterances are called {utterance.id!r}; ids must be unique"
            )
        by_id[utterance.id] = utterance
    if not by_id:
        raise InputError(f"{folder}: no utterances to write")
    speakers = {key: utterance.speaker for key, utterance in by_id.items()}
    tables = {
        "utt2spk": speakers,
        "spk2utt": speakers_to_utterances(speakers),
        "wav.scp": _recordings(folder, by_id.values()),
        "segments": {
            key: f"{u.recording or key} {seconds(u.start)} {seconds(u.end, -1)}"
            for key, u in by_id.items()
            if u.start is not None
        },
        "feats.scp": {key: u.feats for key, u in by_id.items() if u.feats is not None},
        "utt2num_frames": {
            key: str(u.num_frames) for key, u in by_id.items() if u.num_frames is not None
        },
        "utt2dur": {key: seconds(u.duration) for key, u in by_id.items() if u.duration is not None},
        "text": {key: u.text for key, u in by_id.items() if u.text is not None},
        "semantics": {key: u.semantics for key, u in by_id.items() if u.semantics is not None},
    }
    for name, table in tables.items():
        if table and name not in ("spk2utt", "wav.scp") and len(table) < len(by_id):
            missing = next(key for key in by_id if key not in table)
            raise InputError(
                f"{Path(folder) / name}: {len(table)} of {len(by_id)} utterances have "
                f"a value, {missing!r} has none; give it to all or to none"
            )
    write_tables(
        folder,
        {name: table for name, table in tables.items() if table},
        remove=[name for name, table in tables.items() if not table],
    )


def speakers_to_utterances(speakers: Mapping[str, str]) -> dict[str, str]:
    """spk2utt from utt2spk: the utterances of a speaker, sorted, joined by blanks."""
    utterances: dict[str, list[str]] = {}
    for utterance in sorted(speakers):
        utterances.setdefault(speakers[utterance], []).append(utterance)
    return {speaker: " ".join(names) for speaker, names in utterances.items()}


def refuse_pipes(folder: str | Path, utterances: Iterable[Utterance], reader: str) -> None:
    """Raise InputError, naming the line of wav.scp, if the audio of an utterance is a pipe.

    For commands that need the audio itself; `reader` names one ("decoding without feats.scp").
    """
    for utterance in utterances:
        if utterance.wav is None or not is_pipe(utterance.wav):
            continue
        path, key = Path(folder) / "wav.scp", utterance.recording or utterance.id
        line = scan_table(path).line(key)
        raise InputError(
            f"{path}:{line}: {key!r} is a shell command ({utterance.wav!r}), which "
            f"would be executed, and {reader} needs the audio; if you trust it, "
            f"{WAYS_OUT}"
        )


def seconds(value: float | None, missing: float = 0.0) -> str:
    """A time as written in tables: at most six decimals, no trailing zeros."""
    text = f"{missing if value is None else value:.6f}"
    return text.rstrip("0").rstrip(".")


def path_resolver(folder: str | Path, root: str | Path | None = None) -> Callable[[str], str]:
    """A function that makes an entry of the folder's scp files absolute (see `load`)."""

    def resolve(specifier: str) -> str:
        if specifier.startswith("/") or is_pipe(specifier):
            return specifier
        name = path_of(specifier)
        if root is not None:
            base = str(root)
        else:
            base = str(folder) if os.path.exists(os.path.join(folder, name)) else ""
        return os.path.abspath(os.path.join(base, name)) + specifier[len(name) :]

    return resolve


def path_of(specifier: str) -> str:
    """The file of an scp entry: without ark offset (`:20`) and row range (`[0:99]`)."""
    return _ARK_SUFFIX.sub("", specifier)


_ARK_SUFFIX = re.compile(r"(:\d+)?(\[[\d:,]*\])?$")


def check_ids(path: Path, found: Mapping[str, object], expected: Mapping[str, object]) -> None:
    """Raise InputError unless a table has exactly the utterances of utt2spk."""
    if found.keys() == expected.keys():
        return
    fix = "list all with: atat datadir validate; drop them with: … repair"
    for key in expected:
        if key not in found:
            raise InputError(f"{path}: no line for {key!r}, which is in utt2spk; {fix}")
    for line, key in enumerate(found, 1):
        if key not in expected:
            raise InputError(f"{path}:{line}: {key!r} is not in utt2spk; {fix}")


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


def _optional_table(path: Path, expected: Mapping[str, object]) -> dict[str, str]:
    """A table with exactly the expected keys, or an empty one if there is no such file."""
    if not path.exists():
        return {}
    table = read_table(path)
    check_ids(path, table, expected)
    return table


def _load_paths(
    path: Path,
    expected: Mapping[str, object] | None,
    resolve: Callable[[str], str],
) -> dict[str, str]:
    if not path.exists():
        return {}
    table = read_table(path) if expected is None else _optional_table(path, expected)
    for line, (key, value) in enumerate(table.items(), 1):
        if not value:
            raise InputError(f"{path}:{line}: no file after {key!r}; expected `<id> <path>`")
        if path.name == "feats.scp" and is_pipe(value):
            raise InputError(
                f"{path}:{line}: {key!r} is a shell command ({value!r}), expected "
                "`<file.ark>:<offset>`; write its output to an ark "
                f"(copy-feats scp:{path} ark,scp:FILE.ark,FILE.scp)"
            )
        table[key] = resolve(value)
    return table


def _load_numbers(
    path: Path, expected: Mapping[str, object], kind: Callable[[str], Number]
) -> dict[str, Number]:
    table = _optional_table(path, expected)
    numbers: dict[str, Number] = {}
    for line, (key, value) in enumerate(table.items(), 1):
        try:
            numbers[key] = kind(value)
            is_right = 0 <= numbers[key] < math.inf
        except ValueError:
            is_right = False
        if not is_right:
            noun = "a whole number" if kind is int else "a number of seconds"
            raise InputError(
                f"{path}:{line}: found {value!r} for {key!r}, expected {noun}, 0 or more"
            )
    return numbers


def _load_segments(
    folder: Path, speakers: Mapping[str, str]
) -> dict[str, tuple[str, float, float | None]]:
    """utterance -> (recording, start, end); every recording is in wav.scp, if there is one."""
    path = folder / "segments"
    rows = _optional_table(path, speakers)
    recordings = read_table(folder / "wav.scp") if rows and (folder / "wav.scp").exists() else None
    segments = {}
    for line, (key, value) in enumerate(rows.items(), 1):
        try:
            segments[key] = parse_segment(value)
        except ValueError as error:
            raise InputError(f"{path}:{line}: {error}") from None
        if recordings is not None and segments[key][0] not in recordings:
            raise InputError(
                f"{path}:{line}: the recording {segments[key][0]!r} of {key!r} is not "
                f"in {folder / 'wav.scp'}; add it or drop the segment"
            )
    return segments


def parse_segment(value: str) -> tuple[str, float, float | None]:
    """`<recording> <start> <end> [<channel>]` of a segments file; an end of -1 means None.

    Raises ValueError, saying what was expected.
    """
    found = fields(value)
    expected = "expected `<utterance> <recording> <start s> <end s>`, 0 <= start < end (or end -1)"
    if len(found) not in (3, 4):
        raise ValueError(f"found {len(found) + 1} fields; {expected}")
    try:
        start, end = float(found[1]), float(found[2])
    except ValueError:
        raise ValueError(f"found times {found[1]!r} and {found[2]!r}; {expected}") from None
    if not (start >= 0 and (start < end < math.inf or end == -1)):
        raise ValueError(f"found times {found[1]} to {found[2]}; {expected}")
    return found[0], start, None if end == -1 else end


def _recordings(folder: str | Path, utterances: Iterable[Utterance]) -> dict[str, str]:
    """wav.scp of some utterances; segments share the line of their recording."""
    wavs: dict[str, str] = {}
    missing = None
    for utterance in utterances:
        if utterance.wav is None:
            missing = utterance.id
            continue
        key = utterance.recording or utterance.id
        if wavs.setdefault(key, utterance.wav) != utterance.wav:
            raise InputError(
                f"{folder}: the recording {key!r} has two files, {wavs[key]!r} and "
                f"{utterance.wav!r}; recording ids must be unique"
            )
    if wavs and missing is not None:
        raise InputError(
            f"{Path(folder) / 'wav.scp'}: {missing!r} has no wav but others have; "
            "keep utterances without audio in a data dir of their own"
        )
    return wavs
