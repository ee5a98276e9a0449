"""The arks of features: the utterances to compute, the results of earlier runs, making one ark.

ARKS/<name>.<n>.{ark,scp,made} belong together. A whole ark counts once its `.made` exists: a table
`<utterance> <frames> <seconds> <fingerprint of audio and options>` that tells a rerun what is left
to do. Knows nothing of processes and changes no data dir; `features` runs it.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from atat.base import digests, pipes
from atat.base.errors import InputError
from atat.datadir import ark, kaldi_dir, tables
from atat.speech import audio, frontend
from atat.speech.frontend import LFB, MFCC, Frontend, Layers, Lfb, Mfcc

Kind = Literal["lfb", "mfcc"]

KINDS = ("ark", "scp", "made")  # files of one number
# Goes up when the numbers change, so that older arks are made again.
VERSION = 1


@dataclass(frozen=True)
class Settings:
    """How the audio of a data dir becomes features."""

    num_mels: int = 80
    compress: bool = False
    resample: bool = False
    channel: int | None = None
    allow_pipes: bool = False
    encoder: str | None = None  # states of a pretrained speech encoder instead of filterbanks
    layers: Layers = "last"  # of the encoder
    kind: Kind = LFB  # of features without an encoder

    @property
    def frontend(self) -> Frontend:
        """What makes the features; InputError if it is an encoder that is not on this machine."""
        if self.encoder:
            return frontend.find(self.encoder, layers=self.layers)
        return Mfcc() if self.kind == MFCC else Lfb(self.num_mels)

    @property
    def name(self) -> str:
        """What makes the features, as a part of file names."""
        layers = "" if self.layers == "last" else f"_{self.layers}"
        return re.sub(r"[^\w-]+", "_", self.encoder or self.kind).strip("_") + layers


@dataclass(frozen=True)
class Clip:
    """The audio of one utterance."""

    id: str
    wav: str
    start: float | None  # seconds into the recording; None = the whole file
    end: float | None
    fingerprint: str  # of the audio file and the settings


@dataclass(frozen=True)
class Made:
    """A finished utterance; `feats` is None if it is shorter than one frame."""

    num_frames: int
    duration: float
    fingerprint: str
    feats: str | None


@dataclass(frozen=True)
class Chunk:
    """The utterances of one ark, and where it goes."""

    stem: Path
    clips: Sequence[Clip]
    settings: Settings


@dataclass(frozen=True)
class Outcome:
    """The result of a chunk: the rows made, and why some audio could not be read."""

    made: dict[str, Made]
    broken: dict[str, str]


def read_clips(data: Path, settings: Settings) -> list[Clip]:
    """The audio of a data dir to compute features of, by utterance id.

    Unlike `kaldi_dir.load` it ignores feats.scp, which may be older than the other tables.
    """
    wavs = _read_wavs(data, settings.allow_pipes)
    versions: dict[str, str] = {}
    kind = settings.frontend.kind
    made_by = (kind,) if kind != LFB else ()
    clips = []
    for key, (recording, start, end) in _read_spans(data, wavs).items():
        wav = wavs[recording]
        version = versions.setdefault(wav, _version(wav))
        identity = (
            VERSION,
            wav,
            version,
            start,
            end,
            settings.num_mels,
            settings.compress,
            settings.resample,
            settings.channel,
            *made_by,
        )
        fingerprint = digests.of_text(repr(identity), "sha1")[: digests.SHORT]
        clips.append(Clip(key, wav, start, end, fingerprint))
    return clips


def read_made(arks: Path, name: str) -> dict[str, Made]:
    """The results of earlier runs, the latest of each utterance."""
    made: dict[str, Made] = {}
    for _, stem in sorted(numbered(arks, name, "made")):
        ark_path = stem.with_name(stem.name + ".ark")
        if not ark_path.exists():
            continue
        try:
            made.update(_read_shard(stem, ark_path))
        except (InputError, ValueError) as error:
            print(
                f"warning: {stem}.made: its data on {ark_path} cannot be read ({error}); what "
                "no newer ark has of it is made again",
                file=sys.stderr,
            )
    return made


def _read_shard(stem: Path, ark_path: Path) -> dict[str, Made]:
    """The utterances of one ark; ValueError if its files are not what a run has written."""
    # The folder may have been moved since: only the offset is taken from the scp.
    offsets = {
        key: int(specifier.rpartition(":")[2])
        for key, specifier in tables.read_table(stem.with_name(stem.name + ".scp")).items()
    }
    if offsets:
        ark.check_end(ark_path, max(offsets.values()))
    made = {}
    for key, row in tables.read_table(stem.with_name(stem.name + ".made")).items():
        frames, seconds, fingerprint = row.split()
        feats = f"{ark_path}:{offsets[key]}" if key in offsets else None
        made[key] = Made(int(frames), float(seconds), fingerprint, feats)
    return made


def make_chunk(chunk: Chunk) -> Outcome:
    """Compute the features of some utterances and write them into one ark. Runs in a worker."""
    settings = chunk.settings
    make = settings.frontend
    durations: dict[str, tuple[int, float]] = {}
    broken: dict[str, str] = {}
    files = {kind: chunk.stem.with_name(f"{chunk.stem.name}.{kind}") for kind in KINDS}
    # Segments of one recording mostly follow each other: its command runs once for them.
    output = lru_cache(maxsize=1)(pipes.run)
    with ark.Writer(files["ark"], files["scp"], compress=settings.compress) as write:
        for clip in chunk.clips:
            try:
                is_pipe = settings.allow_pipes and pipes.is_pipe(clip.wav)
                samples = audio.load(
                    io.BytesIO(output(clip.wav)) if is_pipe else clip.wav,
                    clip.start,
                    clip.end,
                    resample=settings.resample,
                    channel=settings.channel,
                    name=clip.wav,
                )
                features = make(samples)
            except InputError as error:
                broken[clip.id] = str(error)
                continue
            durations[clip.id] = len(features), len(samples) / audio.SAMPLE_RATE
            if len(features):
                write(clip.id, features)
    prints = {clip.id: clip.fingerprint for clip in chunk.clips}
    made = {
        key: Made(frames, seconds, prints[key], write.specifiers.get(key))
        for key, (frames, seconds) in durations.items()
    }
    tables.write_table(
        files["made"],
        {
            key: f"{row.num_frames} {row.duration:.6f} {row.fingerprint}"
            for key, row in made.items()
        },
    )
    return Outcome(made, broken)


def _read_wavs(data: Path, allow_pipes: bool) -> dict[str, str]:
    path = data / "wav.scp"
    if not data.is_dir():
        raise InputError(f"{data}: no such data dir (a folder with at least wav.scp and utt2spk)")
    if not path.exists():
        raise InputError(f"{data}: has no wav.scp; features are made of audio")
    resolve = kaldi_dir.path_resolver(data)
    wavs = tables.read_table(path)
    for line, (key, wav) in enumerate(wavs.items(), 1):
        if pipes.is_pipe(wav) and not allow_pipes:
            raise InputError(
                f"{path}:{line}: {key!r} is a shell command ({wav!r}), which would be "
                "executed; allow that with --allow_pipes if you trust it"
            )
        wavs[key] = resolve(wav)
    return wavs


def _read_spans(
    data: Path, wavs: dict[str, str]
) -> dict[str, tuple[str, float | None, float | None]]:
    """Recording, start and end (s) of each utterance."""
    speakers = tables.read_table(data / "utt2spk")
    path = data / "segments"
    if not path.exists():
        kaldi_dir.check_ids(data / "wav.scp", wavs, speakers)
        return {key: (key, None, None) for key in wavs}
    segments = tables.read_table(path)
    kaldi_dir.check_ids(path, segments, speakers)
    spans: dict[str, tuple[str, float | None, float | None]] = {}
    for line, (key, value) in enumerate(segments.items(), 1):
        try:
            spans[key] = kaldi_dir.parse_segment(value)
        except ValueError as error:
            raise InputError(f"{path}:{line}: {error}") from None
        if spans[key][0] not in wavs:
            raise InputError(
                f"{path}:{line}: the recording {spans[key][0]!r} of {key!r} is not in "
                "wav.scp; add it or drop the segment"
            )
    return spans


def remove_unfinished(arks: Path, name: str) -> None:
    """Remove arks without a `.made`, left by killed processes.

    Once the data dir's tables are written, nothing refers to one.
    """
    for kind in ("ark", "scp"):
        for _, stem in list(numbered(arks, name, kind)):
            if not stem.with_name(stem.name + ".made").exists():
                stem.with_name(f"{stem.name}.{kind}").unlink()


def _version(wav: str) -> str:
    """A value that changes when an audio file is written again; the same for all missing files.

    Of a pipe: when a file that its command names is written again.
    """
    if pipes.is_pipe(wav):
        files = [word.strip("'\"") for word in wav.split()]
        return " ".join(_version(file) for file in files if os.path.isfile(file)) or "none"
    try:
        status = os.stat(wav)
    except OSError:
        return "none"
    return f"{status.st_size} {status.st_mtime_ns}"


def numbered(arks: Path, name: str, kind: str) -> Iterator[tuple[int, Path]]:
    """Number, and path without suffix, of the files of one name."""
    if arks.is_dir():
        pattern = re.compile(rf"({re.escape(name)}\.(\d+))\.{kind}")
        for file in os.listdir(arks):
            if match := pattern.fullmatch(file):
                yield int(match[2]), arks / match[1]
