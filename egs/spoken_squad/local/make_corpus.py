"""A generated corpus in the layout of Spoken-SQuAD: its text, ready to be spoken and recognised.

    python local/make_corpus.py --size small --out data/small/corpus

writes `train-v1.1.json` and `dev-v1.1.json` in the form of SQuAD 1.1, and for `atat synthesis` a
data dir for each, `sentences/{train_wav,dev_wav}`, with an utterance for each sentence of a
paragraph and one voice a paragraph. Sentences and questions are drawn from conf/facts.yaml, voices
from conf/voices.yaml; of the names and nouns of the test a part is not in the training set.
local/write_spoken.py adds what a recogniser heard.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import facts

from atat.base import cli
from atat.base.files import atomic_write
from atat.datadir import corpus_spoken_squad as layout
from atat.datadir import licence
from atat.prepare import voices

CONF = Path(__file__).resolve().parent.parent / "conf"
HELD = 0.15  # of the names and nouns: not in the training set
UNSEEN = 0.35  # of the test's values: with such a word


@dataclass(frozen=True)
class Size:
    """How many paragraphs; a topic, SQuAD's article, has up to `topic` of them."""

    train: int
    dev: int
    sentences: int
    questions: int
    topic: int = 10


SIZES = {
    "mini": Size(train=6, dev=3, sentences=2, questions=2, topic=2),
    "small": Size(train=420, dev=100, sentences=5, questions=5),
}


def article(title: str, paragraphs: list[facts.Paragraph], number: int) -> dict[str, Any]:
    """Some paragraphs as an article of SQuAD; ids of questions say where they are."""
    listed = []
    for at, paragraph in enumerate(paragraphs):
        context, places = written(paragraph)
        asked = [
            {
                "id": f"{title}{number:03d}{at:03d}{order:02d}".replace(" ", ""),
                "question": one.question[0].upper() + one.question[1:] + "?",
                "answers": [places[one.sentence, one.slot]],
            }
            for order, one in enumerate(paragraph.asked)
        ]
        listed.append({"context": context, "qas": asked})
    return {"title": f"{title} {number}", "paragraphs": listed}


def written(paragraph: facts.Paragraph) -> tuple[str, dict[tuple[int, str], dict[str, Any]]]:
    """The context as written, and the answer of SQuAD's form for each slot of each sentence."""
    context, places = "", {}
    for number, told in enumerate(paragraph.told):
        start = len(context)
        for words, slot in told.pieces:
            if len(context) > start:
                context += " "
            text = words.title() if slot == "PERSON" else words
            if len(context) == start:
                text = text[0].upper() + text[1:]
            if slot:
                places[number, slot] = {"answer_start": len(context), "text": text}
            context += text
        context += ". "
    return context.rstrip(), places


def make(out: Path, size: Size, voices_of: str, seed: int) -> None:
    """Write both JSON files and both data dirs of sentences."""
    licence.write(out, licence.OWN)  # the facts are a part of this project
    rng = random.Random(f"spoken squad {seed}")
    known = facts.load(CONF / "facts.yaml")
    parts = dict(zip(layout.PARTS, facts.divide(known, HELD, UNSEEN, rng)))
    for part, count in zip(layout.PARTS, (size.train, size.dev)):
        drawn = [facts.draw(parts[part], size.sentences, size.questions, rng) for _ in range(count)]
        topics = [drawn[at : at + size.topic] for at in range(0, count, size.topic)]
        articles = [article(part, topic, number) for number, topic in enumerate(topics)]
        names = layout.PARTS[part]
        with atomic_write(out / names.reference) as stream:
            json.dump({"data": articles, "version": layout.VERSION}, stream, indent=1)
        folder = out / "sentences" / names.audio
        write_sentences(folder, topics, part, voices_of, rng)
        licence.write(folder, licence.OWN)
        asked = sum(len(one.asked) for one in drawn)
        words = sum(len(told.text.split()) for one in drawn for told in one.told)
        print(
            f"{out / names.reference}: {count} paragraphs of {words / count:.1f} words, "
            f"{asked} questions"
        )


def write_sentences(
    folder: Path, topics: list[list[facts.Paragraph]], part: str, size: str, rng: random.Random
) -> None:
    """A data dir to be spoken: an utterance is a sentence, a speaker a voice."""
    casts = voices.cast(CONF / "voices.yaml", part, rng, size=size)
    tables: dict[str, dict[str, str]] = {"text": {}, "utt2spk": {}, "spk2voice": {}}
    for number, topic in enumerate(topics):
        for at, paragraph in enumerate(topic):
            drawn = voices.draw(casts, rng)
            speaker = f"{drawn.engine}{drawn.number:02d}"
            tables["spk2voice"][speaker] = drawn.voice
            for order, told in enumerate(paragraph.told):
                key = f"{number}_{at}_{order}"
                tables["text"][key], tables["utt2spk"][key] = told.text, speaker
    voices.write_sentences(folder, tables)


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/make_corpus.py --size small "
        "--out data/small/corpus",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--size", choices=list(SIZES), default="small", help="size of the corpus")
    parser.add_argument("--out", type=Path, required=True, help="folder for the corpus")
    parser.add_argument("--seed", type=int, default=1, help="another seed is another corpus")
    options = parser.parse_args(argv)
    make(options.out, SIZES[options.size], options.size, options.seed)


if __name__ == "__main__":
    cli.run(main)
