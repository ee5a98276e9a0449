"""Human speech of other corpora, with its transcripts, for the asr task.

    python local/prepare_human.py --speechocean ~/speechocean762 --librispeech ~/LibriSpeech \\
        --out data

writes `human_train` and `human_dev` (other speakers of the same material); `utt2group` names the
corpus. Both corpora are optional. Of LibriSpeech every subset counts that is found below the
folder, and of speechocean762 the test speakers too: here they are out-of-domain speech, and nothing
of them is tested on. `text` is normalised, `text.raw` is not. What cannot be used is listed in
`human_findings_<corpus>.txt`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import kaldi_dir, tables
from atat.datadir.corpus import Oddities
from atat.datadir.corpus_librispeech import read_everything
from atat.datadir.folds import is_dev
from atat.speech import audio
from atat.text.normalize import normalize

SPEECHOCEAN = "https://www.openslr.org/101"


@dataclass(frozen=True)
class Recording:
    """A recording as a corpus has it; `text` is as published."""

    id: str
    speaker: str
    wav: Path
    text: str
    corpus: str


def speechocean(folder: Path, _: Oddities) -> list[Recording]:
    """All recordings. Ids get the prefix of their speaker, `so<speaker>-`.

    Raises InputError when the folder has another layout.
    """
    recordings = []
    for part in ("train", "test"):
        dir_of_part = folder / part
        if not (dir_of_part / "wav.scp").is_file():
            raise InputError(
                f"{folder}: no {part}/wav.scp; expected speechocean762 with the "
                f"folders train, test and WAVE (fetch it from {SPEECHOCEAN})"
            )
        # Its files put tabs between the columns, and speaker ids are no prefix of utterance ids.
        wavs, texts, speakers = (
            tables.read_table(dir_of_part / name) for name in ("wav.scp", "text", "utt2spk")
        )
        for number, (key, wav) in enumerate(wavs.items(), 1):
            if key not in texts or key not in speakers:
                raise InputError(
                    f"{dir_of_part / 'wav.scp'}:{number}: {key!r} is missing in text or "
                    "utt2spk; fetch the corpus again or drop the line"
                )
            speaker = f"so{speakers[key]}"
            recordings.append(
                Recording(f"{speaker}-{key}", speaker, folder / wav, texts[key], "speechocean762")
            )
    return recordings


def librispeech(folder: Path, oddities: Oddities) -> list[Recording]:
    """Recordings of all that is found of LibriSpeech below a folder."""
    return [
        Recording(one.id, one.speaker, one.flac, one.text, "librispeech")
        for one in read_everything(folder, oddities)
    ]


def usable(recordings: Iterable[Recording], oddities: Oddities) -> list[tuple[Recording, float]]:
    """Recordings that can be read, with their lengths in s; the others are oddities."""
    good = []
    for recording in recordings:
        if not normalize(recording.text):
            oddities.add(
                "transcript without words (left out)",
                f"{recording.id}: {recording.text!r}",
                lost=True,
            )
            continue
        try:
            good.append((recording, audio.duration(recording.wav)))
        except InputError as error:
            oddities.add("recording that cannot be read (left out)", str(error), lost=True)
    return good


def write(folder: Path, recordings: list[tuple[Recording, float]]) -> None:
    """Write a data dir with text, text.raw, utt2dur and utt2group."""
    if not recordings:
        print(f"{folder}: nothing for it, not written")
        return
    kaldi_dir.write(
        folder,
        (
            kaldi_dir.Utterance(
                id=one.id,
                speaker=one.speaker,
                wav=str(one.wav.resolve()),
                duration=seconds,
                text=normalize(one.text),
            )
            for one, seconds in recordings
        ),
    )
    tables.write_table(folder / "text.raw", {one.id: one.text for one, _ in recordings})
    tables.write_table(folder / "utt2group", {one.id: one.corpus for one, _ in recordings})
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
    corpora = [
        (folder, read)
        for folder, read in ((options.speechocean, speechocean), (options.librispeech, librispeech))
        if folder
    ]
    if not corpora:
        raise InputError("no corpus given; name one or both: --speechocean DIR --librispeech DIR")
    good = []
    for folder, read in corpora:
        oddities = Oddities()
        kept = usable(read(folder, oddities), oddities)
        oddities.close(
            options.out / f"human_findings_{read.__name__}.txt",
            kept=len(kept),
            max_lost=options.max_lost,
            corpus=folder,
        )
        good += kept
    for part in ("train", "dev"):
        chosen = [
            pair for pair in good if is_dev(pair[0].speaker, options.dev_share) == (part == "dev")
        ]
        write(options.out / f"human_{part}", chosen)


if __name__ == "__main__":
    cli.run(main)
