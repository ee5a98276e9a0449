"""Kaldi data dirs: the utterances that the tables of a folder describe, read and written.

`load` joins the tables by utterance id into `Utterance`s, `write` takes them apart again. Knows
nothing of audio, trees or features: values are strings here. `atat.datadir.check` checks a data dir
beyond its tables; the command line is `atat datadir`.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from atat.base import together
from atat.base.errors import InputError
from atat.base.files import fields
from atat.base.pipes import WAYS_OUT, is_pipe
from atat.datadir import feats_type, ids, plain_text
from atat.datadir.tables import Table, read_table, scan_table, seconds, write_tables

Number = TypeVar("Number", int, float)
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
    feats_type.KIND,
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
    feats_type: str = feats_type.LFB  # of its features (`atat.datadir.feats_type`)


def load(folder: str | Path, *, root: str | Path | None = None) -> list[Utterance]:
    """Read a data dir: its utterances, sorted by id, with the values from all its files.

    Only `utt2spk` is required. Relative paths in wav.scp and feats.scp start at `root` if given,
    else at the data dir if the file exists there, else (as in Kaldi) at the current folder. A
    shell pipe in wav.scp is only text here: readers of features or words can ignore it, readers
    of audio call `refuse_pipes`. Raises InputError, naming file and line, if a table is malformed,
    if an utterance is in one file and not in another, if words hold control characters or reserved
    symbols, and for a pipe in feats.scp, which atat never runs.
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
    texts = _load_words(folder / "text", speakers)
    trees = _load_words(folder / "semantics", speakers)
    kind = feats_type.read(folder)
    utterances = []
    for number, (utterance, speaker) in enumerate(speakers.items(), 1):
        if not speaker or (odd := ids.odd_character(speaker)):
            why = f", which {odd}" if speaker else ""
            raise InputError(
                f"{folder / 'utt2spk'}:{number}: found {speaker!r} after "
                f"{utterance!r}; expected one speaker id{why}"
            )
        recording, start, end = segments.get(utterance, (None, None, None))
        duration = durations.get(utterance, _length(start, end))
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
                kind,
            )
        )
    return utterances


def write(
    folder: str | Path,
    utterances: Iterable[Utterance],
    beside: Mapping[str, Table] | None = None,
    *,
    remove: Iterable[str] = (),
) -> None:
    """Write the data dir of some utterances, all files at once (see `write_tables`).

    Writes utt2spk and spk2utt, and each of wav.scp, segments, feats.scp, utt2num_frames,
    utt2dur, text, semantics that the utterances have; an old file of these names that they do
    not have is removed. In the same step the tables `beside` are written, those without a line
    removed, and the files `remove`. Files of other names stay. No utt2dur is written if it would
    only repeat the lengths of segments, of which others end with their recordings.
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
        "utt2dur": _durations(by_id),
        "text": {key: u.text for key, u in by_id.items() if u.text is not None},
        "semantics": {key: u.semantics for key, u in by_id.items() if u.semantics is not None},
    }
    kinds = {u.feats_type for u in by_id.values() if u.feats is not None}
    if len(kinds) > 1:
        raise InputError(
            f"{folder}: its utterances have features of different kinds "
            f"({', '.join(sorted(kinds))}); make them alike with `atat features`"
        )
    for name, table in tables.items():
        if table and name not in ("spk2utt", "wav.scp") and len(table) < len(by_id):
            missing = next(key for key in by_id if key not in table)
            raise InputError(
                f"{Path(folder) / name}: {len(table)} of {len(by_id)} utterances have "
                f"a value, {missing!r} has none; give it to all or to none"
            )
    tables[feats_type.KIND] = dict.fromkeys(kinds - {feats_type.LFB}, "")
    every: dict[str, Table] = {**tables, **(beside or {})}
    written = {name: table for name, table in every.items() if table}
    write_tables(folder, written, remove={*every, *remove})


def _length(start: float | None, end: float | None) -> float | None:
    """Seconds of a segment; None without one, and where it ends with its recording."""
    return None if start is None or end is None else round(end - start, 6)


def _durations(utterances: Mapping[str, Utterance]) -> dict[str, str]:
    """utt2dur; empty if some have no duration and those of the others are `_length`s."""
    known = {key: one for key, one in utterances.items() if one.duration is not None}
    if len(known) < len(utterances) and all(
        one.duration == _length(one.start, one.end) for one in known.values()
    ):
        return {}
    return {key: seconds(one.duration) for key, one in known.items()}


def speakers_to_utterances(speakers: Mapping[str, str]) -> dict[str, str]:
    """spk2utt from utt2spk: the utterances of a speaker, sorted, joined by blanks."""
    utterances: dict[str, list[str]] = {}
    for utterance in sorted(speakers):
        utterances.setdefault(speakers[utterance], []).append(utterance)
    return {speaker: " ".join(names) for speaker, names in utterances.items()}


def total_seconds(folder: str | Path, utterances: Iterable[Utterance]) -> float:
    """Seconds of audio of utterances of a data dir, by their durations or else their frames."""
    shift = feats_type.frame_shift(folder)
    return sum(one.duration or (one.num_frames or 0) * shift for one in utterances)


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
        path = os.path.join(base, name)
        if ".." in name.split("/"):  # of the folder that a link leads to, not of the link's
            path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        return os.path.abspath(path) + specifier[len(name) :]

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


def _optional_table(path: Path, expected: Mapping[str, object]) -> dict[str, str]:
    """A table with exactly the expected keys, or an empty one if there is no such file."""
    if not path.exists():
        return {}
    table = read_table(path)
    check_ids(path, table, expected)
    return table


def _load_words(path: Path, expected: Mapping[str, object]) -> dict[str, str]:
    """A table of words without what would be no word to a model."""
    table = _optional_table(path, expected)
    for line, (key, value) in enumerate(table.items(), 1):
        if odd := plain_text.fault(value):
            raise InputError(
                f"{path}:{line}: the words of {key!r}: {odd}; remove it, or list all such lines "
                f"with: atat datadir validate {path.parent}, and drop or mend them with: … repair"
            )
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
    """`<recording> <start> <end> [0]` of a segments file; an end of -1 means None.

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
    if len(found) == 4 and found[3] != "0":
        raise ValueError(
            f"found channel {found[3]!r}; segments of other channels than 0 are not cut: write "
            "each channel to a file of its own, such as: sox call.wav call-B.wav remix 2"
        )
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
