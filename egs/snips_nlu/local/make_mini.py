"""A made-up miniature of the SNIPS NLU benchmark, in the layout of the real one.

    python local/make_mini.py --out data_mini/corpus

Three intents with a dozen sentences each, and one of their files in Latin-1, as two of the real
ones are. Text only: the recipe speaks it. It shows that the recipe runs; nothing is learned.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

from atat.base import cli
from atat.base.files import atomic_write
from atat.datadir import licence
from atat.datadir.corpus_snips_nlu import TRAIN, VALIDATE

# Words and, in braces, slots: `entity` and where its values are.
TEMPLATES = {
    "GetWeather": ("Will it {condition_description} in {city}?", "What's it like in {city}"),
    "PlayMusic": ("Play {track} by {artist}", "Put on some {artist}, please"),
    "RateBook": ("Give {object_name} {rating_value} points", "Rate {object_name} {rating_value}"),
}
VALUES = {
    "condition_description": ("rain", "snow", "be sunny"),
    "city": ("Boston", "Cedar Park", "Dublin", "São Tomé"),
    "track": ("Silver River", "Cold Moon", "Paper Boats"),
    "artist": ("Maria Bennett", "John Stone", "André Lind"),
    "object_name": ("The Long Road", "Winter Light", "A Quiet House"),
    "rating_value": ("two", "4", "five"),
}
LATIN = "PlayMusic"  # the folder whose large file is in Latin-1
TESTED = 2  # sentences of an intent


def sentences(template: str) -> list[list[dict[str, str]]]:
    """The template with all values, as the `data` of an utterance: text and slots in turns."""
    parts = template.replace("}", "{").split("{")  # outside, inside, outside ...
    names = parts[1::2]
    made = []
    for values in itertools.product(*(VALUES[name] for name in names)):
        spans = [{"text": text} for text in parts[::2]]
        slots = [{"text": value, "entity": name} for name, value in zip(names, values)]
        pairs = itertools.zip_longest(spans, slots)
        made.append([span for pair in pairs for span in pair if span and span["text"]])
    return made


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/make_mini.py "
        "--out data_mini/corpus",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the corpus")
    options = parser.parse_args(argv)
    total = 0
    for intent, templates in TEMPLATES.items():
        # Both templates in turns, so that each is trained and tested.
        pairs = itertools.zip_longest(*map(sentences, templates))
        data = [{"data": spans} for pair in pairs for spans in pair if spans]
        files = {VALIDATE: data[:TESTED], TRAIN: data[TESTED:]}
        for pattern, listed in files.items():
            text = json.dumps({intent: listed}, indent=2, ensure_ascii=False)
            latin = intent == LATIN and pattern == TRAIN
            with atomic_write(options.out / intent / pattern.format(intent), "wb") as stream:
                stream.write(text.encode("latin-1" if latin else "utf-8"))
        total += len(data)
    licence.write(options.out, licence.OWN)
    print(f"{options.out}: {total} sentences of {len(TEMPLATES)} intents, made up")


if __name__ == "__main__":
    cli.run(main)
