"""The rest of the generated corpus: what a recogniser heard, in the form of Spoken-SQuAD.

    python local/write_spoken.py --corpus data/small/corpus

reads `CORPUS/asr/{train_wav,dev_wav}`, the decoded dirs of `atat transcribe` for the sentences of
local/make_corpus.py, and writes `spoken_train-v1.1.json` and `spoken_test-v1.1.json`: contexts are
the recogniser's words, and questions whose answers it did not hear are left out, as Lee et al.
(2018) did. Theirs also has the test as it was heard in noise, with 44 and 54 % WER; in its place
(`spoken_test-v1.1_WER44.json`, ...) words that were heard are exchanged for random ones of the test
until that many are wrong. The synthesiser's times of the words go to `train_wav.ctm` and
`dev_wav.ctm` beside the audio.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atat.base import cli
from atat.base.files import atomic_write
from atat.datadir import corpus_spoken_squad as layout
from atat.datadir.questions import places
from atat.scoring import decoded_dir, metrics

STOP = ". "  # between the sentences of a context


def heard(paragraph: layout.Paragraph, sentences: Sequence[str]) -> dict[str, Any]:
    """A paragraph of the spoken file: the words of each sentence, the questions left."""
    asked = []
    for one in paragraph.asked:
        answers = [
            found
            for given in one.answers
            if (found := _answer(given, paragraph.context, sentences)) is not None
        ]
        if answers:
            asked.append({"id": one.id, "question": one.question, "answers": answers})
    return {"context": STOP.join(sentences) + ".", "qas": asked}


def _answer(given: layout.Given, context: str, sentences: Sequence[str]) -> dict[str, Any] | None:
    """The answer among the words of its own sentence or, failing that, of another."""
    own = context[: given.start].count(STOP)
    for number in (own, *(n for n in range(len(sentences)) if n != own)):
        words = sentences[number].split()
        for first, last in places(words, given.text):
            before = STOP.join([*sentences[:number], ""]) + " ".join([*words[:first], ""])
            return {"answer_start": len(before), "text": " ".join(words[first : last + 1])}
    return None


def write(corpus: Path, part: str) -> None:
    """The spoken file of a part, those of its versions, and the times of its words."""
    names = layout.PARTS[part]
    hypotheses = decoded_dir.read_transcripts(corpus / "asr" / names.audio)
    paragraphs = layout.read(corpus / names.reference)
    found = []
    for paragraph in paragraphs:
        count = paragraph.context.rstrip(".").count(STOP) + 1
        keys = [f"{paragraph.topic}_{paragraph.number}_{order}" for order in range(count)]
        found.append(heard(paragraph, [hypotheses[key] for key in keys]))
    _write(corpus / names.spoken, part, paragraphs, found)
    for version in layout.VERSIONS if part == "test" else ():
        rate = float(version.removeprefix("WER")) / 100
        _write(
            corpus / layout.version_of(names.spoken, version),
            part,
            paragraphs,
            misheard(paragraphs, found, rate, random.Random(version)),
        )
    kept = sum(len(one["qas"]) for one in found)
    total = sum(len(one.asked) for one in paragraphs)
    for folder in layout.audio_folders(corpus, part):
        shutil.copyfile(
            corpus / "sentences" / names.audio / "ctm", folder.with_name(f"{names.audio}.ctm")
        )
    print(f"{corpus / names.spoken}: {kept} of {total} questions have an answer that was heard")


def misheard(
    paragraphs: Sequence[layout.Paragraph],
    found: Sequence[dict[str, Any]],
    rate: float,
    rng: random.Random,
) -> list[dict[str, Any]]:
    """The same paragraphs and questions, with so many random words that about `rate` are wrong."""
    said = [" ".join(layout.words_of(one)) for one in paragraphs]
    counts = [
        metrics.text_counts(words, one["context"].replace(STOP, " ").rstrip("."))["wer"]
        for words, one in zip(said, found)
    ]
    wrong = sum(one for one, _ in counts) / sum(count for _, count in counts)
    share = max(0.0, (rate - wrong) / (1 - wrong))
    vocabulary = sorted({word for words in said for word in words.split()})

    def exchanged(word: str) -> str:
        if rng.random() >= share:
            return word
        return rng.choice(vocabulary) + ("." if word.endswith(".") else "")

    return [{**one, "context": " ".join(map(exchanged, one["context"].split()))} for one in found]


def _write(
    path: Path,
    part: str,
    paragraphs: Sequence[layout.Paragraph],
    found: Sequence[dict[str, Any]],
) -> None:
    """A spoken file, by topics."""
    topics: dict[int, list[dict[str, Any]]] = {}
    for paragraph, one in zip(paragraphs, found):
        topics.setdefault(paragraph.topic, []).append(one)
    data = [
        {"title": f"{part} {number}", "paragraphs": topics[number]} for number in sorted(topics)
    ]
    with atomic_write(path) as stream:
        json.dump({"data": data, "version": layout.VERSION}, stream, indent=1)


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/write_spoken.py "
        "--corpus data/small/corpus",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--corpus", type=Path, required=True, help="folder of local/make_corpus.py")
    options = parser.parse_args(argv)
    for part in layout.PARTS:
        write(options.corpus, part)


if __name__ == "__main__":
    cli.run(main)
