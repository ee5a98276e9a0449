"""The csv files of Fluent Speech Commands as data dirs whose sentences are to be spoken.

    python local/prepare_spoken.py --corpus ~/fluent_speech_commands_dataset --out data \\
        --limit 2000 300 500

The csv files are enough; the recordings are not read. Each row is an utterance with the id that
its recording has in prepare_fluentspeech.py, and each speaker of the csv files has one voice of
conf/voices.yaml: of the part `train`, `dev` or `test` in whose set the speaker comes first. So
sets, speakers, sentences and random subsets are those of the corpus; only the voices are not.
Writes text, text.raw, semantics, utt2spk and spk2voice for `atat synthesis`; makes no audio.

With --limit a set is a random part of its rows in which each sentence has its share.
"""

from __future__ import annotations

import argparse
import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import fluent
from fluent import Row
from prepare_fluentspeech import read

from atat.base import cli
from atat.datadir import licence
from atat.datadir.kaldi_dir import Utterance
from atat.prepare import voices
from atat.prepare.limited import limited, limits

VOICES = Path(__file__).resolve().parent.parent / "conf" / "voices.yaml"
Rows = Sequence[tuple[Row, Utterance]]


def part_of(name: str) -> str:
    """The part of a set: `test` of test_speaker and test_utterance."""
    return name.partition("_")[0]


def thinned(rows: Rows, limit: int, seed: int) -> Rows:
    """`limit` of the rows, drawn by the seed, each sentence as often as its share; 0: all.

    Rows in the order of their sentences, at random within each.
    """
    if limit == 0 or limit >= len(rows):
        return rows

    def order(row: tuple[Row, Utterance]) -> tuple[str, bytes]:
        utterance = row[1]
        return utterance.text or "", hashlib.sha256(
            f"limit {seed} {utterance.id}".encode()
        ).digest()

    return limited(sorted(rows, key=order), limit, seed)


def voice_of_each(speakers: Iterable[str], path: Path, part: str, seed: int) -> dict[str, str]:
    """Speaker -> voice: the speakers, shuffled, are shared out among the casts of a part."""
    rng = random.Random(f"voices {part} {seed}")
    casts = voices.cast(path, part, rng)
    shuffled = sorted(speakers)
    rng.shuffle(shuffled)
    total = sum(cast.share for cast in casts)
    found, first, share = {}, 0, 0.0
    for cast in casts:
        share += cast.share / total
        last = round(share * len(shuffled))
        for number, speaker in enumerate(shuffled[first:last]):
            found[speaker] = cast.voices[number % len(cast.voices)]
        first = last
    return found


def cast_all(sets: Mapping[str, Rows], path: Path, seed: int) -> dict[str, str]:
    """The voice of every speaker, of the part of the first set that has the speaker."""
    parts: dict[str, str] = {}
    for name, rows in sets.items():
        for _, utterance in rows:
            parts.setdefault(utterance.speaker, part_of(name))
    found: dict[str, str] = {}
    for part in dict.fromkeys(parts.values()):
        mine = [speaker for speaker, its in parts.items() if its == part]
        found |= voice_of_each(mine, path, part, seed)
    return found


def write(folder: Path, rows: Rows, voice_of: Mapping[str, str]) -> None:
    """Write a data dir to be spoken; one with the same contents stays, with its audio."""
    speakers = sorted({utterance.speaker for _, utterance in rows})
    voices.write_sentences(
        folder,
        {
            "text": {one.id: one.text or "" for _, one in rows},
            "text.raw": {one.id: row.text for row, one in rows},
            "semantics": {one.id: one.semantics or "" for _, one in rows},
            "utt2spk": {one.id: one.speaker for _, one in rows},
            "spk2voice": {speaker: voice_of[speaker] for speaker in speakers},
        },
    )
    engines = sorted({voice_of[speaker].partition(":")[0] for speaker in speakers})
    print(
        f"{folder}: {len(rows)} sentences to be spoken, {len({one.text for _, one in rows})} "
        f"different, by {len(speakers)} voices of {' and '.join(engines)}"
    )


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/prepare_spoken.py "
        "--corpus ~/fluent_speech_commands_dataset --out data --limit 2000 300 500",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--corpus", type=Path, required=True, help="folder that holds data/*.csv")
    parser.add_argument(
        "--split",
        choices=list(fluent.SPLITS),
        default="original",
        help="which csv files say what is train and test",
    )
    parser.add_argument("--out", type=Path, default=Path("data"), help="where data dirs go")
    parser.add_argument(
        "--limit",
        type=int,
        nargs="+",
        default=[0],
        help="rows at most of train, of dev and of each test, or one number for all; 0: no limit",
    )
    parser.add_argument("--voices", type=Path, default=VOICES, help="the voices to choose from")
    parser.add_argument("--seed", type=int, default=1, help="draws voices and rows")
    parser.add_argument(
        "--max_lost",
        type=float,
        default=0.01,
        help="share of rows that may be left out before it is an error",
    )
    options = parser.parse_args(argv)
    of_part = limits(options.limit)
    folder = fluent.root(options.corpus, recordings=False)
    sets = read(folder, options.split, options.out, options.max_lost, recorded=False)
    # Voices before the limit, so that a speaker has the same one whatever is left out.
    voice_of = cast_all(sets, options.voices, options.seed)
    for name, rows in sets.items():
        chosen = thinned(rows, of_part[part_of(name)], options.seed)
        write(options.out / name, chosen, voice_of)
        licence.write(options.out / name, licence.of_corpus(folder, fluent.NAME))


if __name__ == "__main__":
    cli.run(main)
