"""The feature stage: computes arks of features from the audio of data dirs, in several processes.

    atat features --data data/train --arks lfb --nj 4
    atat features --data data/train --arks mfcc --nj 4 --kind mfcc
    atat features --data data/train --arks states --nj 4 --encoder moonshine-tiny

Writes ARKS/raw_lfb_<name of the data dir>.<n>.{ark,scp,made}, a few hundred utterances each, and
feats.scp, utt2num_frames and utt2dur into the data dir; of MFCC and of an encoder's states, which
have their name instead of lfb, feats_type and frame_shift, too. A rerun makes what is missing (see
`feature_arks`), with any --nj and after any change of the data dir.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from atat.base import cli, lock, parallel, permissions
from atat.base.errors import InputError
from atat.base.files import remove_leftovers
from atat.datadir import feats_type, repair, tables
from atat.datadir.feature_arks import (
    KINDS,
    Chunk,
    Clip,
    Made,
    Outcome,
    Settings,
    make_chunk,
    numbered,
    read_clips,
    read_made,
    remove_unfinished,
)
from atat.datadir.lost import report as report_lost
from atat.speech import audio
from atat.speech.frontend import LFB, MFCC, Frontend

# Utterances of one ark; a crash may cost as many.
CHUNK = 500
# Lost utterances worth listing before a run that has lost too many stops.
ENOUGH_LOST = 100


def make(
    data: str | Path,
    arks: str | Path,
    *,
    nj: int = 1,
    settings: Settings = Settings(),
    max_lost: float = 0.01,
) -> None:
    """Compute the missing features of a data dir, then write its three tables.

    Utterances that are too short or whose audio is broken are listed in ARKS/raw_lfb_<name>.lost,
    counted, and dropped from all tables (the old ones go to DATA/.backup). More than `max_lost` (a
    share) of them, or all, is an InputError, which leaves the data dir unchanged and all finished
    arks in place. Another extraction running in ARKS is an InputError, too, and so is a data dir
    without utterances.
    """
    data, arks = Path(data), Path(os.path.abspath(arks))
    tables.refuse_line_breaks(arks / data.resolve().name)  # of which arks have their names
    clips = read_clips(data, settings)
    if not clips:
        raise InputError(f"{data / 'utt2spk'}: empty, there is nothing to make features of")
    permissions.check(data, "its tables of the features cannot be written")
    with lock.hold(arks, f"feature extraction of {data}"):
        _make(data, arks, clips, nj, settings, max_lost)


def _make(
    data: Path, arks: Path, clips: Sequence[Clip], nj: int, settings: Settings, max_lost: float
) -> None:
    made_by = settings.frontend
    name = f"raw_{settings.name}_{data.resolve().name}"
    remove_leftovers(arks, f"{name}.*")
    made = read_made(arks, name)
    missing = [clip for clip in clips if not _is_made(clip, made)]
    lost = _too_short({clip.id: made[clip.id] for clip in clips if _is_made(clip, made)}, made_by)
    for outcome in _compute(arks, name, missing, nj, settings, data):
        made.update(outcome.made)
        lost.update(outcome.broken | _too_short(outcome.made, made_by))
        # Enough to see what is wrong, without going through a whole corpus at 8 kHz.
        if len(lost) > max(max_lost * len(clips), ENOUGH_LOST):
            break
    report_lost(
        lost,
        len(clips),
        max_lost,
        "give no features",
        "fix or drop them (what is finished is kept)",
        data=data,
        path=arks / f"{name}.lost",
    )
    if lost:
        repair.check_droppable(data, lost)
    rows = {clip.id: made[clip.id] for clip in clips if clip.id not in lost}
    tables.write_tables(
        data,
        {
            "feats.scp": {key: str(row.feats) for key, row in rows.items()},
            "utt2num_frames": {key: str(row.num_frames) for key, row in rows.items()},
            "utt2dur": {key: tables.seconds(row.duration) for key, row in rows.items()},
            **feats_type.tables_of(made_by),
        },
        remove=(feats_type.KIND, feats_type.SHIFT) if made_by.kind == LFB else (),
    )
    remove_unfinished(arks, name)
    if lost:
        repair.drop(data, lost)
        print(
            f"{data}: {len(lost)} dropped from all tables; the old files are in {data}/.backup",
            file=sys.stderr,
        )
    hours = sum(row.duration for row in rows.values()) / 3600
    print(f"{data}: features of {len(rows)} utterances, {hours:.2f} h ({len(missing)} made now)")


def _compute(
    arks: Path, name: str, clips: Sequence[Clip], nj: int, settings: Settings, data: Path
) -> Iterator[Outcome]:
    """The outcomes of all chunks, under a progress bar."""
    if not clips:
        return
    from tqdm import tqdm

    size = max(1, min(CHUNK, math.ceil(len(clips) / (4 * nj))))
    # Also beyond those of an ark that was deleted: its other files are not of a new one.
    first = 1 + max((n for kind in KINDS for n, _ in numbered(arks, name, kind)), default=0)
    chunks = [
        Chunk(arks / f"{name}.{first + start // size}", clips[start : start + size], settings)
        for start in range(0, len(clips), size)
    ]
    seconds = 0.0
    with tqdm(total=len(clips), desc=str(data), unit="utt") as progress:
        for outcome in parallel.run(make_chunk, chunks, parallel.processes(nj, len(clips))):
            seconds += sum(row.duration for row in outcome.made.values())
            progress.update(len(outcome.made) + len(outcome.broken))
            rate = seconds / max(progress.format_dict["elapsed"], 1e-3)
            progress.set_postfix_str(f"{rate:.0f} s of audio/s")
            yield outcome


def _is_made(clip: Clip, made: dict[str, Made]) -> bool:
    return clip.id in made and made[clip.id].fingerprint == clip.fingerprint


def _too_short(made: dict[str, Made], made_by: Frontend) -> dict[str, str]:
    frame = made_by.shortest / audio.SAMPLE_RATE
    return {
        key: f"lasts {row.duration:.4f} s, shorter than one frame of {frame:.3g} s"
        for key, row in made.items()
        if row.feats is None
    }


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        prog="atat features",
        description=cli.guide(
            "Compute log-mel filterbanks (LFB) of the recordings of data dirs, or MFCC, or the "
            "states of a pretrained speech encoder. A rerun computes only what is missing.",
            "atat features --data data/train data/dev --arks lfb --nj 4",
            "atat features --data data/train --arks mfcc --kind mfcc",
            "atat features --data data/train --arks states --nj 4 --encoder moonshine-tiny",
            "atat features --data data/train --arks layers --encoder facebook/hubert-base-ls960 "
            "--layers all",
            reads="DATA/wav.scp, DATA/segments where there is one, and the recordings they name.",
            writes="ARKS/raw_lfb_NAME.N.ark and .scp, where NAME is the data dir's; "
            "feats.scp, utt2num_frames and utt2dur in the data dir; of MFCC and of an encoder "
            "feats_type and frame_shift, too.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    parser.add_argument("--data", nargs="+", required=True, help="data dirs with wav.scp")
    parser.add_argument("--arks", required=True, help="folder for the arks")
    parser.add_argument("--nj", type=int, default=1, help="processes, each on one core")
    parser.add_argument("--num_mels", type=int, default=80, help="mel bins of lfb")
    parser.add_argument(
        "--kind",
        choices=(LFB, MFCC),
        default=LFB,
        help="log-mel filterbanks, or 13 MFCC with first and second differences (39 values)",
    )
    parser.add_argument(
        "--encoder",
        help="the states of this encoder instead of filterbanks: a name that `atat encoder list` "
        "shows, or a folder or hub name of a speech encoder of transformers",
    )
    parser.add_argument(
        "--layers",
        choices=("last", "all"),
        default="last",
        help="whose states: the encoder's last layer's, or all layers' side by side, as many times "
        "as large (audio_encoder.layers_read: all)",
    )
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
    if arguments.layers != "last" and not arguments.encoder:
        raise InputError(f"--layers {arguments.layers} is of an encoder; name it with --encoder")
    if arguments.kind != LFB and arguments.encoder:
        raise InputError(f"--kind {arguments.kind} and --encoder are different features; give one")
    settings = Settings(
        arguments.num_mels,
        arguments.compress,
        arguments.resample,
        arguments.channel,
        arguments.allow_pipes,
        arguments.encoder,
        arguments.layers,
        arguments.kind,
    )
    for data in arguments.data:
        make(data, arguments.arks, nj=arguments.nj, settings=settings, max_lost=arguments.max_lost)
