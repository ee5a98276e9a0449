"""People reading aloud: recordings of public corpora, written as data dirs.

    oddities = Oddities()
    kept = usable(speechocean(folder, "train"), oddities)
    write(Path("data/people_train"), kept)

`text` is normalised, `text.raw` is as published, `utt2group` names the corpus, `license` says its
licence. Knows no recipe.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from atat.base.errors import InputError
from atat.datadir import corpus_librispeech, kaldi_dir, licence, tables
from atat.datadir.corpus import Oddities
from atat.speech import audio
from atat.text.normalize import normalize

SPEECHOCEAN = "https://www.openslr.org/101"
SPEECHOCEAN_PARTS = ("train", "test")


@dataclass(frozen=True)
class Recording:
    """A recording as a corpus has it; `text` is as published."""

    id: str
    speaker: str
    wav: Path
    text: str
    corpus: str
    license: str = ""  # of the corpus


def speechocean(folder: Path, part: str) -> list[Recording]:
    """The recordings of `train` or `test` of speechocean762, ids prefixed by `so<speaker>-`.

    Raises InputError when the folder has another layout.
    """
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
    recordings, license_ = [], licence.of_corpus(folder, "speechocean762")
    for number, (key, wav) in enumerate(wavs.items(), 1):
        if key not in texts or key not in speakers:
            raise InputError(
                f"{dir_of_part / 'wav.scp'}:{number}: {key!r} is missing in text or "
                "utt2spk; fetch the corpus again or drop the line"
            )
        speaker = f"so{speakers[key]}"
        recordings.append(
            Recording(
                f"{speaker}-{key}", speaker, folder / wav, texts[key], "speechocean762", license_
            )
        )
    return recordings


def librispeech(folder: Path, oddities: Oddities) -> list[Recording]:
    """Recordings of all that is found of LibriSpeech below a folder."""
    license_ = licence.of_corpus(folder, "LibriSpeech")
    return [
        Recording(one.id, one.speaker, one.flac, one.text, "librispeech", license_)
        for one in corpus_librispeech.read_everything(folder, oddities)
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


def write(folder: Path, recordings: Sequence[tuple[Recording, float]]) -> None:
    """Write a data dir with text, text.raw, utt2dur and utt2group; nothing for no recordings."""
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
    licence.write(folder, *{one.license for one, _ in recordings})
    tables.write_table(folder / "text.raw", {one.id: one.text for one, _ in recordings})
    tables.write_table(folder / "utt2group", {one.id: one.corpus for one, _ in recordings})
    hours = sum(seconds for _, seconds in recordings) / 3600
    speakers = len({one.speaker for one, _ in recordings})
    print(f"{folder}: {len(recordings)} utterances, {speakers} speakers, {hours:.2f} hours")
