"""A made-up miniature of three corpora, in the layout of the real ones, for `run.sh --mini`.

    python local/make_mini.py --out data_mini/corpus

writes `picovoice/` (grammar, labels, recordings, kitchen noise and sentences of the benchmark),
`speechocean762/` (people reading) and `snips_nlu/` (commands of other domains); the voices are
those of `atat.prepare.miniature_speech`. As in the real recordings there is silence before and
behind an order.

Faults of the real corpora are planted: stray blanks in values, labels without a recording, tabs
between the columns of speechocean762, a file of SNIPS NLU that is not UTF-8; and those of a broken
download: an order that is cut off, a reading that is missing.
"""

from __future__ import annotations

import argparse
import json
import random
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from order_grammar import load
from picovoice import GRAMMAR, LABELS, NOISE, SENTENCES, SPEECH

from atat.base import cli
from atat.base.files import atomic_write
from atat.datadir import licence
from atat.prepare.miniature_speech import Line, speak
from atat.prepare.miniature_text import draw
from atat.speech import audio, augment
from atat.text.normalize import normalize
from atat.text.trees import Tree, parse

COFFEE_MAKER = """\
context:
  expressions:
    orderDrink:
      - "[can I get, I'd like, make me] [a, an] $size:size $roast:roast $coffeeDrink:coffeeDrink"
      - "[can I get, I'd like, make me] [a, an] $numberOfShots:numberOfShots \
$coffeeDrink:coffeeDrink with $milkAmount:milkAmount"
      - "[can I get, I'd like, make me] [a, an] $size:size $coffeeDrink:coffeeDrink with \
$sugarAmount:sugarAmount and $milkAmount:milkAmount"
  slots:
    size: ["small", "large", "twelve ounce"]
    roast: ["light roast", "dark roast"]
    numberOfShots: ["single shot", "double shot"]
    coffeeDrink: ["americano", "espresso", "iced coffee", "latte", "mocha"]
    milkAmount: ["milk", "a bit of soy milk", "some cream"]
    sugarAmount: ["sugar", "lots of brown sugar", "some sweetener"]
"""
ORDERS, UNRECORDED, PUBLISHED = 16, 2, 8  # recordings, labels without one, sentences
CUT_OFF = 3  # number of an order
STRAY = (1, 6)  # numbers of orders whose values have a blank too much
BEFORE, BEHIND, HISS = 0.6, 1.5, 0.0005  # s, s, amplitude
KITCHEN, LOUDNESS = 20, 0.05  # s of noise, amplitude

READERS = {"train": (1, 5, 2016), "test": (3,)}  # a few of the real speakers' numbers
READINGS = 4  # of each
MISSING = "000050001"
READ = ("{who} likes {what}", "{who} bought {what} {when}", "{when} {who} forgot {what}")
READ_FILLERS = {
    "who": ("my sister", "the teacher", "an old friend", "mary"),
    "what": ("the blue umbrella", "two tickets", "the morning paper", "warm bread"),
    "when": ("on monday", "after school", "in the winter"),
}

# As trees, whose intents are the corpus' folders and whose slots its entities.
COMMANDS = {
    "GetWeather": (
        "[IN:GetWeather will it [SL:condition_description {sky} ] in [SL:city {city} ] ]",
        "[IN:GetWeather What is the weather in [SL:city {city} ] [SL:timeRange {time} ] ? ]",
    ),
    "PlayMusic": (
        "[IN:PlayMusic Play [SL:track {song} ] by [SL:artist {artist} ] ]",
        "[IN:PlayMusic put on some [SL:artist {artist} ] please ]",
    ),
    "RateBook": (
        "[IN:RateBook give [SL:object_name {book} ] [SL:rating_value {points} ] points ]",
    ),
}
COMMAND_FILLERS = {
    "sky": ("rain", "snow", "be sunny"),
    "city": ("Boston", "Cedar Park", "Dublin"),
    "time": ("tomorrow", "at noon", "in 5 minutes"),
    "song": ("Silver River", "Cold Moon", "Paper Boats"),
    "artist": ("Maria Bennett", "John Stone", "André Lind"),
    "book": ("The Long Road", "Winter Light", "A Quiet House"),
    "points": ("two", "4", "five"),
}
LATIN = "PlayMusic"  # the folder whose large file is in Latin-1
TRAINED, VALIDATED = 8, 1  # commands of an intent


