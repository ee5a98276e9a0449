"""Sentences to be spoken: data dirs in which speakers of a voices file say text.

    atat cast --data data/sentences --voices conf/voices.yaml --out data --spoken 2000

Writes for each part of the data the tables that `atat synthesis` speaks. `atat.prepare.voices`
explains the file of voices. Makes no audio, and knows nothing of what is said.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import kaldi_dir, licence
from atat.datadir.parts import DEV, TEST, TRAIN
from atat.prepare import voices

HELD_OUT = 0.1  # share of the sentences that dev, and test, may take at most


@dataclass(frozen=True)
class Sentence:
    """Something to say, normalised, and its meaning; None if it has none."""

    text: str
    semantics: str | None = None


def write_spoken(
    folder: Path, sentences: Sequence[Sentence], path: Path, part: str, rng: random.Random
) -> None:
    """Write a data dir for `atat synthesis`: each sentence by a speaker drawn by the shares.

    The speakers are those that the file of voices, `path`, has for a part of the data.
    """
    _write_cast(folder, sentences, voices.cast(path, part, rng), part, rng)


def _write_cast(
    folder: Path,
    sentences: Sequence[Sentence],
    casts: Sequence[voices.Cast],
    part: str,
    rng: random.Random,
) -> None:
    tables: dict[str, dict[str, str]] = {
        name: {} for name in ("text", "semantics", "utt2spk", "spk2voice")
    }
    for number, sentence in enumerate(sentences):
        drawn = voices.draw(casts, rng)
        speaker = f"{drawn.engine}-{part}-{drawn.number:03d}"
        key = f"{speaker}-{number:06d}"
        tables["text"][key] = sentence.text
        if sentence.semantics is not None:
            tables["semantics"][key] = sentence.semantics
        tables["utt2spk"][key], tables["spk2voice"][speaker] = speaker, drawn.voice
    voices.write_sentences(folder, {name: table for name, table in tables.items() if table})
    print(f"{folder}: {len(sentences)} sentences to be spoken by {len(tables['spk2voice'])} voices")


def shared_out(
    sentences: Sequence[Sentence], spoken: int, rng: random.Random
) -> dict[str, list[Sentence]]:
    """The sentences of each part: dev and test have some of their own, train all others.

    dev and test have a tenth of `spoken` each, and at most a tenth of the sentences. Raises
    InputError if that leaves one of them without any.
    """
    held = min(round(HELD_OUT * spoken), int(HELD_OUT * len(sentences)))
    if held == 0:
        raise InputError(
            f"{len(sentences)} sentences of which {spoken} are spoken are too few: dev and test "
            f"are to have a tenth each; give at least {round(1 / HELD_OUT)} sentences and --spoken"
        )
    mixed = list(sentences)
    rng.shuffle(mixed)
    return {DEV: mixed[:held], TEST: mixed[held : 2 * held], TRAIN: mixed[2 * held :]}


def cast(data: Path, path: Path, out: Path, spoken: int, seed: int, size: str = "") -> None:
    """Write OUT/spoken_{train,dev,test}, and OUT/sentences: the text of all sentences of train.

    data: a data dir with text and semantics; path: the file of voices; spoken: sentences of train
    that are spoken, several times if they are fewer; size: as in `voices.cast`. Raises
    InputError, and writes nothing, if tables or voices are missing.
    """
    utterances = kaldi_dir.load(data)
    for one in utterances:
        if not one.text or not one.semantics:
            raise InputError(f"{data}: {one.id} has no text or no semantics; both are needed")
    whole = {one.text: one for one in utterances}
    meanings = Counter(text for text, _ in {(one.text, one.semantics) for one in utterances})
    if unclear := sorted(str(text) for text, count in meanings.items() if count > 1):
        print(
            f"{data}: {len(unclear)} sentences have several meanings, such as {unclear[0]!r}; of "
            "each only the last is kept"
        )
    known = [Sentence(one.text or "", one.semantics or "") for one in whole.values()]
    parts = shared_out(known, spoken, random.Random(f"sentences {seed}"))
    rngs = {part: random.Random(f"voices {part} {seed}") for part in parts}
    casts = {part: voices.cast(path, part, rng, size) for part, rng in rngs.items()}
    kept = {sentence.text for sentence in parts[TRAIN]}
    kaldi_dir.write(out / "sentences", (one for text, one in whole.items() if text in kept))
    licence.write(out / "sentences", licence.of(data))
    print(f"{out / 'sentences'}: {len(kept)} sentences to be read")
    parts[TRAIN] = [parts[TRAIN][number % len(kept)] for number in range(spoken)]
    for part, said in parts.items():
        _write_cast(out / f"spoken_{part}", said, casts[part], part, rngs[part])
        licence.write(out / f"spoken_{part}", licence.of(data))


def main(argv: list[str] | None = None) -> None:
    """Run `atat cast`; raises InputError for tables or voices that cannot be used."""
    parser = cli.Parser(
        prog="atat cast",
        description=cli.guide(
            "Give sentences with a meaning to the speakers of a voices file, before `atat "
            "synthesis` speaks them.",
            "atat cast --data data/grammar --voices conf/voices.yaml --out data --spoken 2000",
            reads="DATA: text, semantics. VOICES: the casts of train, dev and test.",
            writes="OUT/spoken_train, spoken_dev, spoken_test, without audio; OUT/sentences, the "
            "text that is not of dev or test.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="data dir of the sentences")
    parser.add_argument("--voices", type=Path, required=True, help="YAML file of the voices")
    parser.add_argument("--out", type=Path, required=True, help="folder of the data dirs to write")
    parser.add_argument(
        "--spoken",
        type=int,
        default=2000,
        help="utterances of train; dev and test have a tenth of them each, of other sentences",
    )
    parser.add_argument("--seed", type=int, default=1, help="draws sentences, voices and manners")
    parser.add_argument(
        "--size", default="", help="of the file of voices, where its numbers of speakers have sizes"
    )
    options = parser.parse_args(argv)
    cli.check_positive(options, "spoken")
    cast(options.data, options.voices, options.out, options.spoken, options.seed, options.size)
