"""The contents of a data dir's features and recordings: a digest of each, and its fault if any.

Everything is read once, on all cores, and the findings are stored beside the data
(`.contents.feats.scp.json`, `.contents.wav.scp.json`): a file is read again only if its size,
times or inode have changed. So a changed sample or frame is noticed even if the file's length and
name stay, and touched or copied data count as the same. A dir that cannot be written is read each
time. Knows nothing of the use of the utterances.

    faults = contents.faults("data/train", kaldi_dir.load("data/train"), "feats")
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np

from atat.base import digests, pipes
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.datadir import ark, kaldi_dir, tables
from atat.datadir.kaldi_dir import Utterance
from atat.speech import audio

VERSION = 3  # goes up when the checks or the digests change
# No logarithm of an energy, in nepers or decibels, is as large; normalised features are smaller.
LARGEST = 1e4
# A file younger than this may change again without a new time of change.
YOUNG = 2.0  # s
PENDING = 2000  # files handed to the readers at a time, so that an interrupt is quick
TABLES = {"feats": "feats.scp", "wav": "wav.scp"}


@dataclass(frozen=True)
class Content:
    """The contents of one entry of an scp file."""

    digest: str  # empty where it cannot be read
    frames: int  # of features; 0 for recordings
    fault: str | None  # why it cannot be used, with its file
    is_there: bool = True
    columns: int = 0  # values of a frame; 0 for recordings
    seconds: float = 0.0  # of a recording; 0 for features


def look(folder: str | Path, kind: str) -> dict[str, Content]:
    """The contents of each line of feats.scp (kind "feats") or wav.scp ("wav"), by its id.

    Shell pipes are left out. Raises InputError for a malformed table, but not for bad entries.
    """
    table = Path(folder) / TABLES[kind]
    if not table.is_file():
        return {}
    resolve = kaldi_dir.path_resolver(folder)
    entries = {
        key: resolve(value)
        for key, value in tables.read_table(table).items()
        if value and not pipes.is_pipe(value)
    }
    return look_at(folder, kind, entries)


def look_at(folder: str | Path, kind: str, entries: Mapping[str, str]) -> dict[str, Content]:
    """The contents of entries of a data dir's scp file; their paths can be opened as given."""
    path_of = kaldi_dir.path_of if kind == "feats" else str
    states = {path: _state(path) for path in set(map(path_of, entries.values()))}
    memory = Path(folder) / f".contents.{TABLES[kind]}.json"
    found = _remembered(memory, entries, states, path_of)
    missing = [(key, value) for key, value in entries.items() if key not in found]
    if missing:
        examine = _examine_features if kind == "feats" else _examine_recording
        found.update(_examine_all(missing, examine, f"{folder}/{TABLES[kind]}"))
        _remember(memory, entries, states, found, path_of)
    return _of_one_width({key: found[key] for key in entries})


def digest(folder: str | Path, kind: str) -> str | None:
    """One digest of all entries of feats.scp or wav.scp; None if one is missing."""
    found = look(folder, kind)
    if not found or not all(content.is_there for content in found.values()):
        return None
    facts = [(key, content.digest) for key, content in sorted(found.items())]
    return digests.of_text(repr(facts))[: digests.SHORT]


def faults(folder: str | Path, utterances: Sequence[Utterance], kind: str) -> dict[str, str]:
    """Why utterances cannot be used, by id: those whose features or recording are at fault."""
    found = look(folder, kind)
    lost = {}
    for utterance in utterances:
        key = utterance.id if kind == "feats" else utterance.recording or utterance.id
        why = found[key].fault if key in found else None
        if why is None and key in found:
            fits = _unlike if kind == "feats" else _beyond
            why = fits(found[key], utterance)
        if why is not None:
            lost[utterance.id] = why
    return lost


def read_features(utterance: Utterance) -> np.ndarray:
    """The features (T, F) of an utterance that has some.

    Raises InputError, naming the utterance, if they cannot be read, belong to another utterance,
    hold values that are not log energies, or disagree with utt2num_frames in length.
    """
    assert utterance.feats is not None
    try:
        matrix = ark.read(utterance.feats, utterance.id)
    except InputError as error:
        raise InputError(f"utterance {utterance.id}: {error}") from None
    why = None
    if matrix.size:
        why = _out_of_bounds(utterance.feats, float(matrix.min()), float(matrix.max()))
        why = why or _unlike(Content("", len(matrix), None), utterance)
    if why is not None:
        raise InputError(f"utterance {utterance.id}: {why}")
    return matrix


def read_recording(utterance: Utterance) -> np.ndarray:
    """The samples (T,) of an utterance that has audio; InputError, naming the utterance."""
    try:
        return audio.load(str(utterance.wav), utterance.start, utterance.end)
    except InputError as error:
        raise InputError(f"utterance {utterance.id}: {error}") from None


