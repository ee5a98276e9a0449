"""What is not for the model and resembles what is: nearly orders, another domain, music.

    python local/prepare_outsiders.py --out data/outsiders --wavs wavs/outsiders

writes for each kind of sentence in conf/outsiders.txt the data dirs OUT/KIND_a and OUT/KIND_b, for
`atat synthesis`: every other sentence, said twice by voices of its half of conf/voices.yaml. A
calibration can be fitted on one half and tested on the other, which has no sentence and no voice of
it. OUT/music_a and music_b are made-up instrumental music, in WAVS.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
from instruments import music

from atat.base import cli
from atat.base.errors import InputError
from atat.base.files import read_lines
from atat.datadir import kaldi_dir, licence
from atat.prepare.spoken import Sentence, write_spoken
from atat.speech import audio
from atat.text.normalize import normalize

CONF = Path(__file__).resolve().parent.parent / "conf"
HALVES = ("a", "b")
SECONDS = (2.0, 6.0)  # of music


def read_sentences(path: Path) -> dict[str, list[str]]:
    """The sentences of each kind, normalised; InputError with the line of one that is no pair."""
    found: dict[str, list[str]] = {}
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip() or line.startswith("#"):
            continue
        kind, _, sentence = line.strip().partition(" ")
        if not sentence.strip():
            raise InputError(f"{path}:{number}: found {line!r}; expected a kind and a sentence")
        found.setdefault(kind, []).append(normalize(sentence))
    return found


def write_music(folder: Path, wavs: Path, clips: int, rng: np.random.Generator) -> None:
    """Write a data dir of instrumental music, and its recordings."""
    utterances = []
    for number in range(clips):
        name = f"{folder.name}-{number:03d}"
        samples = music(float(rng.uniform(*SECONDS)), rng)
        path = wavs / folder.name / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.save(path, samples)
        utterances.append(
            kaldi_dir.Utterance(
                id=name,
                speaker=folder.name,
                wav=str(path.resolve()),
                duration=len(samples) / audio.SAMPLE_RATE,
            )
        )
    kaldi_dir.write(folder, utterances)
    licence.write(folder, licence.OWN)
    print(f"{folder}: {clips} recordings of music")


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/prepare_outsiders.py "
        "--out data/outsiders --wavs wavs/outsiders",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("data/outsiders"), help="of the data dirs")
    parser.add_argument("--wavs", type=Path, default=Path("wavs/outsiders"), help="of the music")
    parser.add_argument("--sentences", type=Path, default=CONF / "outsiders.txt")
    parser.add_argument("--voices", type=Path, default=CONF / "voices.yaml")
    parser.add_argument("--times", type=int, default=2, help="times each sentence is said")
    parser.add_argument("--clips", type=int, default=20, help="recordings of music of each half")
    parser.add_argument("--seed", type=int, default=1, help="draws voices and music")
    options = parser.parse_args(argv)
    cli.check_positive(options, "times", "clips")
    sentences = read_sentences(options.sentences)
    for number, half in enumerate(HALVES):
        for kind, listed in sentences.items():
            said = [Sentence(one) for one in listed[number :: len(HALVES)]] * options.times
            rng = random.Random(f"outsiders {kind} {half} {options.seed}")
            folder = options.out / f"{kind}_{half}"
            write_spoken(folder, said, options.voices, f"outsiders_{half}", rng)
            licence.write(folder, licence.OWN)
        drawn = np.random.default_rng([options.seed, number])
        write_music(options.out / f"music_{half}", options.wavs, options.clips, drawn)


if __name__ == "__main__":
    cli.run(main)
