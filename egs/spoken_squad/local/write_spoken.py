"""The rest of the generated corpus: what a recogniser heard, in the form of Spoken-SQuAD.

    python local/write_spoken.py --corpus data/small/corpus

reads `CORPUS/asr/{train_wav,dev_wav}`, the decoded dirs of `atat transcribe` for the sentences of
local/make_corpus.py, and writes `spoken_train-v1.1.json` and `spoken_test-v1.1.json`: contexts are
the recogniser's words, and questions whose answers it did not hear are left out, as Lee et al.
(2018) did. The synthesiser's times of the words go to `train_wav.ctm` and `dev_wav.ctm` beside the
audio.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atat.base import cli
from atat.base.files import atomic_write
from atat.datadir import corpus_spoken_squad as layout
from atat.datadir.questions import places
from atat.scoring import decoded_dir

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
    """The spoken file of a part, and the times of its words."""
    names = layout.PARTS[part]
    hypotheses = decoded_dir.read_transcripts(corpus / "asr" / names.audio)
    topics: dict[int, list[dict[str, Any]]] = {}
    kept = total = 0
    for paragraph in layout.read(corpus / names.reference):
        count = paragraph.context.rstrip(".").count(STOP) + 1
        keys = [f"{paragraph.topic}_{paragraph.number}_{order}" for order in range(count)]
        one = heard(paragraph, [hypotheses[key] for key in keys])
        topics.setdefault(paragraph.topic, []).append(one)
        kept, total = kept + len(one["qas"]), total + len(paragraph.asked)
    data = [
        {"title": f"{part} {number}", "paragraphs": topics[number]} for number in sorted(topics)
    ]
    with atomic_write(corpus / names.spoken) as stream:
        json.dump({"data": data, "version": layout.VERSION}, stream, indent=1)
    for folder in layout.audio_folders(corpus, part):
        shutil.copyfile(
            corpus / "sentences" / names.audio / "ctm", folder.with_name(f"{names.audio}.ctm")
        )
    print(f"{corpus / names.spoken}: {kept} of {total} questions have an answer that was heard")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
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
