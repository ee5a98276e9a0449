"""The SNIPS NLU benchmark as data dirs whose sentences are to be spoken.

    python local/prepare_snips_nlu.py --corpus ~/2017-06-custom-intent-engines --out data

writes `data/{train,dev,test}`: text, text.raw, semantics (trees with slots), utt2spk and spk2voice
for `atat synthesis`, with the voices of conf/voices.yaml. The test is the published one, 700
sentences; dev are 700 of the 13,784 to train on, drawn by a hash, as many of each intent as the
test has (the sizes of Goo et al. 2018, "Slot-Gated Modeling", whose draw is another). Makes no
audio.

With --limit a set is a random part of it in which each intent has its share.
"""

from __future__ import annotations

import argparse
import hashlib
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import licence
from atat.datadir.corpus_snips_nlu import TRAIN, VALIDATE, Row, read_snips_nlu
from atat.prepare import voices
from atat.prepare.limited import limited, limits
from atat.text.trees import to_string, words

VOICES = Path(__file__).resolve().parent.parent / "conf" / "voices.yaml"
PUBLISHED = {"train": 13084, "dev": 700, "test": 700}
LARGEST_DEV = (
    10  # one in so many of an intent's sentences, where only a part of the corpus is there
)


def shuffled(rows: Sequence[Row], seed: int) -> list[Row]:
    """The rows in an order that depends on each of them and the seed alone."""

    def order(row: Row) -> bytes:
        return hashlib.sha256(f"snips nlu {seed} {row.intent} {row.number}".encode()).digest()

    return sorted(rows, key=order)


def split(rows: Sequence[Row], tested: Mapping[str, int], seed: int) -> dict[str, list[Row]]:
    """train and dev: of each intent as many as are tested, a tenth of its rows at most."""
    parts: dict[str, list[Row]] = {"train": [], "dev": []}
    for intent in dict.fromkeys(row.intent for row in rows):
        mine = shuffled([row for row in rows if row.intent == intent], seed)
        count = min(tested.get(intent, 0), len(mine) // LARGEST_DEV)
        parts["dev"] += mine[:count]
        parts["train"] += mine[count:]
    return parts


def thinned(rows: Sequence[Row], limit: int, seed: int) -> list[Row]:
    """`limit` of the rows, each intent as often as its share, rounded up or down; 0: all."""
    if limit == 0 or limit >= len(rows):
        return list(rows)
    ordered = sorted(shuffled(rows, seed), key=lambda row: row.intent)  # a stable sort
    return limited(ordered, limit, seed)


def write(folder: Path, rows: Sequence[Row], path: Path, seed: int) -> None:
    """Write a data dir to be spoken: each sentence by a voice of its part, drawn by the shares.

    One with the same contents stays, with its audio.
    """
    rng = random.Random(f"voices {folder.name} {seed}")
    casts = voices.cast(path, folder.name, rng)
    tables: dict[str, dict[str, str]] = {
        name: {} for name in ("text", "text.raw", "semantics", "utt2spk", "spk2voice")
    }
    for row in rows:
        drawn = voices.draw(casts, rng)
        speaker = f"{drawn.engine}-{folder.name}-{drawn.number:03d}"
        key = f"{speaker}-{row.intent}-{row.number:05d}"
        tables["text"][key] = " ".join(words(row.tree))
        tables["text.raw"][key] = " ".join(row.raw.split())
        tables["semantics"][key] = to_string(row.tree)
        tables["utt2spk"][key], tables["spk2voice"][speaker] = speaker, drawn.voice
    voices.write_sentences(folder, tables)
    engines = sorted({voice.partition(":")[0] for voice in tables["spk2voice"].values()})
    print(
        f"{folder}: {len(rows)} sentences of {len({row.intent for row in rows})} intents "
        f"({PUBLISHED[folder.name]} in the benchmark), to be spoken by "
        f"{len(tables['spk2voice'])} voices of {' and '.join(engines)}"
    )


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/prepare_snips_nlu.py "
        "--corpus ~/2017-06-custom-intent-engines --out data --limit 2000 200 700",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--corpus", type=Path, required=True, help="SNIPS' folder of intents")
    parser.add_argument("--out", type=Path, default=Path("data"), help="where data dirs go")
    parser.add_argument(
        "--limit",
        type=int,
        nargs="+",
        default=[0],
        help="sentences at most of train, dev and test, or one number for all; 0: no limit",
    )
    parser.add_argument("--voices", type=Path, default=VOICES, help="the voices to choose from")
    parser.add_argument("--seed", type=int, default=1, help="draws dev, voices and limited parts")
    options = parser.parse_args(argv)
    of_part = limits(options.limit)
    test = read_snips_nlu(options.corpus, VALIDATE)
    tested = Counter(row.intent for row in test)
    parts = {**split(read_snips_nlu(options.corpus, TRAIN), tested, options.seed), "test": test}
    for name, rows in parts.items():
        if not rows:
            raise InputError(
                f"{options.corpus}: too few sentences: none is left for {name}; expected some "
                f"{PUBLISHED['train'] + PUBLISHED['dev']} to train on, in files {TRAIN}"
            )
        write(
            options.out / name,
            thinned(rows, of_part[name], options.seed),
            options.voices,
            options.seed,
        )
        licence.write(options.out / name, licence.of_corpus(options.corpus, "SNIPS NLU"))


if __name__ == "__main__":
    cli.run(main)
