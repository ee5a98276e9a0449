"""The LFB stage: the audio of data dirs into arks, shared out over processes.

    atat features --data data/train --arks lfb --nj 4

Writes ARKS/raw_lfb_<name of the data dir>.<n>.{ark,scp,made}, a few hundred utterances each, and
feats.scp, utt2num_frames and utt2dur into the data dir. An ark counts once its `.made` is there: a
table `<utterance> <frames> <seconds> <fingerprint of audio and options>`, by which a rerun finds
what is still to do, whatever --nj it has and however the data dir has changed.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from atat.base import cli, digests, lock, parallel, pipes
from atat.base.errors import InputError
from atat.base.files import remove_leftovers
from atat.datadir import ark, tables
from atat.datadir.lost import report as report_lost
from atat.speech import audio
from atat.speech.fbank import Options, lfb

# Goes up when the numbers change, so that arks from before are made again.
VERSION = 1
# Utterances of one ark: what a crash may cost.
CHUNK = 500
# Lost utterances worth listing before a run that has lost too many stops.
ENOUGH_LOST = 100


@dataclass(frozen=True)
class Settings:
    """How the audio of a data dir becomes features."""

    num_mels: int = 80
    compress: bool = False
    resample: bool = False
    channel: int | None = None
    allow_pipes: bool = False


@dataclass(frozen=True)
class Piece:
    """The audio of one utterance."""

    id: str
    wav: str
    start: float | None  # seconds into the recording; None = the whole file
    end: float | None
    fingerprint: str  # of the audio file and the settings


@dataclass(frozen=True)
class Made:
    """An utterance that was dealt with; `feats` is None where it is shorter than one frame."""

    num_frames: int
    duration: float
    fingerprint: str
    feats: str | None


@dataclass(frozen=True)
class Chunk:
    """The utterances of one ark, and where it goes."""

    stem: Path
    pieces: Sequence[Piece]
    settings: Settings


@dataclass(frozen=True)
class Outcome:
    """What became of a chunk: what was made, and why some audio could not be read."""

    made: dict[str, Made]
    broken: dict[str, str]


def make(
    data: str | Path,
    arks: str | Path,
    *,
    nj: int = 1,
    settings: Settings = Settings(),
    max_lost: float = 0.01,
) -> None:
    """Compute what is missing of a data dir's features, then write its three tables.

    Utterances that are too short or whose audio is broken are listed in ARKS/raw_lfb_<name>.lost,
    counted, and dropped from all tables (the old ones go to DATA/.backup); more than `max_lost` (a
    share) of them is an InputError, which leaves the data dir as it was and all finished arks in
    place. So is another extraction at work in ARKS.
    """
    data, arks = Path(data), Path(os.path.abspath(arks))
    pieces = read_pieces(data, settings)
    with lock.hold(arks, f"feature extraction of {data}"):
        _make(data, arks, pieces, nj, settings, max_lost)


def _make(
    data: Path, arks: Path, pieces: Sequence[Piece], nj: int, settings: Settings, max_lost: float
) -> None:
    name = f"raw_lfb_{data.resolve().name}"
    remove_leftovers(arks, f"{name}.*")
    made = read_made(arks, name)
    missing = [piece for piece in pieces if not _is_made(piece, made)]
    lost = _too_short({piece.id: made[piece.id] for piece in pieces if _is_made(piece, made)})
    for outcome in _compute(arks, name, missing, nj, settings, data):
        made.update(outcome.made)
        lost.update(outcome.broken | _too_short(outcome.made))
        # Enough to see what is wrong, without going through a whole corpus at 8 kHz.
        if len(lost) > max(max_lost * len(pieces), ENOUGH_LOST):
            break
    report_lost(
        lost,
        len(pieces),
        max_lost,
        "give no features",
        "fix or drop them (what is finished is kept)",
        data=data,
        path=arks / f"{name}.lost",
    )
    rows = {piece.id: made[piece.id] for piece in pieces if piece.id not in lost}
    tables.write_tables(
        data,
        {
            "feats.scp": {key: str(row.feats) for key, row in rows.items()},
            "utt2num_frames": {key: str(row.num_frames) for key, row in rows.items()},
            "utt2dur": {key: tables.seconds(row.duration) for key, row in rows.items()},
        },
    )
    _remove_unfinished(arks, name)
    if lost:
        _drop_elsewhere(data, max_lost, settings.allow_pipes)
    hours = sum(row.duration for row in rows.values()) / 3600
    print(f"{data}: features of {len(rows)} utterances, {hours:.2f} h ({len(missing)} made now)")


def read_pieces(data: Path, settings: Settings) -> list[Piece]:
    """What a data dir has to be computed, by utterance id.

    Unlike `kaldi.load` it does not mind feats.scp, which may be of before the dir has grown.
    """
    wavs = _read_wavs(data, settings.allow_pipes)
    versions: dict[str, str] = {}
    pieces = []
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
        )
        fingerprint = digests.of_text(repr(identity), "sha1")[: digests.SHORT]
        pieces.append(Piece(key, wav, start, end, fingerprint))
    return pieces


def read_made(arks: Path, name: str) -> dict[str, Made]:
    """What earlier runs have made, the latest of each utterance."""
    made: dict[str, Made] = {}
    for _, stem in sorted(_numbered(arks, name, "made")):
        ark_path = stem.with_name(stem.name + ".ark")
        if not ark_path.exists():
            continue
        try:
            made.update(_read_shard(stem, ark_path))
        except (InputError, ValueError) as error:
            print(
                f"warning: {stem}.made: what it says of {ark_path} cannot be read ({error}); its "
                "utterances are made again",
                file=sys.stderr,
            )
    return made


def _read_shard(stem: Path, ark_path: Path) -> dict[str, Made]:
    """What was made into one ark; ValueError where that is not what a run has written."""
    offsets = tables.read_table(stem.with_name(stem.name + ".scp"))
    made = {}
    for key, row in tables.read_table(stem.with_name(stem.name + ".made")).items():
        frames, seconds, fingerprint = row.split()
        # The folder may have been moved since: only the offset is taken from the scp.
        offset = offsets[key].rpartition(":")[2] if key in offsets else None
        feats = None if offset is None else f"{ark_path}:{offset}"
        made[key] = Made(int(frames), float(seconds), fingerprint, feats)
    return made


def make_chunk(chunk: Chunk) -> Outcome:
    """Compute the features of some utterances and write them into one ark. Runs in a worker."""
    settings = chunk.settings
    durations: dict[str, tuple[int, float]] = {}
    broken: dict[str, str] = {}
    files = {
        kind: chunk.stem.with_name(f"{chunk.stem.name}.{kind}") for kind in ("ark", "scp", "made")
    }
    with ark.Writer(files["ark"], files["scp"], compress=settings.compress) as write:
        for piece in chunk.pieces:
            try:
                samples = audio.load(
                    piece.wav,
                    piece.start,
                    piece.end,
                    resample=settings.resample,
                    channel=settings.channel,
                    allow_pipes=settings.allow_pipes,
                )
            except InputError as error:
                broken[piece.id] = str(error)
                continue
            features = lfb(samples, num_mels=settings.num_mels)
            durations[piece.id] = len(features), len(samples) / audio.SAMPLE_RATE
            if len(features):
                write(piece.id, features)
    prints = {piece.id: piece.fingerprint for piece in chunk.pieces}
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
    resolve = tables.path_resolver(data)
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
        tables.check_ids(data / "wav.scp", wavs, speakers)
        return {key: (key, None, None) for key in wavs}
    segments = tables.read_table(path)
    tables.check_ids(path, segments, speakers)
    spans: dict[str, tuple[str, float | None, float | None]] = {}
    for line, (key, value) in enumerate(segments.items(), 1):
        try:
            spans[key] = tables.parse_segment(value)
        except ValueError as error:
            raise InputError(f"{path}:{line}: {error}") from None
        if spans[key][0] not in wavs:
            raise InputError(
                f"{path}:{line}: the recording {spans[key][0]!r} of {key!r} is not in "
                "wav.scp; add it or drop the segment"
            )
    return spans


def _compute(
    arks: Path, name: str, pieces: Sequence[Piece], nj: int, settings: Settings, data: Path
) -> Iterator[Outcome]:
    """The outcomes of all chunks, under a progress bar."""
    if not pieces:
        return
    from tqdm import tqdm

    size = max(1, min(CHUNK, math.ceil(len(pieces) / (4 * nj))))
    first = 1 + max((number for number, _ in _numbered(arks, name, "ark")), default=0)
    chunks = [
        Chunk(arks / f"{name}.{first + start // size}", pieces[start : start + size], settings)
        for start in range(0, len(pieces), size)
    ]
    seconds = 0.0
    with tqdm(total=len(pieces), desc=str(data), unit="utt") as progress:
        for outcome in parallel.run(make_chunk, chunks, nj):
            seconds += sum(row.duration for row in outcome.made.values())
            progress.update(len(outcome.made) + len(outcome.broken))
            rate = seconds / max(progress.format_dict["elapsed"], 1e-3)
            progress.set_postfix_str(f"{rate:.0f} s of audio/s")
            yield outcome


def _remove_unfinished(arks: Path, name: str) -> None:
    """Remove arks of processes that were killed before they said what is in them.

    Once the data dir's tables are written nothing refers to one.
    """
    for kind in ("ark", "scp"):
        for _, stem in list(_numbered(arks, name, kind)):
            if not stem.with_name(stem.name + ".made").exists():
                stem.with_name(f"{stem.name}.{kind}").unlink()


def _drop_elsewhere(data: Path, max_lost: float, allow_pipes: bool) -> None:
    """Take utterances that have no features out of all tables, so that the data dir loads."""
    from atat.datadir import repair
    from atat.datadir.check_audio import AudioOptions

    options = AudioOptions(check_audio=False, allow_pipes=allow_pipes)
    plan = repair.plan(data, options)
    repair.apply(plan, max_lost=max_lost)
    print(f"{plan}\nthe old files are in {data}/.backup", file=sys.stderr)


def _is_made(piece: Piece, made: dict[str, Made]) -> bool:
    return piece.id in made and made[piece.id].fingerprint == piece.fingerprint


def _too_short(made: dict[str, Made]) -> dict[str, str]:
    frame = Options().frame_length
    return {
        key: f"lasts {row.duration:.4f} s, shorter than one frame of {frame} s"
        for key, row in made.items()
        if row.feats is None
    }


def _version(wav: str) -> str:
    """What changes when an audio file is written anew; the same for all that is not there."""
    try:
        status = os.stat(wav)
    except OSError:
        return "none"
    return f"{status.st_size} {status.st_mtime_ns}"


def _numbered(arks: Path, name: str, kind: str) -> Iterator[tuple[int, Path]]:
    """Number and path without ending of the files of one kind."""
    if arks.is_dir():
        pattern = re.compile(rf"({re.escape(name)}\.(\d+))\.{kind}")
        for file in os.listdir(arks):
            if match := pattern.fullmatch(file):
                yield int(match[2]), arks / match[1]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="atat features",
        description=cli.guide(
            "Compute log-mel filterbanks (LFB) of the recordings of data dirs. A rerun "
            "computes only what is missing.",
            "atat features --data data/train data/dev --arks lfb --nj 4",
            reads="DATA/wav.scp, DATA/segments where there is one, and the recordings they name.",
            writes="ARKS/raw_lfb_NAME.N.ark and .scp, where NAME is the data dir's; "
            "feats.scp, utt2num_frames and utt2dur in the data dir.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    parser.add_argument("--data", nargs="+", required=True, help="data dirs with wav.scp")
    parser.add_argument("--arks", required=True, help="folder for the arks")
    parser.add_argument("--nj", type=int, default=1, help="processes, each on one core")
    parser.add_argument("--num_mels", type=int, default=80, help="mel bins")
    parser.add_argument(
        "--compress",
        action="store_true",
        help="a quarter of the size (Kaldi's compression 2; error up to 0.1)",
    )
    parser.add_argument("--resample", action="store_true", help="convert audio of other rates")
    parser.add_argument("--channel", type=int, help="which channel of several, from 0")
    parser.add_argument(
        "--allow_pipes", action="store_true", help="run shell commands that stand in wav.scp"
    )
    parser.add_argument(
        "--max_lost", type=float, default=0.01, help="share of utterances that may give no features"
    )
    arguments = parser.parse_args(argv)
    cli.check_positive(arguments, "nj", "num_mels")
    settings = Settings(
        arguments.num_mels,
        arguments.compress,
        arguments.resample,
        arguments.channel,
        arguments.allow_pipes,
    )
    for data in arguments.data:
        make(data, arguments.arks, nj=arguments.nj, settings=settings, max_lost=arguments.max_lost)
