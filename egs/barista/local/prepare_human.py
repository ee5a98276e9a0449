"""Human speech of other corpora, with its transcripts, for the asr task.

    python local/prepare_human.py --speechocean ~/speechocean762 --librispeech ~/LibriSpeech \\
        --out data

writes `human_train` and `human_dev` (other speakers of the same material); `utt2group` names the
corpus. Both corpora are optional. Of LibriSpeech every subset counts that is found below the
folder, and of speechocean762 the test speakers too: here they are out-of-domain speech, and nothing
of them is tested on. `text` is normalised, `text.raw` is not.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.base.files import read_lines
from atat.datadir import tables as kaldi
from atat.datadir.folds import is_dev
from atat.speech import audio
from atat.text.normalize import normalize

SPEECHOCEAN = "https://www.openslr.org/101"
LIBRISPEECH = "https://www.openslr.org/12"


@dataclass(frozen=True)
class Recording:
    """A recording as a corpus has it; `text` is as published."""

    id: str
    speaker: str
    wav: Path
    text: str
    corpus: str


def speechocean(folder: Path, part: str) -> list[Recording]:
    """Recordings of one part, train or test. Ids get the prefix of their speaker, `so<speaker>-`.

    Raises InputError when the folder has another layout.
    """
    tables = folder / part
    if not (tables / "wav.scp").is_file():
        raise InputError(
            f"{folder}: no {part}/wav.scp; expected speechocean762 with the folders "
            f"train, test and WAVE (fetch it from {SPEECHOCEAN})"
        )
    # Its files put tabs between the columns, and speaker ids are no prefix of utterance ids.
    wavs, texts, speakers = (
        kaldi.read_table(tables / name) for name in ("wav.scp", "text", "utt2spk")
    )
    recordings = []
    for number, (key, wav) in enumerate(wavs.items(), 1):
        if key not in texts or key not in speakers:
            raise InputError(
                f"{tables / 'wav.scp'}:{number}: {key!r} is missing in text or "
                "utt2spk; fetch the corpus again or drop the line"
            )
        speaker = f"so{speakers[key]}"
        recordings.append(
            Recording(f"{speaker}-{key}", speaker, folder / wav, texts[key], "speechocean762")
        )
    return recordings


def librispeech(folder: Path) -> list[Recording]:
    """Recordings of all subsets below a folder: <speaker>/<chapter>/*.flac and *.trans.txt.

    Raises InputError when there are none.
    """
    recordings = []
    for transcript in sorted(folder.rglob("*.trans.txt")):
        for number, line in enumerate(read_lines(transcript), 1):
            key, _, text = line.partition(" ")
            speaker = key.split("-")[0]
            if key.count("-") != 2 or not text.strip():
                raise InputError(
                    f"{transcript}:{number}: found {line[:60]!r}, expected "
                    "`<speaker>-<chapter>-<number> <WORDS>`"
                )
            wav = transcript.with_name(f"{key}.flac")
            recordings.append(Recording(key, speaker, wav, text, "librispeech"))
    if not recordings:
        raise InputError(
            f"{folder}: no *.trans.txt below it; expected LibriSpeech, as it is "
            f"unpacked from {LIBRISPEECH} (any subset will do)"
        )
    return recordings


def usable(recordings: Iterable[Recording], max_lost: float) -> list[tuple[Recording, float]]:
    """Recordings which can be read, with their lengths in s; the others are listed.

    Raises InputError when more than the share `max_lost` is lost.
    """
    good, lost = [], []
    for recording in recordings:
        try:
            if not normalize(recording.text):
                raise InputError(f"{recording.id}: no words in its transcript {recording.text!r}")
            good.append((recording, audio.duration(recording.wav)))
        except InputError as error:
            lost.append(str(error))
    for message in lost[:20]:
        print(f"left out: {message}")
    if len(lost) > 20:
        print(f"left out: {len(lost) - 20} more")
    if len(lost) > max_lost * (len(good) + len(lost)):
        raise InputError(
            f"{len(lost)} of {len(good) + len(lost)} recordings cannot be used, more "
            f"than --max_lost {max_lost:g}; the first: {lost[0]}"
        )
    return good


def write(folder: Path, recordings: list[tuple[Recording, float]]) -> None:
    """Write a data dir with text, text.raw, utt2dur and utt2group."""
    if not recordings:
        print(f"{folder}: nothing for it, not written")
        return
    kaldi.write(
        folder,
        (
            kaldi.Utterance(
                id=one.id,
                speaker=one.speaker,
                wav=str(one.wav.resolve()),
                duration=seconds,
                text=normalize(one.text),
            )
            for one, seconds in recordings
        ),
    )
    kaldi.write_table(folder / "text.raw", {one.id: one.text for one, _ in recordings})
    kaldi.write_table(folder / "utt2group", {one.id: one.corpus for one, _ in recordings})
    hours = sum(seconds for _, seconds in recordings) / 3600
    speakers = len({one.speaker for one, _ in recordings})
    print(f"{folder}: {len(recordings)} utterances, {speakers} speakers, {hours:.2f} hours")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0] + " Example: python local/prepare_human.py "
        "--speechocean ~/speechocean762 --librispeech ~/LibriSpeech --out data",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--speechocean", type=Path, help="the folder of speechocean762")
    parser.add_argument("--librispeech", type=Path, help="a folder with subsets of LibriSpeech")
    parser.add_argument("--out", type=Path, default=Path("data"), help="where data dirs go")
    parser.add_argument(
        "--dev_share", type=float, default=0.05, help="share of the speakers kept for the dev set"
    )
    parser.add_argument(
        "--max_lost",
        type=float,
        default=0.01,
        help="share of recordings that may be unusable before it is an error",
    )
    options = parser.parse_args(argv)
    recordings: list[Recording] = []
    if options.speechocean is not None:
        for part in ("train", "test"):
            recordings += speechocean(options.speechocean, part)
    if options.librispeech is not None:
        recordings += librispeech(options.librispeech)
    if not recordings:
        raise InputError("no corpus given; name one or both: --speechocean DIR --librispeech DIR")
    good = usable(recordings, options.max_lost)
    for part in ("train", "dev"):
        chosen = [
            pair for pair in good if is_dev(pair[0].speaker, options.dev_share) == (part == "dev")
        ]
        write(options.out / f"human_{part}", chosen)


if __name__ == "__main__":
    cli.run(main)
