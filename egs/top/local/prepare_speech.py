"""Who says what in synthetic speech: data dirs with voices, ready for `atat synthesis`.

    python local/prepare_speech.py --data data --spoken 0 --tested 1915

takes sentences of `text_train`, `text_dev` and `text_test` and writes `tts_train`, `tts_dev` (in
the voices of training) and `tts_test` (in those of another engine). With `--librispeech_text`
there are `reading_train` and `reading_dev`, sentences that mean nothing to an assistant. Voices
stand in conf/voices.yaml. Makes no audio.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.datadir import kaldi_dir, licence, tables
from atat.prepare import voices
from atat.text.normalize import normalize

VOICES = Path(__file__).resolve().parent.parent / "conf" / "voices.yaml"
ENGINE = "engine"  # file in tts_test: who speaks it, for the table
DEV_SHARE = 20  # of sentences that are read, one in so many is dev


def spread(utterances: Sequence[kaldi_dir.Utterance], count: int) -> list[kaldi_dir.Utterance]:
    """`count` of them, evenly over the file; all for 0 or where there are no more."""
    if count == 0 or count >= len(utterances):
        return list(utterances)
    return [utterances[index * len(utterances) // count] for index in range(count)]


def write_spoken(
    folder: Path, sentences: Sequence[kaldi_dir.Utterance], speaking: Sequence[str], seed: int
) -> None:
    """Write a data dir in which every sentence has one of the voices, drawn by the seed.

    A folder that holds the same from an earlier run stays, with its audio.
    """
    rng = random.Random(f"{folder.name} {seed}")
    names = {
        voice: f"{folder.name.replace('_', '')}{number:02d}"
        for number, voice in enumerate(speaking)
    }
    spoken = []
    for sentence in sentences:
        speaker = names[rng.choice(speaking)]
        key = f"{speaker}-{sentence.id.rpartition('-')[2]}"
        spoken.append(replace(sentence, id=key, speaker=speaker))
    used = {utterance.speaker for utterance in spoken}
    columns: dict[str, dict[str, str]] = {
        "text": {utterance.id: utterance.text or "" for utterance in spoken},
        "utt2spk": {utterance.id: utterance.speaker for utterance in spoken},
        "spk2voice": {name: voice for voice, name in names.items() if name in used},
    }
    if all(utterance.semantics is not None for utterance in spoken):
        columns["semantics"] = {utterance.id: utterance.semantics or "" for utterance in spoken}
    voices.write_sentences(folder, columns)
    print(f"{folder}: {len(spoken)} sentences for {len(used)} voices")


def write_groups(folder: Path, text: Path) -> None:
    """Copy utt2group, flat or nested, from the sentences to those who say them."""
    groups = {
        key.rpartition("-")[2]: group
        for key, group in tables.read_table(text / "utt2group").items()
    }
    tables.write_table(
        folder / "utt2group",
        {key: groups[key.rpartition("-")[2]] for key in tables.read_table(folder / "utt2spk")},
    )


def read_sentences(path: Path, shortest: int, longest: int) -> dict[str, list[kaldi_dir.Utterance]]:
    """Sentences of a file of transcripts, `<utt> <WORDS>`, for train and dev."""
    parts: dict[str, list[kaldi_dir.Utterance]] = {"train": [], "dev": []}
    for number, transcript in enumerate(tables.read_table(path).values(), 1):
        text = normalize(transcript)
        if shortest <= len(text.split()) <= longest:
            part = "dev" if number % DEV_SHARE == 0 else "train"
            parts[part].append(kaldi_dir.Utterance(id=f"x-{number:06d}", speaker="x", text=text))
    if not all(parts.values()):
        raise InputError(
            f"{path}: too few sentences of {shortest} to {longest} words; expected "
            "lines `<utt> <WORDS>`, as many as LibriSpeech's dev-clean"
        )
    return parts


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/prepare_speech.py "
        "--data data --spoken 3000",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="where data dirs are")
    parser.add_argument("--spoken", type=int, default=0, help="sentences of train; 0 = all")
    parser.add_argument("--spoken_dev", type=int, default=500, help="sentences of dev; 0 = all")
    parser.add_argument("--tested", type=int, default=1915, help="sentences of test; 0 = all")
    parser.add_argument("--librispeech_text", type=Path, help="file of lines `<utt> <WORDS>`")
    parser.add_argument("--min_words", type=int, default=3, help="shortest sentence that is read")
    parser.add_argument("--max_words", type=int, default=20, help="longest sentence that is read")
    parser.add_argument("--voices", type=Path, default=VOICES, help="the voices of each part")
    parser.add_argument("--seed", type=int, default=1, help="draws who says what")
    options = parser.parse_args(argv)
    counts = {"train": options.spoken, "dev": options.spoken_dev, "test": options.tested}
    rng = random.Random(f"voices {options.seed}")
    for part, count in counts.items():
        folder, text = options.data / f"tts_{part}", options.data / f"text_{part}"
        cast = voices.cast(options.voices, "test" if part == "test" else "train", rng)[0]
        write_spoken(folder, spread(kaldi_dir.load(text), count), cast.voices, options.seed)
        licence.write(folder, licence.of(text))
        if part == "test":
            write_groups(folder, text)
            with atomic_write(folder / ENGINE) as stream:
                stream.write(f"{cast.engine}\n")
            print(f"the test is spoken by {len(cast.voices)} voices of {cast.engine}")
    if options.librispeech_text:
        parts = read_sentences(options.librispeech_text, options.min_words, options.max_words)
        cast = voices.cast(options.voices, "reading", rng)[0]
        for part, sentences in parts.items():
            folder = options.data / f"reading_{part}"
            write_spoken(folder, sentences, cast.voices, options.seed)
            licence.write(folder, licence.of_corpus(options.librispeech_text.parent, "LibriSpeech"))


if __name__ == "__main__":
    cli.run(main)
