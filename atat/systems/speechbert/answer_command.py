"""Answer the questions of a data dir with one model or several: answers.jsonl, on all cores.

    atat answer exp/speechbert/model --data data/test --out exp/speechbert/answer_test
    atat answer exp/speechbert/model exp/cascade/model --data data/test \\
        --out exp/ensemble/answer_test

After an interruption it continues where it stopped; after the end it returns at once. A question
that cannot be asked gets the answer "", which scoring counts as wrong; such questions are named,
counted and listed in decode.json (`lost`). More than --max_lost of them are an error.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atat.base import cli, lock, machine
from atat.base.files import atomic_write
from atat.base.json_file import read_object_or_none
from atat.base.provenance import provenance
from atat.datadir import fingerprint, kaldi_dir, lost, questions
from atat.datadir.ctm import Word
from atat.datadir.questions import Prediction, Span, span_of
from atat.engine import named_model, partial
from atat.systems.speechbert.settings import QA

if TYPE_CHECKING:
    from atat.systems.speechbert.answerer import Answerer

ABOUT = "decode.json"


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = cli.Parser(
        prog="atat answer",
        description=cli.guide(
            "Answer the questions about the recordings of a data dir: which words answer each, and "
            "when they are said. Several models answer together: each may read words or sounds, "
            "the words are those of DATA. After an interruption the same command continues; "
            "finished, it returns at once.",
            "atat answer exp/speechbert/model --data data/test --out exp/speechbert/answer",
            "atat answer exp/speechbert/model exp/cascade/model --data data/test "
            "--out exp/ensemble/answer",
            reads="MODEL, packed models of the system speechbert that were finetuned on qa; "
            "DATA/text, ctm and questions.jsonl, and feats.scp where a model reads sounds.",
            writes="OUT/answers.jsonl, the answer to each question with its words, its times, its "
            "log probability and the next best ones; OUT/decode.json, how they were found and "
            "which questions were lost.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    named_model.add_argument(parser, several=True)
    parser.add_argument("--data", required=True, type=Path, help="data dir with questions")
    parser.add_argument("--out", required=True, type=Path, help="folder of the answers")
    parser.add_argument("--nbest", type=int, default=5, help="answers kept of each question")
    parser.add_argument(
        "--max_answer", type=int, help="most words of an answer; default: as it was trained"
    )
    parser.add_argument(
        "--max_lost", type=float, default=0.01, help="share of questions that may be lost"
    )
    cli.add_device(parser, auto=True)
    parser.add_argument("--nj", type=int, help="processes on a CPU; default: as many as cores")
    options = parser.parse_args(argv)
    options.model = [named_model.find(one) for one in options.model]
    cli.check_positive(options, "nbest", "max_answer", "nj")
    inputs = _inputs(options)
    about = read_object_or_none(options.out / ABOUT) or {}
    if about.get("inputs") == inputs and about.get("options") == _named(options):
        print(f"{options.out}: finished before; remove the folder to answer again")
        return
    machine.tune()
    with lock.hold(options.out, f"answering of {options.data}"):
        answer(options, inputs)


def answer(options: argparse.Namespace, inputs: dict[str, str]) -> None:
    """Write answers.jsonl and decode.json. inputs: digests of what is read."""
    from atat.systems.speechbert.answering import Paragraphs

    device, nj = machine.device_and_processes(options.device, options.nj)
    answerer = _answerer(options, device)
    paragraphs = Paragraphs.read(options.data, answerer, options.nbest)
    total = sum(map(len, paragraphs.questions.values()))
    unread = paragraphs.lost
    _refuse_too_many(unread, total, options)
    options.out.mkdir(parents=True, exist_ok=True)
    done, seconds = partial.read(options.out, {"options": _named(options), "inputs": inputs})
    seconds += _answer_rest(paragraphs, done, seconds, options, nj)
    unread = unread | {
        one.id: entry["lost"]
        for entry in done.values()
        if "lost" in entry
        for one in paragraphs.questions[entry["utt"]]
    }
    _refuse_too_many(unread, total, options)
    if unread:
        print(
            f"warning: {_message(unread, total, options)}\neach has the answer '', which counts as "
            "wrong",
            file=sys.stderr,
        )
    _write(done, unread, paragraphs, seconds, options, inputs)


def _answerer(options: argparse.Namespace, device: str) -> Answerer:
    from atat.engine import model_folder
    from atat.systems.speechbert.answerer import Answerer
    from atat.systems.speechbert.packed import SpeechBertPacked

    models = [model_folder.load_as(SpeechBertPacked, one, device) for one in options.model]
    return Answerer(models, options.max_answer)


def _answer_rest(
    paragraphs: Any, done: dict[str, Any], before: float, options: argparse.Namespace, nj: int
) -> float:
    """Answer what is left, appending to the partial file; returns the seconds."""
    from atat.engine.decode_workers import decode_all

    batches = paragraphs.without(done)
    return partial.add(
        options.out,
        decode_all(batches, nj) if len(batches) else (),
        done,
        before,
        is_lost=lambda entry: "lost" in entry,
        total=len(batches) + len(done),
        title=f"answer {options.data.name}",
    )


def _named(options: argparse.Namespace) -> dict[str, Any]:
    """The options as JSON values, without those that change nothing that is found."""
    return {
        "model": [str(one) for one in options.model],
        "data": str(options.data),
        "out": str(options.out),
        "nbest": options.nbest,
        "max_answer": options.max_answer,
    }


def _inputs(options: argparse.Namespace) -> dict[str, str]:
    """Digests of the files that are read."""
    found = fingerprint.of_data([options.data])
    if (options.data / "feats.scp").is_file():
        found |= fingerprint.of_sound(options.data, "feats")
    for model in options.model:
        found |= fingerprint.of_model(model)
    return found


def _message(unread: dict[str, str], total: int, options: argparse.Namespace) -> str:
    return lost.describe(unread, total, "cannot be asked", data=options.data, noun="questions")


def _refuse_too_many(unread: dict[str, str], total: int, options: argparse.Namespace) -> None:
    message = _message(unread, total, options)
    lost.refuse_too_many(unread, total, options.max_lost, message, "fix or drop them")


def _write(
    done: dict[str, Any],
    unread: dict[str, str],
    paragraphs: Any,
    seconds: float,
    options: argparse.Namespace,
    inputs: dict[str, str],
) -> None:
    found = [Prediction(name, Span()) for name in unread]
    for utt, entry in done.items():
        texts = paragraphs.texts[utt].split()
        for name, nbest in entry.get("answers", {}).items():
            listed = tuple(_span(paragraphs.words.get(utt), texts, *one) for one in nbest)
            found.append(Prediction(name, listed[0], listed))
    questions.write_predictions(options.out, found)
    used = [one for one in kaldi_dir.load(options.data) if one.id in paragraphs.questions]
    about = {
        "task": QA,
        "target": questions.ANSWERS,
        "data": str(options.data),
        "model": " + ".join(str(one) for one in options.model),
        "utterances": len(used),
        "questions": len(found),
        "audio_seconds": kaldi_dir.total_seconds(options.data, used),
        "wall_seconds": seconds,
        "lost": unread,
        "options": _named(options),
        "inputs": inputs,
        "provenance": provenance(),
    }
    with atomic_write(options.out / ABOUT) as stream:
        json.dump(about, stream, indent=1)
    partial.remove(options.out)


def _span(
    words: Sequence[Word] | None, texts: Sequence[str], first: int, last: int, score: float
) -> Span:
    """Words first to last; with times, where the data dir has them."""
    if words is None:
        return Span(" ".join(texts[first : last + 1]), first, last, score=score)
    return span_of(words, first, last, score)
