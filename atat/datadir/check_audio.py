"""Checks of a data dir's recordings and features: paths, segments, the audio itself, ark files.

Audio is read whole (to find truncated files and NaN), several files at a time, and so are features;
`AudioOptions.check_audio` switches both off. Shell pipes are checked but never run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from atat.base.errors import InputError
from atat.base.pipes import WAYS_OUT, is_pipe
from atat.base.report import Finding, Report
from atat.datadir import contents
from atat.datadir.files import DataDir
from atat.datadir.kaldi_dir import parse_segment, path_of, path_resolver
from atat.datadir.tables import Scan
from atat.speech import audio

TOLERANCE = 0.1  # s: how far utt2dur and reco2dur may be from the audio
PENDING = 1000  # recordings handed to the readers at a time, so that an interrupt is quick


@dataclass(frozen=True)
class AudioOptions:
    """What to expect of the recordings of a data dir, and whether to read them and its features."""

    check_audio: bool = True
    allow_pipes: bool = False
    root: Path | None = None  # where relative paths of scp files start
    sample_rate: int = audio.SAMPLE_RATE
    num_jobs: int = 0  # files read at a time; 0 = one a core


@dataclass(frozen=True)
class _Recording:
    """The result of reading one recording: its length, and what is wrong (kind, message)."""

    duration: float | None
    problems: tuple[tuple[str, str], ...]


def check_recordings(data: DataDir, report: Report, options: AudioOptions) -> dict[str, float]:
    """Check wav.scp, segments, feats.scp and the audio; utterance -> duration (s) where known."""
    users = data.users()
    _check_entries(data, report, options, users)
    _check_features(data, report, options)
    lengths = _check_audio(data, report, options, users) if options.check_audio else {}
    for name in ("reco2dur", "utt2dur") if "segments" not in data.scans else ("reco2dur",):
        _compare_durations(data, report, name, lengths)
    bounds = {**_numbers(data.table("reco2dur")), **lengths}
    spans = _check_segments(data, report, bounds)
    durations = {**bounds, **spans, **_numbers(data.table("utt2dur"))}
    return {
        utterance: durations[utterance] for utterance in data.speakers if utterance in durations
    }


def _find(
    report: Report, scan: Scan, key: str, kind: str, message: str, lost: Iterable[str] = ()
) -> None:
    """One finding, about all the utterances that are dropped if dropping fixes it."""
    finding = Finding(str(scan.path), scan.line(key), kind, message)
    report.add(finding)
    for utterance in lost:
        report.lose(utterance, finding)


def _check_entries(
    data: DataDir, report: Report, options: AudioOptions, users: dict[str, list[str]]
) -> None:
    """Each line of wav.scp has a path, no tilde, and no pipe unless allowed.

    With features, training and decoding need no audio: a pipe is only a warning then.
    """
    is_error = "feats.scp" not in data.scans
    scan = data.scans.get("wav.scp")
    if scan is None:
        return
    for key, value in scan.table.items():
        if not value:
            _find(
                report,
                scan,
                key,
                "no path",
                f"nothing after {key!r}; expected a path; add it or drop the recording (repair)",
                users.get(key, ()),
            )
        elif value.startswith("~"):
            _find(
                report,
                scan,
                key,
                "tilde in a path",
                f"{value!r}: programs do not replace ~; "
                "write the whole path (atat datadir relocate) or drop the recording (repair)",
                users.get(key, ()),
            )
        elif is_pipe(value) and not options.allow_pipes:
            what = (
                "nothing runs it where feats.scp is read"
                if not is_error
                else f"if you trust it, {WAYS_OUT} (validate --allow_pipes accepts it, unrun)"
            )
            report.add(
                Finding(
                    str(scan.path),
                    scan.line(key),
                    "shell pipe",
                    f"{key!r} is a command, its audio is not checked: {value!r}; {what}",
                    is_error,
                )
            )


def _check_segments(data: DataDir, report: Report, bounds: dict[str, float]) -> dict[str, float]:
    """Segments are well-formed and inside their recordings; utterance -> duration (s)."""
    scan = data.scans.get("segments")
    durations: dict[str, float] = {}
    if scan is None:
        return durations
    for utterance, value in scan.table.items():
        try:
            recording, start, end = parse_segment(value)
        except ValueError as error:
            _find(
                report,
                scan,
                utterance,
                "malformed segment",
                f"{error}; correct the line or drop the utterance (repair)",
                [utterance],
            )
            continue
        length = bounds.get(recording)
        last = length if end is None else end
        if last is None:  # to the end of a recording of unknown length
            continue
        if length is not None and (last > length + audio.MAX_OVERSHOOT or start >= length):
            _find(
                report,
                scan,
                utterance,
                "segment out of bounds",
                f"{utterance!r} is "
                f"{start:g} to {last:g} s of {recording!r}, which lasts {length:.3f} s; correct "
                "the times or drop the utterance (repair)",
                [utterance],
            )
        else:
            durations[utterance] = last - start
    return durations


def _check_features(data: DataDir, report: Report, options: AudioOptions) -> None:
    """Each line of feats.scp names a place inside a file that exists, with features there."""
    scan = data.scans.get("feats.scp")
    if scan is None:
        return
    resolve = path_resolver(data.folder, options.root)
    sizes: dict[str, int] = {}
    sound: dict[str, str] = {}
    for utterance, value in scan.table.items():
        if not value or is_pipe(value):
            _find(
                report,
                scan,
                utterance,
                "no path",
                f"found {value!r} for {utterance!r}, "
                "expected `<file.ark>:<offset>`; extract the features again",
                [utterance],
            )
            continue
        specifier = resolve(value)
        path = path_of(specifier)
        if path not in sizes:
            sizes[path] = os.path.getsize(path) if os.path.isfile(path) else -1
        offset = specifier[len(path) :].split("[")[0].lstrip(":")
        if sizes[path] <= int(offset or 0):
            what = "there is no such file" if sizes[path] < 0 else f"it has {sizes[path]} bytes"
            _find(
                report,
                scan,
                utterance,
                "features missing",
                f"{specifier!r} of {utterance!r}: "
                f"{what}; extract the features again or drop the utterance (repair)",
                [utterance],
            )
        else:
            sound[utterance] = specifier
    if options.check_audio:
        _check_matrices(data, report, scan, sound)


def _check_matrices(data: DataDir, report: Report, scan: Scan, specifiers: dict[str, str]) -> None:
    """The features are complete, of this utterance, log energies, and of the stated length."""
    frames = data.table("utt2num_frames")
    for utterance, found in contents.look_at(data.folder, "feats", specifiers).items():
        said = frames.get(utterance, "")
        if found.fault is not None:
            _find(
                report,
                scan,
                utterance,
                "damaged features",
                f"{utterance!r}: {found.fault}",
                [utterance],
            )
        elif said.isdecimal() and int(said) != found.frames:
            _find(
                report,
                data.scans["utt2num_frames"],
                utterance,
                "utt2num_frames unlike features",
                f"{said} for {utterance!r}, whose features have {found.frames} frames; extract "
                "them again or drop the utterance (repair)",
                [utterance],
            )


def _check_audio(
    data: DataDir, report: Report, options: AudioOptions, users: dict[str, list[str]]
) -> dict[str, float]:
    """Read every recording that is a file; recording -> duration (s)."""
    scan = data.scans.get("wav.scp")
    if scan is None:
        return {}
    resolve = path_resolver(data.folder, options.root)
    paths = {
        key: resolve(value)
        for key, value in scan.table.items()
        if value and not is_pipe(value) and not value.startswith("~")
    }
    durations = {}
    for key, recording in _read_all(paths, options):
        if recording.duration is not None:
            durations[key] = recording.duration
        for kind, message in recording.problems:
            _find(report, scan, key, kind, f"{key!r}: {message}", users.get(key, ()))
    return durations


def _read_all(paths: dict[str, str], options: AudioOptions) -> Iterator[tuple[str, _Recording]]:
    from tqdm import tqdm

    num_jobs = options.num_jobs or len(os.sched_getaffinity(0))
    keys = list(paths)
    with (
        ThreadPoolExecutor(num_jobs) as pool,
        tqdm(total=len(keys), desc="reading audio", unit="file", disable=None) as progress,
    ):
        for first in range(0, len(keys), PENDING):
            part = keys[first : first + PENDING]
            examine = pool.map(lambda key: _examine(paths[key], options.sample_rate), part)
            for key, recording in zip(part, examine, strict=True):
                yield key, recording
                progress.update()


def _examine(path: str, sample_rate: int) -> _Recording:
    """Read one recording and find all its faults, not only the first."""
    try:
        info = audio.probe(path)
    except InputError as error:
        if not os.path.exists(path):
            kind = "audio missing"
        else:
            kind = "audio empty" if os.path.getsize(path) == 0 else "audio unreadable"
        return _Recording(None, ((kind, str(error)),))
    problems = []
    if info.sample_rate != sample_rate:
        problems.append(
            (
                "sample rate",
                f"{path}: sampled at {info.sample_rate} Hz, expected "
                f"{sample_rate}; convert: sox {path} -r {sample_rate} OUT.wav",
            )
        )
    if info.channels > 1:
        problems.append(
            (
                "channels",
                f"{path}: has {info.channels} channels, expected 1; choose "
                f"one: sox {path} OUT.wav remix 1",
            )
        )
    try:
        for channel in range(info.channels):
            audio.load(path, sample_rate=info.sample_rate, channel=channel)
    except InputError as error:
        problems.append(("damaged samples", str(error)))
    return _Recording(info.duration, tuple(problems))


def _compare_durations(data: DataDir, report: Report, name: str, lengths: dict[str, float]) -> None:
    """Warn if a table of durations disagrees with the audio."""
    scan = data.scans.get(name)
    if scan is None:
        return
    for key, duration in _numbers(scan.table).items():
        if key in lengths and abs(duration - lengths[key]) > TOLERANCE:
            report.add(
                Finding(
                    str(scan.path),
                    scan.line(key),
                    f"{name} unlike audio",
                    f"{duration:g} s for {key!r}, whose audio lasts {lengths[key]:.3f} "
                    "s; remove the file and make it again",
                    is_error=False,
                )
            )


def _numbers(table: dict[str, str]) -> dict[str, float]:
    """The values that are numbers; the check of the table finds the others."""
    numbers = {}
    for key, value in table.items():
        try:
            numbers[key] = float(value)
        except ValueError:
            continue
    return numbers