def make_orders(folder: Path, rng: random.Random) -> None:
    """Write the benchmark, as Picovoice's repository has it."""
    with atomic_write(folder / GRAMMAR) as stream:
        stream.write(COFFEE_MAKER)
    grammar = load(folder / GRAMMAR)
    said = [grammar.sample(rng) for _ in range(ORDERS + UNRECORDED + PUBLISHED)]
    with atomic_write(folder / SENTENCES) as stream:
        stream.writelines(f"{sentence}\n" for sentence in said[-PUBLISHED:])
    labels: dict[str, Any] = {}
    lines = []
    for number, sentence in enumerate(said[:-PUBLISHED]):
        # Names are hashes, as the real ones; with these, each of two folds has a dev set.
        name = f"{uuid.uuid5(uuid.NAMESPACE_DNS, f'customer {number}')}.wav"
        order = grammar.understand(normalize(sentence))
        assert order is not None
        blank = " " if number in STRAY else ""
        slots = {slot: f"{blank}{value}" for slot, value in sorted(order.slots.items())}
        labels[name] = {"intent": order.intent, "slots": slots}
        if number < ORDERS:
            lines.append(Line(folder / SPEECH / name, sentence, number))
    with atomic_write(folder / LABELS) as stream:
        json.dump(labels, stream, indent=4, sort_keys=True)
    speak(lines)
    noise = np.random.default_rng(1)
    for line in lines:
        around = [round(seconds * audio.SAMPLE_RATE) for seconds in (BEFORE, BEHIND)]
        samples = np.pad(audio.load(line.path), around)
        audio.save(line.path, samples + noise.normal(0, HISS, len(samples)))
    cut(lines[CUT_OFF].path)
    kitchen = augment.coloured_noise(noise, KITCHEN * audio.SAMPLE_RATE)
    audio.save(folder / NOISE / "kitchen.wav", LOUDNESS * kitchen)


def make_readings(folder: Path, rng: random.Random) -> None:
    """Write people who read aloud, as speechocean762 has them."""
    count = sum(map(len, READERS.values()))
    sentences = iter(draw(READ, READ_FILLERS, count * READINGS, rng))
    lines = []
    for part, readers in READERS.items():
        tables: dict[str, list[tuple[str, str]]] = {
            name: [] for name in ("wav.scp", "text", "utt2spk", "spk2utt", "spk2age", "spk2gender")
        }
        for reader in readers:
            keys = [f"{reader:05d}{number:04d}" for number in range(READINGS)]
            tables["spk2utt"].append((f"{reader:04d}", " ".join(keys)))
            tables["spk2age"].append((f"{reader:04d}", "25"))
            tables["spk2gender"].append((f"{reader:04d}", "f"))
            for key in keys:
                wav = f"WAVE/SPEAKER{reader:04d}/{key}.WAV"
                sentence = next(sentences).upper()
                tables["wav.scp"].append((key, wav))
                tables["text"].append((key, sentence))
                tables["utt2spk"].append((key, f"{reader:04d}"))
                if key != MISSING:
                    lines.append(Line(folder / wav, sentence, 8 + reader % 10))
        for name, rows in tables.items():
            with atomic_write(folder / part / name) as stream:
                between = " " if name in ("utt2spk", "spk2utt") else "\t"
                stream.writelines(f"{key}{between}{value}\n" for key, value in rows)
    speak(lines)


def make_commands(folder: Path, rng: random.Random) -> None:
    """Write commands of other domains, as SNIPS NLU has them."""
    for intent, templates in COMMANDS.items():
        trees = draw(templates, COMMAND_FILLERS, TRAINED + VALIDATED, rng)
        utterances = [{"data": spans(parse(tree))} for tree in trees]
        files = {
            f"train_{intent}_full.json": utterances[:TRAINED],
            f"train_{intent}.json": utterances[: TRAINED // 2],
            f"validate_{intent}.json": utterances[TRAINED:],
        }
        for name, listed in files.items():
            text = json.dumps({intent: listed}, indent=2, ensure_ascii=False)
            latin = intent == LATIN and "full" in name
            with atomic_write(folder / intent / name, "wb") as stream:
                stream.write(text.encode("latin-1" if latin else "utf-8"))


def spans(tree: Tree) -> list[dict[str, str]]:
    """A tree's words as SNIPS NLU marks them; blanks belong to the words outside of slots."""
    found: list[dict[str, str]] = []
    for child in tree.children:
        if isinstance(child, Tree):
            value = " ".join(map(str, child.children))
            found += [
                {"text": value, "entity": child.label.removeprefix("SL:")},
                {"text": " "},
            ]
        elif found and "entity" not in found[-1]:
            found[-1]["text"] += f"{child} "
        else:
            found.append({"text": f"{child} "})
    return found


def cut(path: Path) -> None:
    """Leave a half of a file, as a broken download does."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/make_mini.py "
        "--out data_mini/corpus",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the corpora")
    options = parser.parse_args(argv)
    rng = random.Random(1)
    make_orders(options.out / "picovoice", rng)
    make_readings(options.out / "speechocean762", rng)
    make_commands(options.out / "snips_nlu", rng)
    for name in ("picovoice", "speechocean762", "snips_nlu"):
        licence.write(options.out / name, licence.OWN)
    print(f"{options.out}: {ORDERS} orders, readings and commands, made up")


if __name__ == "__main__":
    cli.run(main)
