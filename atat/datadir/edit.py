"""New data dirs from old: subset, combine, split, relocate. All files of a dir are included.

Every table, known or not, is included by its kind of key (`atat.datadir.files`): a subset has the
lines of its utterances, their speakers and recordings. Values are copied unchanged, except that
relative paths become absolute if the dir moves. The inputs must be valid
(`atat datadir validate`); the outputs appear whole or not at all.
Command line: `atat datadir {subset,combine,split,relocate}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import cast

from atat.base.errors import InputError
from atat.base.files import fields, read_lines
from atat.base.pipes import is_pipe
from atat.datadir import feats_type, licence, questions
from atat.datadir.ctm import read_ctm
from atat.datadir.files import (
    ALIGNMENTS,
    IMPORTED,
    RECORDING,
    SPEAKER,
    UTTERANCE,
    DataDir,
    named_tables,
    require_sound,
    scan_dir,
)
from atat.datadir.kaldi_dir import (
    parse_segment,
    path_of,
    path_resolver,
    speakers_to_utterances,
)
from atat.datadir.tables import Table, seconds, write_tables
from atat.speech import audio

SOUND = {"wav.scp", "feats.scp"}
# Files that hold one value for the whole dir.
SETTINGS = (feats_type.SHIFT, feats_type.KIND, licence.NAME)


def open_dir(folder: str | Path) -> DataDir:
    """Read a data dir that must be valid; raises InputError naming the first fault."""
    data = scan_dir(folder)
    require_sound(data)
    return data


def select(
    data: DataDir, keep: Collection[str], resolve: Callable[[str], str] | None = None
) -> dict[str, Table]:
    """All tables of a data dir, reduced to the utterances in `keep`.

    `resolve` makes the paths of scp files absolute. spk2utt is made again.
    """
    speakers = {key: value for key, value in data.speakers.items() if key in keep}
    wanted = keys_of(data, speakers)
    tables: dict[str, Table] = {}
    for name, scan in data.scans.items():
        keys = wanted[data.keyed_by[name]]
        table = {key: value for key, value in scan.table.items() if key in keys}
        if resolve is not None and name.endswith(".scp"):
            table = {key: resolve(value) for key, value in table.items()}
        tables[name] = {
            key: value.split("\n") if "\n" in value else value for key, value in table.items()
        }
    tables["utt2spk"] = speakers
    tables["spk2utt"] = speakers_to_utterances(speakers)
    return tables


def keys_of(data: DataDir, utterances: Iterable[str]) -> dict[str, set[str]]:
    """Kind of key (UTTERANCE, SPEAKER, RECORDING) -> those of some utterances of a data dir."""
    speakers, chosen = data.speakers, set(utterances)
    return {
        UTTERANCE: chosen,
        SPEAKER: {speakers[utterance] for utterance in chosen},
        RECORDING: {data.recording(utterance) for utterance in chosen},
    }


def subset(
    source: str | Path,
    target: str | Path,
    choose: Callable[[DataDir], Collection[str]],
    *,
    root: str | Path | None = None,
) -> int:
    """Write the utterances that `choose` picks from a data dir; returns their number.

    Relative paths become absolute; they start at `root`, as in `kaldi_dir.load`.
    `evenly`, `first`, `shortest`, `whole_speakers`, `listed` and `of_listed_speakers` make a
    `choose`, `aligned` is one. Raises InputError when the target is the source, or nothing is
    chosen.
    """
    if Path(source).resolve() == Path(target).resolve():
        raise InputError(f"{target}: is the dir the subset comes from; choose another name")
    data = open_dir(source)
    kept = set(choose(data))
    if not kept:
        raise InputError(f"{source}: the subset would be empty")
    write_dir(target, select(data, kept, path_resolver(source, root)), [data])
    return len(kept)


def evenly(number: int) -> Callable[[DataDir], list[str]]:
    """`number` utterances, evenly spread over the sorted ids."""
    return lambda data: _spread(list(data.speakers), number, data, "utterances")


def first(number: int) -> Callable[[DataDir], list[str]]:
    """The first `number` utterances."""
    return lambda data: _enough(list(data.speakers), number, data, "utterances")[:number]


def shortest(number: int, root: str | Path | None = None) -> Callable[[DataDir], list[str]]:
    """The `number` utterances that last shortest; `root` as in `durations`."""

    def choose(data: DataDir) -> list[str]:
        lengths = durations(data, root)
        utterances = sorted(data.speakers, key=lambda utterance: (lengths[utterance], utterance))
        return _enough(utterances, number, data, "utterances")[:number]

    return choose


def whole_speakers(number: int) -> Callable[[DataDir], list[str]]:
    """All utterances of `number` speakers, evenly spread over the sorted ids."""

    def choose(data: DataDir) -> list[str]:
        chosen = set(_spread(sorted(set(data.speakers.values())), number, data, "speakers"))
        return [key for key, speaker in data.speakers.items() if speaker in chosen]

    return choose


def listed(path: str | Path) -> Callable[[DataDir], list[str]]:
    """The utterances listed in a file, one per line."""
    return lambda data: list(_read_list(path, data.speakers, data.folder, "utterance"))


def of_listed_speakers(path: str | Path) -> Callable[[DataDir], list[str]]:
    """All utterances of the speakers listed in a file, one per line."""

    def choose(data: DataDir) -> list[str]:
        chosen = _read_list(path, set(data.speakers.values()), data.folder, "speaker")
        return [key for key, speaker in data.speakers.items() if speaker in chosen]

    return choose


def aligned(data: DataDir) -> list[str]:
    """The utterances whose words have times (ctm); InputError if the dir has no ctm."""
    path = data.folder / "ctm"
    if not path.is_file():
        raise InputError(f"{data.folder}: no ctm, so no word has a time; make it with: atat align")
    timed = read_ctm(path)
    return [key for key in data.speakers if timed.get(key)]


def durations(data: DataDir, root: str | Path | None = None) -> dict[str, float]:
    """Length of every utterance: seconds from utt2dur, segments or the audio, else frames.

    Relative paths of recordings start at `root`, as in `kaldi_dir.load`. Raises InputError if all
    of these are missing.
    """
    if "utt2dur" in data.scans:
        return {key: _number(data, "utt2dur", key) for key in data.speakers}
    if "wav.scp" in data.scans:
        resolve = path_resolver(data.folder, root)
        spans = {key: _span(data, key) for key in data.speakers}
        open_ended = {recording for recording, _, end in spans.values() if end is None}
        wavs = data.table("wav.scp")
        ends = {key: audio.duration(resolve(wavs[key])) for key in open_ended}
        return {
            key: (ends[recording] if end is None else end) - start
            for key, (recording, start, end) in spans.items()
        }
    if "utt2num_frames" in data.scans:
        return {key: _number(data, "utt2num_frames", key) for key in data.speakers}
    raise InputError(
        f"{data.folder}: the lengths of utterances are unknown; expected utt2dur, "
        "wav.scp or utt2num_frames"
    )


def combine(target: str | Path, sources: list[str | Path]) -> list[str]:
    """Join data dirs of different utterances; returns the names of the files left out.

    A table that one of them lacks is left out (not alignments, which need not be complete). If only
    some have segments, the others get segments that span their whole recordings, by their headers.
    Raises InputError for an utterance or question that is in two dirs, a speaker or recording with
    different values in two dirs, for dirs with audio beside dirs without or with features only, if
    there are no utterances, and if the target is one of them.
    """
    if any(Path(source).resolve() == Path(target).resolve() for source in sources):
        raise InputError(
            f"{target}: is one of the dirs to join, and would lose the tables that another lacks; "
            "choose another name"
        )
    opened = [open_dir(source) for source in sources]
    has_segments = any("segments" in data.scans for data in opened)
    parts = []
    for data in opened:
        tables = select(data, data.speakers, path_resolver(data.folder))
        if has_segments and "wav.scp" in tables and "segments" not in tables:
            wavs = cast("Mapping[str, str]", tables["wav.scp"])  # one of each utterance
            tables["segments"] = {key: f"{key} 0 {_end(wav)}" for key, wav in wavs.items()}
        parts.append(tables)
    names = sorted({name for tables in parts for name in tables})
    left_out = [
        name
        for name in names
        if name not in ALIGNMENTS and any(name not in tables for tables in parts)
    ]
    if SOUND & set(left_out) and not SOUND & (set(names) - set(left_out)):
        raise InputError(_without_sound(opened))
    merged = {name: _merge(name, opened, parts) for name in names if name not in left_out}
    speakers = cast("Mapping[str, str]", merged["utt2spk"])  # one of each utterance
    if not speakers:
        raise InputError(f"{target}: the dirs to join have no utterances; nothing was written")
    merged["spk2utt"] = speakers_to_utterances(speakers)
    write_dir(target, merged, opened)
    return left_out


def _end(wav: str) -> str:
    """The end of a segment that spans a recording: -1, which says no length, where the header
    cannot be read (a shell command, a file of another machine)."""
    try:
        return seconds(audio.duration(wav))
    except InputError:
        return seconds(None, -1)


def _without_sound(opened: list[DataDir]) -> str:
    """Why data dirs of which none of SOUND is in all cannot be joined."""
    silent, unheard, unmade = (
        next((data.folder for data in opened if not names & data.scans.keys()), None)
        for names in (SOUND, {"wav.scp"}, {"feats.scp"})
    )
    if silent is not None:
        return (
            f"{silent}: has neither wav.scp nor feats.scp, but others have; "
            "combine text-only dirs apart from those with audio"
        )
    return (
        f"{unheard}: has feats.scp but no wav.scp, and {unmade} wav.scp but no feats.scp; they "
        "have no kind of sound in common: make such features of the second, too (atat features)"
    )


def split(folder: str | Path, num_parts: int, *, per_utterance: bool = False) -> list[Path]:
    """Cut a data dir into parts of about equal size, `splitK/1` … `splitK/K` inside it.

    Speakers stay whole, unless `per_utterance` (then `splitKutt/…`, as Kaldi calls them).
    Raises InputError when there are fewer speakers (utterances) than parts.
    """
    data = open_dir(folder)
    available = len(data.speakers) if per_utterance else len(set(data.speakers.values()))
    if not 1 <= num_parts <= available:
        noun = "utterances" if per_utterance else "speakers, which stay whole (or: --per_utterance)"
        raise InputError(
            f"{folder}: {num_parts} parts of {available} {noun}; expected 1 to {available}"
        )
    if per_utterance:
        ids = list(data.speakers)
        groups = [
            ids[i * len(ids) // num_parts : (i + 1) * len(ids) // num_parts]
            for i in range(num_parts)
        ]
    else:
        groups = _speaker_groups(data, num_parts)
    parent = Path(folder) / f"split{num_parts}{'utt' if per_utterance else ''}"
    parts = [parent / str(number) for number in range(1, num_parts + 1)]
    for part, utterances in zip(parts, groups, strict=True):
        write_dir(part, select(data, set(utterances), path_resolver(folder)), [data])
    return parts


def relocate(folder: str | Path, old: str, new: str) -> int:
    """Replace the beginning `old` of paths in all scp files by `new`; returns how many changed.

    Matches whole parts of a path only (`/data` does not match `/data2`), in shell pipes each path;
    `/` is the beginning of every absolute one. Raises InputError if no path begins with `old`.
    """
    data = open_dir(folder)
    old, new = old.rstrip("/"), new.rstrip("/")
    end = r"(?=[/\s'\"]|$)" if old else "(?=/)"
    in_command = re.compile(rf"(?<![^\s'\"=<]){re.escape(old)}{end}")
    changed: dict[str, Table] = {}
    count, seen = 0, ""
    for name, scan in data.scans.items():
        if not name.endswith(".scp"):
            continue
        table = {}
        for key, value in scan.table.items():
            seen = seen or value
            if is_pipe(value):
                table[key] = in_command.sub(lambda _: new, value)
            elif path_of(value) == old or value.startswith(old + "/"):
                table[key] = new + value[len(old) :]
            else:
                table[key] = value
            count += table[key] != value
        if table != scan.table:
            changed[name] = table
    if not changed:
        raise InputError(
            f"{folder}: no path in its scp files begins with {old!r}; the first is {seen!r}"
        )
    write_tables(folder, changed)
    return count


def write_dir(
    target: str | Path,
    tables: dict[str, Table],
    sources: list[DataDir],
    *,
    with_questions: bool = True,
) -> None:
    """Write a data dir; the tables of an older one in its place are removed, by name.

    with_questions: those of `sources` about its utterances come along.
    """
    target = Path(target)
    stale = [name for name in named_tables(target) if not tables.get(name)]
    stale += [questions.QUESTIONS, IMPORTED]
    settings = {}
    for name in SETTINGS:
        values = {feats_type.word(data.folder / name) for data in sources}
        if name == feats_type.KIND and len(values) > 1 and "feats.scp" in tables:
            found = ", ".join(sorted(value or feats_type.LFB for value in values))
            raise InputError(
                f"{target}: the data dirs have features of different kinds ({found}); make them "
                "alike with `atat features`, or remove feats.scp from them"
            )
        if name == licence.NAME:
            values = {licence.joined(values)}
        if len(values) == 1 and (value := values.pop()):
            first, _, rest = value.partition(" ")
            settings[name] = {first: rest}  # a line of its own, without a key
        elif (target / name).exists():
            stale.append(name)
    asked = _asked(sources, tables["utt2spk"]) if with_questions else []
    write_tables(
        target,
        {**{k: v for k, v in tables.items() if v}, **settings},
        lines={questions.QUESTIONS: questions.lines(asked)} if asked else {},
        remove=stale,
    )


def _asked(sources: list[DataDir], utterances: Collection[str]) -> list[questions.Question]:
    """The questions about some utterances, sorted by id; InputError for one that is in two dirs."""
    found: dict[str, questions.Question] = {}
    origin: dict[str, Path] = {}
    for path in (data.folder / questions.QUESTIONS for data in sources):
        for question in questions.read(path.parent) if path.is_file() else ():
            if question.utt not in utterances:
                continue
            if question.id in found:
                raise InputError(
                    f"{path}: the question {question.id!r} is also in {origin[question.id]}; "
                    "rename one of the two"
                )
            found[question.id], origin[question.id] = question, path
    return [found[name] for name in sorted(found)]


def _merge(name: str, opened: list[DataDir], parts: list[dict[str, Table]]) -> Table:
    merged: dict[str, str | list[str]] = {}
    origin: dict[str, DataDir] = {}
    for data, tables in zip(opened, parts, strict=True):
        for key, value in tables.get(name, {}).items():
            is_utterance = data.keyed_by.get(name, UTTERANCE) == UTTERANCE
            if key in merged and name != "spk2utt" and (is_utterance or merged[key] != value):
                raise InputError(
                    f"{data.folder / name}:{data.line(name, key)}: {key!r} is also in "
                    f"{origin[key].folder / name}:{origin[key].line(name, key)}"
                    f"{'' if is_utterance else ', with another value'}; rename or drop one"
                )
            merged[key] = value
            origin[key] = data
    return merged


def _speaker_groups(data: DataDir, num_parts: int) -> list[list[str]]:
    """Assign speakers, the largest first, each to the part that is smallest so far."""
    groups: list[list[str]] = [[] for _ in range(num_parts)]
    by_speaker = {
        speaker: fields(utterances)
        for speaker, utterances in speakers_to_utterances(data.speakers).items()
    }
    for speaker in sorted(by_speaker, key=lambda name: (-len(by_speaker[name]), name)):
        min(groups, key=len).extend(by_speaker[speaker])
    return groups


def _spread(ids: list[str], number: int, data: DataDir, noun: str) -> list[str]:
    _enough(ids, number, data, noun)
    return [ids[i * len(ids) // number] for i in range(number)]


def _enough(ids: list[str], number: int, data: DataDir, noun: str) -> list[str]:
    if not 1 <= number <= len(ids):
        raise InputError(f"{data.folder}: {number} {noun} asked for; expected 1 to {len(ids)}")
    return ids


def _read_list(path: str | Path, known: Iterable[str], folder: Path, noun: str) -> set[str]:
    chosen: dict[str, int] = {}
    for number, line in enumerate(read_lines(path), 1):
        if found := fields(line):
            chosen.setdefault(found[0], number)
    for name in sorted(chosen.keys() - set(known)):
        raise InputError(
            f"{path}:{chosen[name]}: there is no {noun} {name!r} in {folder}; remove this line"
        )
    return set(chosen)


def _number(data: DataDir, name: str, key: str) -> float:
    value = data.table(name)[key]
    try:
        return float(value)
    except ValueError:
        raise InputError(
            f"{data.folder / name}:{data.line(name, key)}: found {value!r} for "
            f"{key!r}, expected a number"
        ) from None


def _span(data: DataDir, utterance: str) -> tuple[str, float, float | None]:
    """Recording, start and end (s; None = its end) of an utterance."""
    if "segments" not in data.scans:
        return utterance, 0.0, None
    try:
        return parse_segment(data.table("segments")[utterance])
    except ValueError as error:
        raise InputError(
            f"{data.folder / 'segments'}:{data.line('segments', utterance)}: {error}"
        ) from None
