"""The text of the corpus and who speaks it: data dirs without audio, ready for `atat synthesis`.

    python local/make_corpus.py --size tiny --out data --seed 1

Makes {train,dev,test}_{music,books}, test_{music,books}_real (the sentences of the test in voices
of another engine), {train,dev}_books_text (no voices) and {train,dev}_everyday (no meaning; general
speech for the asr task). Speakers of train, dev, test and real are four sets without common voices.
train_books_real are the sentences of train_books in some of the other engine's voices;
`real_held.list` names the speakers of test_*_real who have none of these.
Sentences of dev and test are not in train but of its words; a share of the values of open slots is
in no sentence of train, and `utt2group` tells which sentences have such values. `corpus.json` says
what was made. Knows nothing of audio.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grammar import Grammar, load_grammar
from speakers import Voices, engines_of, make_voices, without_voices_of

from atat.base import cli
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.datadir import licence, tables
from atat.prepare import voices
from atat.text import trees
from atat.text.trees import Tree

CONF = Path(__file__).resolve().parent.parent / "conf"
DOMAINS = ("music", "books")


@dataclass(frozen=True)
class Size:
    """How many utterances each set has, and how many values of an open slot."""

    train: Mapping[str, int]
    dev: int
    test: int
    values: Mapping[str, int]  # of each open slot, for train, dev, test


SIZES = {
    "mini": Size(
        {"music": 60, "books": 40, "everyday": 40}, 8, 10, {"train": 20, "dev": 6, "test": 10}
    ),
    "tiny": Size(
        {"music": 1500, "books": 800, "everyday": 800},
        150,
        200,
        {"train": 80, "dev": 20, "test": 40},
    ),
    "full": Size(
        {"music": 12000, "books": 6000, "everyday": 6000},
        500,
        1000,
        {"train": 400, "dev": 60, "test": 150},
    ),
}
# Share of the sentences of train that are new; the others are said again by another speaker.
DISTINCT = 0.8
# Share of the sentences of dev and test whose open slots have values that train never has.
UNSEEN = 0.5
# Share of train_music whose meaning the experiment with few labels knows.
LABELLED = 0.1


@dataclass(frozen=True)
class Sentence:
    """Something to say; `meaning` is None for everyday sentences."""

    text: str
    meaning: Tree | None


Values = Mapping[str, Sequence[str]]


def split_values(
    grammar: Grammar, size: Size, rng: random.Random
) -> dict[str, dict[str, list[str]]]:
    """Values of each slot for train, dev and test: disjoint for open slots, shared for others."""
    parts: dict[str, dict[str, list[str]]] = {part: {} for part in size.values}
    for slot, values in grammar.values.items():
        if slot not in grammar.open_slots:
            for part in parts:
                parts[part][slot] = list(values)
            continue
        rest = rng.sample(values, len(values))
        # Where a slot has few values, it is train that gets fewer.
        held_out = size.values["dev"] + size.values["test"]
        count = max(0, min(size.values["train"], len(rest) - 2 * held_out))
        parts["train"][slot], rest = rest[:count], rest[count:]
        # What is held out is made of words that are not: new values, not new words.
        words = {word for value in parts["train"][slot] for word in value.split()}
        rest = [value for value in rest if words.issuperset(value.split())]
        for part in ("dev", "test"):
            parts[part][slot], rest = rest[: size.values[part]], rest[size.values[part] :]
        if any(len(parts[part][slot]) < size.values[part] for part in ("dev", "test")):
            raise InputError(f"grammar: {slot} has only {len(values)} values; add words or forms")
    return parts


def draw(
    grammar: Grammar,
    domain: str,
    values: Values,
    count: int,
    taken: set[str],
    rng: random.Random,
    vocabulary: set[str] | None = None,
) -> list[Sentence]:
    """New sentences, added to `taken`, of the words of a vocabulary where one is given."""
    sentences: list[Sentence] = []
    for _ in range(200 * count):
        if len(sentences) == count:
            return sentences
        if domain == "everyday":
            sentence = Sentence(" ".join(grammar.draw_everyday(rng).split()), None)
        else:
            tree = grammar.draw(domain, values, rng)
            sentence = Sentence(" ".join(trees.words(tree)), tree)
        words = sentence.text.split()
        if len(words) > grammar.longest or not (vocabulary is None or vocabulary.issuperset(words)):
            continue
        if sentence.text not in taken:
            taken.add(sentence.text)
            sentences.append(sentence)
    raise InputError(f"grammar: {domain} has no {count} distinct sentences; add words or phrases")


def open_values(sentence: Sentence, open_slots: frozenset[str]) -> set[tuple[str, str]]:
    """(slot, value) of the open slots; a slot that holds an intent counts by its inner slots."""
    found: set[tuple[str, str]] = set()

    def visit(tree: Tree) -> None:
        inner = [child for child in tree.children if isinstance(child, Tree)]
        slot = tree.label.removeprefix("SL:")
        if slot in open_slots and not inner:
            found.add((slot, " ".join(trees.words(tree))))
        for child in inner:
            visit(child)

    if sentence.meaning is not None:
        visit(sentence.meaning)
    return found


def draw_domain(
    grammar: Grammar, domain: str, size: Size, rng: random.Random
) -> dict[str, list[Sentence]]:
    """The sentences of train, dev and test of a domain."""
    parts = split_values(grammar, size, rng)
    taken: set[str] = set()
    distinct = round(DISTINCT * size.train[domain])
    drawn = {"train": draw(grammar, domain, parts["train"], distinct, taken, rng)}
    if domain != "everyday":
        # "Seen" values are those that train does say.
        said = {
            pair
            for sentence in drawn["train"]
            for pair in open_values(sentence, grammar.open_slots)
        }
        parts["train"].update(
            {
                slot: [value for value in parts["train"][slot] if (slot, value) in said]
                or parts["train"][slot]
                for slot in grammar.open_slots
            }
        )
    words = {word for sentence in drawn["train"] for word in sentence.text.split()}
    for part, count in (("dev", size.dev), ("test", size.test)):
        unseen = round(UNSEEN * count)
        drawn[part] = [
            *draw(grammar, domain, parts[part], unseen, taken, rng, words),
            *draw(grammar, domain, parts["train"], count - unseen, taken, rng, words),
        ]
        rng.shuffle(drawn[part])
    repeats = size.train[domain] - distinct
    drawn["train"] += rng.sample(drawn["train"], repeats)
    return drawn


def write_dir(
    folder: Path,
    sentences: Sequence[Sentence],
    speaking: Voices,
    domain: str,
    rng: random.Random,
    groups: Sequence[str] | None = None,
) -> None:
    """A data dir in which the speakers share the sentences evenly."""
    speakers = list(speaking)
    turns = [speakers[number % len(speakers)] for number in range(len(sentences))]
    rng.shuffle(turns)
    turns = _without_repeats(sentences, turns, speakers)
    ids = [f"{speaker}-{domain}-{number:05d}" for number, speaker in enumerate(turns)]
    columns: dict[str, dict[str, str]] = {
        "text": dict(zip(ids, (sentence.text for sentence in sentences))),
        "utt2spk": dict(zip(ids, turns)),
    }
    if all(sentence.meaning is not None for sentence in sentences):
        columns["semantics"] = {
            utterance: trees.to_string(sentence.meaning)
            for utterance, sentence in zip(ids, sentences)
            if sentence.meaning is not None
        }
    if any(speaking.values()):
        columns["spk2voice"] = {speaker: speaking[speaker] for speaker in set(turns)}
    if groups is not None:
        columns["utt2group"] = dict(zip(ids, groups))
    voices.write_sentences(folder, columns)
    licence.write(folder, licence.OWN)  # the grammar is a part of this project


def _without_repeats(
    sentences: Sequence[Sentence], turns: Sequence[str], speakers: Sequence[str]
) -> list[str]:
    """The turns, changed where a speaker would say a sentence twice."""
    said: set[tuple[str, str]] = set()
    result = []
    for sentence, speaker in zip(sentences, turns):
        while (speaker, sentence.text) in said and len(speakers) > 1:
            speaker = speakers[(speakers.index(speaker) + 1) % len(speakers)]
        said.add((speaker, sentence.text))
        result.append(speaker)
    return result


def make_corpus(out: Path, size_name: str, seed: int) -> dict[str, Any]:
    """Write all data dirs and corpus.json; returns what corpus.json holds."""
    size = SIZES[size_name]
    grammar = load_grammar(CONF / "grammar.yaml", size_name)
    speaking = make_voices(CONF / "voices.yaml", size_name, seed)
    has_flite = engines_of(speaking["real"]) == {"flite"}
    report: dict[str, Any] = {
        "size": size_name,
        "seed": seed,
        "real": "flite" if has_flite else "held-out espeak-ng voices",
        "voices": speaking,
        "sets": {},
    }
    for domain in (*DOMAINS, "everyday"):
        rng = random.Random(f"{domain} {seed}")
        drawn = draw_domain(grammar, domain, size, rng)
        seen = {
            pair
            for sentence in drawn["train"]
            for pair in open_values(sentence, grammar.open_slots)
        }
        for part, sentences in drawn.items():
            if domain == "everyday" and part == "test":
                continue
            groups = None
            if domain != "everyday" and part != "train":
                groups = [
                    "seen" if open_values(sentence, grammar.open_slots) <= seen else "unseen"
                    for sentence in sentences
                ]
            name = f"{part}_{domain}"
            write_dir(out / name, sentences, speaking[part], domain, rng, groups)
            if part == "test":
                write_dir(out / f"{name}_real", sentences, speaking["real"], domain, rng, groups)
            if name == "train_books":
                write_dir(
                    out / f"{name}_real",
                    sentences,
                    speaking["real_train"],
                    domain,
                    random.Random(f"real {seed}"),
                )
            if domain == "books" and part != "test":
                distinct = list({sentence.text: sentence for sentence in sentences}.values())
                write_dir(out / f"{name}_text", distinct, {"text": ""}, domain, rng)
            report["sets"][name] = _describe(sentences, seen, grammar, groups)
    write_lists(out, seed)
    held = without_voices_of(speaking["real"], speaking["real_train"])
    with atomic_write(out / "real_held.list") as stream:
        stream.writelines(f"{speaker}\n" for speaker in held)
    with atomic_write(out / "corpus.json") as stream:
        json.dump(report, stream, indent=2)
        stream.write("\n")
    return report


def write_lists(out: Path, seed: int) -> None:
    """A tenth of the utterances of train_music, drawn by lot, and the others."""
    utterances = sorted(tables.read_table(out / "train_music" / "utt2spk"))
    count = round(LABELLED * len(utterances))
    chosen = set(random.Random(f"labelled {seed}").sample(utterances, count))
    for name, wanted in (("train_music_10", True), ("train_music_90", False)):
        with atomic_write(out / f"{name}.list") as stream:
            stream.writelines(f"{one}\n" for one in utterances if (one in chosen) == wanted)


def _describe(
    sentences: Sequence[Sentence],
    seen: set[tuple[str, str]],
    grammar: Grammar,
    groups: Sequence[str] | None,
) -> dict[str, Any]:
    """Figures of a set, for corpus.json."""
    words = [word for sentence in sentences for word in sentence.text.split()]
    values = [pair for sentence in sentences for pair in open_values(sentence, grammar.open_slots)]
    figures: dict[str, Any] = {
        "utterances": len(sentences),
        "distinct_sentences": len({sentence.text for sentence in sentences}),
        "mean_words": round(len(words) / len(sentences), 2),
        "vocabulary": len(set(words)),
    }
    if groups is not None:
        unseen = sum(pair not in seen for pair in values)
        figures["open_values_unseen"] = round(unseen / max(len(values), 1), 3)
        figures["sentences_unseen"] = round(groups.count("unseen") / len(groups), 3)
    return figures


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        prog="python local/make_corpus.py",
        description="Make the data dirs of the corpus, without audio. "
        "Example: python local/make_corpus.py --size tiny --out data --seed 1",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--size", choices=list(SIZES), default="tiny", help="size of the corpus")
    parser.add_argument("--out", default="data", help="folder for the data dirs")
    parser.add_argument("--seed", type=int, default=1, help="another seed is another corpus")
    options = parser.parse_args(argv)
    report = make_corpus(Path(options.out), options.size, options.seed)
    for name, figures in report["sets"].items():
        print(
            f"{name}: {figures['utterances']} utterances, {figures['distinct_sentences']} "
            f"distinct, {figures['mean_words']} words each"
        )


if __name__ == "__main__":
    cli.run(main)
