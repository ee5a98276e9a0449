"""Orders as text: drawn from the published grammar, and the published sentences.

    python local/prepare_text.py --corpus ~/speech-to-intent-benchmark --out data

writes `text_barista/{train,dev}` (text, text.raw, semantics; no audio) and
`tts_barista/{train,dev}`, a part of the same sentences with voices for `atat synthesis`.
No sentence is in both train and dev. The published sentences (data/watson/corpus.txt), which are
no transcripts of the recordings, are parsed by the grammar and all stand in train.

Labels and recordings are not looked at: all here is what the engines of the benchmark were given.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping
from pathlib import Path

from order_grammar import Grammar, load
from picovoice import GRAMMAR, PUBLISHED, SENTENCES, corpus_folder

from atat.base import cli
from atat.base.errors import InputError
from atat.base.files import read_lines
from atat.datadir import kaldi_dir, licence, tables
from atat.prepare.spoken import Sentence, write_spoken
from atat.text.normalize import normalize

VOICES = Path(__file__).resolve().parent.parent / "conf" / "voices.yaml"


def draw(grammar: Grammar, count: int, generator: random.Random) -> list[str]:
    """`count` different sentences in the file's spelling, in the order drawn."""
    sentences: dict[str, None] = {}
    for _ in range(100 * count):
        if len(sentences) == count:
            return list(sentences)
        sentences.setdefault(grammar.sample(generator))
    raise InputError(
        f"{grammar.path}: found only {len(sentences)} different sentences; "
        f"ask for fewer than {count} (--sentences, --dev)"
    )


def published(grammar: Grammar, path: Path) -> list[str]:
    """The published sentences; InputError for one that the grammar does not have."""
    sentences = [line.strip() for line in read_lines(path) if line.strip()]
    for number, sentence in enumerate(sentences, 1):
        if grammar.understand(normalize(sentence)) is None:
            raise InputError(f"{path}:{number}: {sentence!r} is not in {grammar.path}")
    return sentences


def understood(grammar: Grammar, raw: str) -> Sentence:
    """A sentence of the grammar, normalised, with its canonical tree."""
    text = normalize(raw)
    order = grammar.understand(text)
    assert order is not None, raw
    return Sentence(text, grammar.canonical(order))


def write_text(folder: Path, grammar: Grammar, sources: Mapping[str, list[str]]) -> None:
    """Write a data dir without audio; its speakers are the sources of the sentences."""
    utterances, raws = [], {}
    for source, sentences in sources.items():
        for number, raw in enumerate(sentences):
            key = f"{source}-{number:06d}"
            sentence = understood(grammar, raw)
            raws[key] = raw
            utterances.append(
                kaldi_dir.Utterance(
                    id=key, speaker=source, text=sentence.text, semantics=sentence.semantics
                )
            )
    kaldi_dir.write(folder, utterances)
    tables.write_table(folder / "text.raw", raws)
    print(f"{folder}: {len(utterances)} sentences")


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/prepare_text.py "
        "--corpus ~/speech-to-intent-benchmark --out data",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--corpus", type=Path, required=True, help="clone of the benchmark")
    parser.add_argument("--out", type=Path, default=Path("data"), help="where data dirs go")
    parser.add_argument("--sentences", type=int, default=20000, help="drawn for training")
    parser.add_argument("--dev", type=int, default=300, help="drawn for the dev set")
    parser.add_argument("--spoken", type=int, default=8000, help="of those for training, spoken")
    parser.add_argument("--voices", type=Path, default=VOICES, help="the voices to choose from")
    parser.add_argument("--seed", type=int, default=1, help="draws sentences and voices")
    options = parser.parse_args(argv)
    corpus = corpus_folder(options.corpus)
    grammar = load(corpus / GRAMMAR)
    given = published(grammar, corpus / SENTENCES)
    known = {normalize(sentence) for sentence in given}
    generator = random.Random(f"sentences {options.seed}")
    drawn = draw(grammar, options.sentences + options.dev + len(given), generator)
    fresh = [sentence for sentence in drawn if normalize(sentence) not in known]
    parts = {
        "dev": {"grammar": fresh[: options.dev]},
        "train": {"grammar": fresh[options.dev : options.dev + options.sentences], "watson": given},
    }
    license_ = licence.of_corpus(corpus, PUBLISHED)
    for part, sources in parts.items():
        write_text(options.out / "text_barista" / part, grammar, sources)
        # The published sentences first: they are all spoken.
        spoken = [
            understood(grammar, raw) for listed in reversed(sources.values()) for raw in listed
        ]
        generator = random.Random(f"voices {part} {options.seed}")
        write_spoken(
            options.out / "tts_barista" / part,
            spoken[: options.spoken],
            options.voices,
            part,
            generator,
        )
        for folder in ("text_barista", "tts_barista"):
            licence.write(options.out / folder / part, license_)


if __name__ == "__main__":
    cli.run(main)
