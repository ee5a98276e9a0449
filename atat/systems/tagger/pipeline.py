"""The second stage of a two-stage system: tags intent and slots in the words of a recogniser.

    atat pipeline train --kind crf --data data/train --valid data/dev --out exp/crf
    atat pipeline decode --model exp/crf/model --text exp/asr/decode_test_asr \\
        --out exp/crf/decode_test_heard

Kinds: `crf`, a linear-chain CRF (`crfsuite`); `bilstm_crf` (`bilstm`). `--text` is a decoded dir of
task asr, from our own model or `atat transcribe`, or a data dir, whose `text` is read. The output
is a decoded dir like that of `atat decode`.

Trees are converted to tags as `atat.text.bio_tags` says; trees that tags cannot express are
counted. Training with `--heard` also reads a recogniser's output for the training sentences, with
the slots transferred by alignment.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from atat.base import cli, digests, lock
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.json_file import read_object, read_object_or_none
from atat.base.provenance import provenance
from atat.datadir import fingerprint, kaldi_dir, tables
from atat.scoring import decoded_dir
from atat.scoring.transcribed import NOTHING
from atat.text import bio_tags, trees
from atat.text.bio_tags import Tagged

KINDS = ("crf", "bilstm_crf")


class Tagger(Protocol):
    """What each kind of model provides."""

    def tag(self, sentences: Sequence[Sequence[str]]) -> list[tuple[Tagged, float]]:
        """Tags and intent of each sentence of one word or more, with their log probability."""


@dataclass(frozen=True)
class Examples:
    """Sentences of a data dir with their tags; trees that tags cannot express are counted."""

    tagged: dict[str, Tagged]
    lost: dict[str, str]  # utterance -> why it is missing


def read_examples(data: Path) -> Examples:
    """The sentences of a data dir that has `text` and `semantics`."""
    tagged, lost = {}, {}
    for utterance in kaldi_dir.load(data):
        if utterance.text is None or utterance.semantics is None:
            name = "text" if utterance.text is None else "semantics"
            raise InputError(f"{data / name}: no such file; tags are learned from both")
        try:
            example = bio_tags.from_tree(trees.parse(utterance.semantics))
        except InputError as error:
            lost[utterance.id] = str(error)
            continue
        if list(example.words) != utterance.text.split():
            lost[utterance.id] = "the words of its tree are not those of its text"
        elif not example.words:
            lost[utterance.id] = "no words"
        else:
            tagged[utterance.id] = example
    return Examples(tagged, lost)


def carry_over(examples: Mapping[str, Tagged], heard: Mapping[str, str]) -> list[Tagged]:
    """The examples as they were recognised; utterances without any recognised word are left out."""
    return [
        bio_tags.project(examples[name], text.split())
        for name, text in heard.items()
        if text and name in examples
    ]


def read_words(folder: Path) -> dict[str, str]:
    """Utterance -> words of a decoded dir of task asr, or of a data dir."""
    if decoded_dir.is_decoded(folder):
        return decoded_dir.read_transcripts(folder)
    return tables.read_table(folder / "text")


def train(options: argparse.Namespace) -> None:
    """Train a tagger and write `model/` and train.json; does nothing if that was done before."""
    sentences = read_examples(options.data)
    _report(options.data, sentences, options.max_lost)
    valid = read_examples(options.valid) if options.valid else Examples({}, {})
    examples = list(sentences.tagged.values())
    for folder in options.heard:
        carried = carry_over(sentences.tagged, read_words(folder))
        if not carried:
            raise InputError(f"{folder}: none of its utterances is in {options.data}")
        print(f"{folder}: {len(carried)} sentences as they were heard")
        examples += carried
    key = {"options": _named(options), "examples": _fingerprint(examples, valid.tagged.values())}
    if options.embeddings:
        key["embeddings"] = list(fingerprint.of_file(options.embeddings).values())
    if _is_finished(options.out / "train.json", key):
        print(f"{options.out}: trained before on the same")
        return
    start = time.monotonic()
    facts = _train(options, examples, list(valid.tagged.values()))
    with atomic_write(options.out / "model" / "pipeline.json") as stream:
        json.dump({"kind": options.kind}, stream)
    state = {
        "finished": True,
        **facts,
        "seed": options.seed,
        "examples": len(examples),
        "wall_seconds": time.monotonic() - start,
        "key": key,
        "provenance": provenance(),
    }
    with atomic_write(options.out / "train.json") as stream:
        json.dump(state, stream, indent=1)
    if valid.tagged:
        right = _whole(load(options.out / "model"), valid.tagged)
        print(
            f"{options.out}: {right} of {len(valid.tagged)} sentences of {options.valid} "
            "wholly right"
        )


def _train(
    options: argparse.Namespace, examples: list[Tagged], valid: list[Tagged]
) -> dict[str, Any]:
    folder = options.out / "model"
    if options.kind == "crf":
        from atat.systems.tagger import crfsuite

        return crfsuite.train(examples, folder)
    from atat.systems.tagger import bilstm

    return bilstm.train(
        examples,
        valid,
        folder,
        seed=options.seed,
        epochs=options.epochs,
        embeddings=options.embeddings,
    )


def load(folder: Path) -> Tagger:
    """A trained model of either kind; raises InputError if there is none."""
    path = folder / "pipeline.json"
    if not path.is_file():
        raise InputError(
            f"{folder}: no trained tagger (pipeline.json); train one with: atat pipeline train"
        )
    fix = f"remove {folder.parent} and train again"
    if read_object(path, fix).get("kind") == "crf":
        from atat.systems.tagger import crfsuite

        return crfsuite.Tagger(folder)
    from atat.systems.tagger import bilstm

    return bilstm.Tagger(folder)


def decode(options: argparse.Namespace) -> None:
    """Tag the words of a decoded dir or data dir and write a decoded dir."""
    words = read_words(options.text)
    path = options.model.parent / "train.json"
    trained = path.read_text(encoding="utf-8") if path.is_file() else ""
    key = {"options": _named(options), "words": _fingerprint(words.items(), trained)}
    if _is_finished(options.out / "decode.json", key):
        print(f"{options.out}: decoded before")
        return
    tagger = load(options.model)
    start = time.monotonic()
    found = tagger.tag([text.split() or [NOTHING] for text in words.values()])
    nbest = {}
    for name, (tagged, score) in zip(words, found):
        length = len(tagged.words) + 1
        tree = trees.to_string(bio_tags.to_tree(tagged))
        nbest[name] = [{"text": tree, "score": score / length, "length": length}]
    decoded_dir.write(
        options.out,
        nbest,
        {
            "task": "nlu",
            "data": str(options.text),
            "model": str(options.model),
            "utterances": len(words),
            "wall_seconds": time.monotonic() - start,
            "finished": True,
            "key": key,
            "provenance": provenance(),
        },
    )
    print(f"{options.out}: {len(words)} sentences tagged")


def _report(data: Path, sentences: Examples, max_lost: float) -> None:
    """Report trees that BIO tags cannot express; InputError if their share is over `max_lost`."""
    lost, total = sentences.lost, len(sentences.tagged) + len(sentences.lost)
    nested = sum(example.is_nested for example in sentences.tagged.values())
    print(
        f"{data}: {total} sentences, {nested} of them with nested tags; {len(lost)} left out "
        "because tags cannot express them"
    )
    if len(lost) > max_lost * total:
        name, why = next(iter(lost.items()))
        raise InputError(
            f"{data / 'semantics'}: {len(lost)} of {total} trees cannot be learned as tags of the "
            f"words, such as {name}: {why}. More than --max_lost {max_lost}; a model that writes "
            "trees (task nlu) learns them all"
        )


def _whole(tagger: Tagger, examples: Mapping[str, Tagged]) -> int:
    found = tagger.tag([example.words for example in examples.values()])
    return sum(one == other for one, (other, _) in zip(examples.values(), found))


def _named(options: argparse.Namespace) -> dict[str, Any]:
    """The options as JSON values."""
    values = {name: value for name, value in vars(options).items() if name != "command"}
    return json.loads(json.dumps(values, default=str))


def _fingerprint(*content: Any) -> str:
    text = repr([list(part) if not isinstance(part, str) else part for part in content])
    return "sha256:" + digests.of_text(text)[: digests.SHORT]


def _is_finished(path: Path, key: dict[str, Any]) -> bool:
    """Whether a run with the same options on the same data has finished.

    A key of an earlier version need not have all that one has now.
    """
    about = read_object_or_none(path)  # torn: not finished
    before = about.get("key") if about and about.get("finished") else None
    return isinstance(before, dict) and {**key, **before} == key


def _parser() -> argparse.ArgumentParser:
    formatter = cli.HelpFormatter
    parser = cli.Parser(
        prog="atat pipeline",
        description=cli.guide(
            "The second stage of a two-stage system: tag intent and slots in the words of a "
            "recogniser.",
            "atat pipeline train --kind crf --data data/train --valid data/dev --out exp/crf",
            "atat pipeline decode --model exp/crf/model --text exp/asr/decode_test_asr --out "
            "exp/crf/decode_test",
            reads="train: data dirs with text and trees. decode: a tagger and words.",
            writes="train: the folder of a tagger. decode: a decoded dir for `atat score`.",
        ),
        formatter_class=formatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser(
        "train",
        help="train a tagger",
        formatter_class=formatter,
        description=cli.guide(
            "Train a tagger of intents and slots.",
            "atat pipeline train --kind crf --data data/train --valid data/dev --out exp/crf",
            reads="DATA/text and DATA/semantics; VALID's likewise; HEARD, what a recogniser "
            "heard of the same utterances.",
            writes="OUT/model, the tagger, and OUT/train.json.",
        ),
    )
    one.set_defaults(command=train)
    one.add_argument("--kind", choices=KINDS, required=True, help="kind of model")
    one.add_argument("--data", type=Path, required=True, help="data dir with text and semantics")
    one.add_argument("--valid", type=Path, help="dev set; bilstm_crf keeps its best epoch")
    one.add_argument(
        "--heard",
        type=Path,
        nargs="+",
        default=[],
        help="decoded dirs (task asr) or "
        "data dirs of utterances of --data: trained on as they were heard, too",
    )
    one.add_argument("--out", type=Path, required=True, help="folder of this run")
    one.add_argument("--seed", type=int, default=1, help="of bilstm_crf; a crf has none")
    one.add_argument("--epochs", type=int, default=20, help="bilstm_crf: passes at most")
    one.add_argument(
        "--embeddings",
        type=Path,
        help="bilstm_crf: pretrained word embeddings, GloVe's plain-text format",
    )
    one.add_argument(
        "--max_lost",
        type=float,
        default=0.01,
        help="share of the trees that may be impossible to express as tags",
    )
    two = commands.add_parser(
        "decode",
        help="tag words",
        formatter_class=formatter,
        description=cli.guide(
            "Tag words with a trained tagger, and write trees.",
            "atat pipeline decode --model exp/crf/model --text exp/asr/decode_test_asr --out "
            "exp/crf/decode_test",
            reads="MODEL; TEXT, a decoded dir of task asr or a data dir with text.",
            writes="OUT, a decoded dir like that of `atat decode`.",
        ),
    )
    two.set_defaults(command=decode)
    two.add_argument("--model", type=Path, required=True, help="trained tagger, exp/<name>/model")
    two.add_argument(
        "--text", type=Path, required=True, help="decoded dir of task asr, or data dir with text"
    )
    two.add_argument("--out", type=Path, required=True, help="decoded dir to write")
    return parser


def main(argv: list[str] | None = None) -> None:
    options = _parser().parse_args(argv)
    if getattr(options, "embeddings", None) and options.kind != "bilstm_crf":
        raise InputError("--embeddings are for --kind bilstm_crf; a crf looks at words themselves")
    if getattr(options, "epochs", 1) < 1:
        raise InputError(f"--epochs {options.epochs}: expected at least 1")
    with lock.hold(options.out, f"atat pipeline {options.command.__name__}"):
        options.command(options)
