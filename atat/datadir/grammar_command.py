"""The command `atat grammar`: text data from a grammar (`atat.text.grammar_files` says which).

`expanded` chooses the sentences, different ones, and writes nothing.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import files, kaldi_dir
from atat.text import grammar_files, trees
from atat.text.grammar import BY, INTENT, Grammar, Sentence

SPEAKER = "grammar"
SEED = 1  # unless another is given
MOST = 1_000_000  # derivations that are listed
FORMAT = """A grammar of our own (hassil's templates in the simplest file):

  intents:
    play music:
      - (play | put on) [some] {song} [by {artist}]
      - <please> play {song}
  lists:
    song: [silver river, lonely shadow]
    artist: [maria bennett]
  rules:
    please: "[could you | would you] please"

  (a | b) one of them; [a | b] one or none; {song} a value of the list, which becomes a slot;
  {song:title} the same as slot title; <please> a rule; (a; b) in any order; light[s] one word.
  Put quotes around a template that begins with { or [.

Sentences of Home Assistant (hassil; several files are one grammar, so lists that it fills itself,
such as name and area, can come from a file of yours) and contexts of Rhino are read, too."""


def main(argv: list[str] | None = None) -> None:
    """Run `atat grammar expand`; raises InputError for a grammar that cannot be read."""
    options = _parser().parse_args(argv)
    cli.check_positive(options, "number")
    grammar = grammar_files.load(options.grammars)
    sentences = expanded(
        grammar,
        number=options.number,
        seed=options.seed,
        by=options.by,
        weights=_weights(options.weights),
    )
    write(options.out, sentences)


def _parser() -> argparse.ArgumentParser:
    parser = cli.Parser(
        prog="atat grammar",
        description=cli.guide(
            "Sentences with their meaning from a grammar.",
            "atat grammar expand --help",
            reads="grammars in YAML.",
            writes="data dirs of text and semantics.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    expand = commands.add_parser(
        "expand",
        help="Write sentences of a grammar as a data dir of text",
        description=cli.guide(
            "Write different sentences of a grammar, all of them or some drawn at random, as a "
            "data dir for the task nlu.",
            "atat grammar expand music.yaml --out data/music --number 5000",
            "atat grammar expand music.yaml --out data/music --by sentence --number 500",
            reads="GRAMMAR: a file of our own, of hassil (Home Assistant) or of Rhino.",
            writes="DATA: text, semantics, utt2spk, spk2utt. What was there is replaced whole, or "
            "stays as it was if the grammar has a mistake.",
        )
        + "\n\n"
        + FORMAT,
        formatter_class=cli.HelpFormatter,
    )
    expand.add_argument("grammars", metavar="GRAMMAR", nargs="+", type=Path, help="YAML files")
    expand.add_argument("--out", metavar="DATA", type=Path, required=True, help="data dir to write")
    expand.add_argument("--number", type=int, metavar="N", help="how many; without: all of them")
    expand.add_argument("--seed", type=int, help=f"draws the sentences (default: {SEED})")
    expand.add_argument(
        "--by",
        choices=BY,
        help="what is drawn alike: intents, then their templates; templates; or sentences. By "
        "intent and template, alternatives and values are alike, and an optional part is there "
        f"half the time; by sentence every way through the grammar is alike (default: {INTENT})",
    )
    expand.add_argument(
        "--weights",
        metavar="INTENT=W",
        nargs="+",
        default=[],
        help="factors on how often intents are drawn: PLAY_MUSIC=3 STOP=0.5",
    )
    return parser


def _weights(options: Iterable[str]) -> dict[str, float]:
    found = {}
    for option in options:
        name, equals, value = option.partition("=")
        try:
            weight = float(value)
        except ValueError:
            weight = -1.0
        if not equals or not 0 <= weight < float("inf"):
            raise InputError(f"--weights {option}: expected INTENT=W, with a number W, 0 or more")
        found[trees.tag_name(name.removeprefix("IN:"))] = weight
    return found


def expanded(
    grammar: Grammar,
    *,
    number: int | None = None,
    seed: int | None = None,
    by: str | None = None,
    weights: Mapping[str, float] | None = None,
) -> list[Sentence]:
    """Different sentences of a grammar: `number` drawn ones, or all in the order of the file.

    seed, by (an intent is drawn, unless it says otherwise) and weights are for drawn ones.
    If the grammar has fewer, all that can be found. A sentence with two meanings keeps the first
    that is found; both are printed. Raises InputError if all are wanted and they are too many.
    """
    ways = grammar.derivations()
    if number is None:
        for option, value in (("--seed", seed), ("--by", by), ("--weights", weights or None)):
            if value is not None:
                raise InputError(
                    f"{option} needs --number: without it every sentence is written once"
                )
        if ways > MOST:
            raise InputError(
                f"the grammar derives {ways:,} sentences, more than the {MOST:,} that are listed; "
                "say how many to draw (--number)"
            )
        return _different(grammar.every(), None)
    # By then a sentence of the usual probability has been found many times over.
    rng = random.Random(f"sentences {SEED if seed is None else seed}")
    drawn = grammar.draw(rng, by=by or INTENT, weights=weights)
    # There are no more sentences than ways to derive one: a small grammar ends at once.
    found = _different(itertools.islice(drawn, 30 * number + 1000), min(number, ways))
    if len(found) < number:
        print(f"{len(found)} different sentences were found, not {number}: the grammar has no more")
    return found


def _different(sentences: Iterable[Sentence], number: int | None) -> list[Sentence]:
    found: dict[str, Sentence] = {}
    ambiguous: dict[str, str] = {}
    for sentence in sentences:
        first = found.setdefault(sentence.text, sentence)
        if first.tree != sentence.tree and sentence.text not in ambiguous:
            ambiguous[sentence.text] = trees.to_string(sentence.tree)
        if number is not None and len(found) == number:
            break
    for text, other in itertools.islice(ambiguous.items(), 3):
        print(f"two meanings, the first is kept: {trees.to_string(found[text].tree)} and {other}")
    if len(ambiguous) > 3:
        print(f"two meanings: {len(ambiguous)} sentences in all")
    return list(found.values())


def write(out: Path, sentences: Sequence[Sentence]) -> None:
    """Write sentences as a data dir without recordings."""
    if not sentences:
        raise InputError(f"{out}: no sentences to write; the templates have no words")
    files.write_anew(
        out,
        (
            kaldi_dir.Utterance(
                id=f"{SPEAKER}-{number:07d}",
                speaker=SPEAKER,
                text=sentence.text,
                semantics=trees.to_string(sentence.tree),
            )
            for number, sentence in enumerate(sentences, 1)
        ),
        beside={},
        license_="",
    )
    intents = {sentence.tree.label for sentence in sentences}
    print(f"{out}: {len(sentences)} sentences of {len(intents)} intents")
