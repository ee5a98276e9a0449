"""SNIPS smart lights as Kaldi data dirs: `data/close` and `data/far`.

    python local/prepare_snips.py --corpus ~/snips_slu_data_v1.0 --out data --fields close far

Each has wav.scp, utt2spk, utt2dur, text (normalised), text.raw (as published) and semantics.
A sentence and its recording are joined by their words, whatever their case, signs and line breaks.
Recordings of another rate than 16 kHz are converted, to `data/<field>/wavs`. `findings.txt` in
each lists everything odd. Sentences without a recording are a known gap of the corpus and no
loss; a recording without its sentence or its audio is one.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import smart_lights
from smart_lights import Recording, Sentence

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import kaldi_dir, licence, tables
from atat.datadir.corpus import Oddities
from atat.speech import audio
from atat.text import trees


def by_key(sentences: list[Sentence], oddities: Oddities) -> dict[str, Sentence]:
    """The sentences by what joins them with recordings; of two alike the first counts."""
    found: dict[str, Sentence] = {}
    for sentence in sentences:
        if not sentence.key:
            oddities.add("sentence without words (left out)", repr(sentence.text))
            continue
        first = found.setdefault(sentence.key, sentence)
        if first is not sentence:
            what = (
                "alike"
                if first.tree == sentence.tree
                else "with another meaning (the first counts)"
            )
            oddities.add(
                f"sentence annotated twice, {what}",
                f"{sentence.key}: {smart_lights.tree_text(first)}, "
                f"{smart_lights.tree_text(sentence)}",
            )
    return found


def utterances(
    folder: Path, field: str, sentences: Mapping[str, Sentence], out: Path, oddities: Oddities
) -> dict[str, tuple[Recording, kaldi_dir.Utterance]]:
    """The recordings that have a sentence and can be read, by utterance id."""
    made: dict[str, tuple[Recording, kaldi_dir.Utterance]] = {}
    used = set()
    for recording in smart_lights.recordings(folder):
        sentence = sentences.get(recording.key)
        used.add(recording.key)
        if sentence is None:
            oddities.add(
                "recording without a sentence (left out)",
                f"{recording.file}: {recording.text!r}",
                lost=True,
            )
            continue
        if "\n" in recording.text:
            oddities.add("text with a line break (read as a blank)", recording.file)
        if recording.text.split() != sentence.text.split():
            oddities.add(
                "text and sentence differ in case or signs (joined all the same)",
                f"{recording.file}: {recording.text!r}, {sentence.text!r}",
            )
        path = folder / smart_lights.AUDIO / recording.file
        if not path.is_file():
            oddities.add("recording that is not there (left out)", str(path), lost=True)
            continue
        stem = (
            f"{field}-{int(recording.number):04d}"
            if recording.number.isdigit()
            else (f"{field}-{recording.number}")
        )
        if not recording.speaker:
            oddities.add("speaker not told (one of its own)", recording.file)
        speaker = recording.speaker or stem
        key = stem if speaker == stem else f"{speaker}-{stem}"
        try:
            wav, seconds = readable(path, out / "wavs", oddities)
        except InputError as error:
            oddities.add("recording that cannot be read (left out)", str(error), lost=True)
            continue
        if trees.words(sentence.tree) != recording.key.split():
            oddities.add(
                "words of the tree unlike the text (both kept)",
                f"{recording.key} / {smart_lights.tree_text(sentence)}",
            )
        made[key] = (
            recording,
            kaldi_dir.Utterance(
                id=key,
                speaker=speaker,
                wav=str(wav),
                duration=seconds,
                text=recording.key,
                semantics=smart_lights.tree_text(sentence),
            ),
        )
    for key in sorted(sentences.keys() - used):
        oddities.add("sentence without a recording (no loss)", key)
    return made


def readable(path: Path, converted: Path, oddities: Oddities) -> tuple[Path, float]:
    """A recording at 16 kHz in one channel, and its length (s); InputError if it is broken."""
    info = audio.probe(path)
    if (info.sample_rate, info.channels) == (audio.SAMPLE_RATE, 1):
        return path, info.duration
    target = (converted / path.name).resolve()
    if not target.exists() or target.stat().st_mtime_ns < path.stat().st_mtime_ns:
        audio.save(target, audio.load(path, resample=True, channel=0))
    oddities.add(
        "recording converted to 16 kHz, one channel",
        f"{path}: {info.sample_rate} Hz, {info.channels} channels",
    )
    return target, audio.duration(target)


def prepare(corpus: Path, field: str, out: Path, max_lost: float) -> None:
    """Write `out`, the data dir of one field."""
    folder = smart_lights.field_folder(corpus, field)
    oddities = Oddities()
    sentences = by_key(smart_lights.sentences(folder), oddities)
    made = utterances(folder, field, sentences, out, oddities)
    print(f"{folder}:")
    oddities.close(out / "findings.txt", kept=len(made), max_lost=max_lost, corpus=folder)
    kaldi_dir.write(out, (utterance for _, utterance in made.values()))
    licence.write(out, licence.of_corpus(corpus, "SNIPS smart lights"))
    tables.write_table(
        out / "text.raw",
        {key: " ".join(recording.text.split()) for key, (recording, _) in made.items()},
    )
    speakers = len({utterance.speaker for _, utterance in made.values()})
    hours = sum(utterance.duration or 0 for _, utterance in made.values()) / 3600
    texts = len({utterance.text for _, utterance in made.values()})
    print(
        f"{out}: {len(made)} utterances, {speakers} speakers, {texts} different sentences, "
        f"{hours:.2f} hours"
    )


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/prepare_snips.py "
        "--corpus ~/snips_slu_data_v1.0 --out data",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--corpus", type=Path, required=True, help="folder that holds smart-lights-en-close-field"
    )
    parser.add_argument("--out", type=Path, default=Path("data"), help="where data dirs go")
    parser.add_argument(
        "--fields",
        nargs="+",
        choices=list(smart_lights.FIELDS),
        default=list(smart_lights.FIELDS),
        help="which microphone",
    )
    parser.add_argument(
        "--max_lost",
        type=float,
        default=0.01,
        help="share of recordings that may be left out before it is an error",
    )
    options = parser.parse_args(argv)
    for field in options.fields:
        prepare(options.corpus, field, options.out / field, options.max_lost)


if __name__ == "__main__":
    cli.run(main)