def _unlike(found: Content, utterance: Utterance) -> str | None:
    frames = found.frames
    if not utterance.num_frames or utterance.num_frames == frames or not frames:
        return None  # its readers report features that are too short
    return (
        f"{utterance.feats}: has {frames} frames, utt2num_frames says {utterance.num_frames}; "
        "make the features again"
    )


def _beyond(found: Content, utterance: Utterance) -> str | None:
    try:
        audio.check_span(str(utterance.wav), found.seconds, utterance.start, utterance.end)
    except InputError as error:
        return str(error)
    return None


def _out_of_bounds(name: str, lowest: float, highest: float) -> str | None:
    if -LARGEST <= lowest and highest <= LARGEST:  # false where one is NaN
        return None
    wrong = highest if not highest <= LARGEST else lowest
    what = f"a value of {wrong:g}" if np.isfinite(wrong) else "a value that is no number"
    return (
        f"{name}: holds {what} (NaN, infinity or beyond any log energy); "
        "make the features again or leave the utterance out"
    )


def _of_one_width(found: dict[str, Content]) -> dict[str, Content]:
    """Features with another number of values in a frame than most of a data dir's are at fault."""
    widths = Counter(one.columns for one in found.values() if one.fault is None)
    if len(widths) < 2:
        return found
    usual, count = widths.most_common(1)[0]
    why = f"{{}} values in a frame, but {count} of {len(found)} utterances have {usual}"
    return {
        key: one
        if one.fault is not None or one.columns == usual
        else replace(one, fault=f"features of {why.format(one.columns)}; make all of them alike")
        for key, one in found.items()
    }


def _examine_features(key: str, specifier: str) -> Content:
    try:
        summary = ark.summarize(specifier, key)
    except InputError as error:
        return Content("", 0, str(error), os.path.isfile(kaldi_dir.path_of(specifier)))
    fault = _out_of_bounds(specifier, summary.lowest, summary.highest)
    if summary.rows == 0:
        fault = f"{specifier}: no frame, it is shorter than one frame (25 ms)"
    return Content(summary.digest, summary.rows, fault, columns=summary.columns)


def digest_of_file(path: str | Path) -> str:
    """Digest of the bytes of a recording; raises OSError."""
    return digests.of_file(path, "sha1")[: digests.SHORT]


def _examine_recording(_: str, path: str) -> Content:
    if os.path.exists(path) and not os.path.isfile(path):  # reading a pipe or device has no end
        return Content("", 0, f"{path}: is no file but a folder, pipe or device", False)
    try:
        found = digest_of_file(path)
    except OSError as error:
        return Content("", 0, f"{path}: {error.strerror}", os.path.isfile(path))
    try:
        info = audio.check(path)
    except InputError as error:
        return Content(found, 0, str(error))
    return Content(found, 0, None, seconds=info.duration)


def _examine_all(
    entries: Sequence[tuple[str, str]], examine: Callable[[str, str], Content], name: str
) -> Iterator[tuple[str, Content]]:
    from tqdm import tqdm

    with (
        ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool,
        tqdm(total=len(entries), desc=f"reading {name}", unit="utt", disable=None) as progress,
    ):
        for first in range(0, len(entries), PENDING):
            part = entries[first : first + PENDING]
            keys, values = zip(*part)
            yield from zip(keys, pool.map(examine, keys, values))
            progress.update(len(part))


State = tuple[int, int, int, int]  # size, times of change of content and inode (ns), inode


def _state(path: str) -> State | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _remembered(
    memory: Path,
    entries: Mapping[str, str],
    states: Mapping[str, State | None],
    path_of: Callable[[str], str],
) -> dict[str, Content]:
    """Stored findings of entries whose files have not changed since."""
    try:
        about = json.loads(memory.read_text(encoding="utf-8"))
        if about["version"] != VERSION:
            return {}
        before = {path: tuple(state) for path, state in about["files"].items()}
        return {
            key: Content(*about["found"][key][1:])
            for key, value in entries.items()
            if key in about["found"]
            and about["found"][key][0] == value
            and before.get(path_of(value)) == states[path_of(value)]
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # missing, torn, or of another program: everything is read again


def _remember(
    memory: Path,
    entries: Mapping[str, str],
    states: Mapping[str, State | None],
    found: Mapping[str, Content],
    path_of: Callable[[str], str],
) -> None:
    """Store the findings of files that exist and are no longer young."""
    limit = (time.time() - YOUNG) * 1e9
    settled = {
        path: state
        for path, state in states.items()
        if state is not None and max(state[1:3]) < limit
    }
    rows = {
        key: [entries[key], *astuple(content)]
        for key, content in found.items()
        if path_of(entries[key]) in settled
    }
    if not rows:
        return
    try:
        with atomic_write(memory) as stream:
            json.dump({"version": VERSION, "files": settled, "found": rows}, stream)
    except OSError:  # another user's dir, a full disk: everything is read again next time
        pass
