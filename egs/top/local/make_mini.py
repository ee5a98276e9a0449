"""A miniature of everything the recipe reads, made up and spoken by a synthesiser.

    python local/make_mini.py --out data_mini/corpus --pretrain data_mini/pretrain

writes `top/{train,eval,test}.tsv` as TOP publishes it, `stop/` as STOP does (audio of the test
only), `audio/` with `audio.csv` as a user might, and in `--pretrain` the data dirs, without audio
yet, that egs/synthetic_tts would have: commands about music, and sentences that mean nothing.

Faults of the real corpora are planted: a row of two columns, a tree that is not closed, tokens
that are not the tree's, a tag inside "jane 's", codes for apostrophes, a test sentence that is in
training, STOP's folder names that lack their `_0`, recordings that are missing or cut off, and a
csv row that names no line of the test.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from atat.base import cli
from atat.base.files import atomic_write
from atat.datadir import kaldi_dir, licence, tables
from atat.datadir.corpus_top import MANIFESTS, PARTS
from atat.prepare.miniature_speech import Line, speak, voice
from atat.prepare.miniature_text import draw
from atat.text.normalize import normalize, normalize_tree
from atat.text.trees import parse, to_string, words

TEMPLATES = (
    "[IN:GET_DIRECTIONS Directions to [SL:DESTINATION {place} ] ]",
    "[IN:GET_DIRECTIONS How do I get to [SL:DESTINATION [IN:GET_EVENT the [SL:NAME_EVENT {name} ] "
    "[SL:CATEGORY_EVENT {event} ] ] ] ? ]",
    "[IN:GET_EVENT Any [SL:CATEGORY_EVENT {event} ] in [SL:LOCATION {place} ] "
    "[SL:DATE_TIME {when} ] ]",
    "[IN:GET_ESTIMATED_DURATION How long is the drive to [SL:DESTINATION [IN:GET_LOCATION_HOME "
    "[SL:CONTACT {person} ] 's house ] ] ]",
    "[IN:GET_INFO_TRAFFIC Is there traffic on [SL:LOCATION {road} ] [SL:DATE_TIME {when} ] ]",
    "[IN:UNSUPPORTED_NAVIGATION Where did I park {when} ]",
)
FILLERS = {
    "place": ("Boston", "the beach", "Cedar Park", "the airport"),
    "name": ("Eagles", "Mozart", "Harvest"),
    "event": ("game", "concert", "parade"),
    "when": ("at 9 : 30 am", "tonight", "this weekend", "at 5 pm"),
    "person": ("jane", "mike", "my sister"),
    "road": ("main street", "the bridge", "I 95"),
}
# What the miniature of egs/synthetic_tts teaches: another domain, other tags.
MUSIC = (
    "[IN:PLAY_SONG play [SL:SONG {song} ] by [SL:ARTIST {artist} ] ]",
    "[IN:PLAY_SONG put on [SL:SONG {song} ] ]",
    "[IN:SET_VOLUME set the volume to [SL:LEVEL {level} ] ]",
    "[IN:ADD_SONG add [SL:SONG [IN:GET_SONG the latest song by [SL:ARTIST {artist} ] ] ] "
    "to my list ]",
)
MUSIC_FILLERS = {
    "song": ("silver river", "cold moon", "dancing shadows", "the long road", "paper boats"),
    "artist": ("maria bennett", "the wild horses", "john stone"),
    "level": ("two", "five", "seven", "ten"),
}
EVERYDAY = (
    "the train to {place} leaves {when}",
    "{person} walked to the {event} in the rain",
    "nobody saw {person} at the {event}",
    "it was cold in {place} {when}",
)
SIZES = {"train": 40, "dev": 6, "test": 14}
STOP_COLUMNS = (
    "file_id",
    "domain",
    "gender",
    "native",
    "utterance",
    "seqlogical",
    "normalized_utterance",
    "normalized_seqlogical",
    "decoupled_normalized_seqlogical",
)


def tokens(tree: str) -> str:
    return " ".join(words(parse(tree)))


def make_top(folder: Path, rng: random.Random) -> dict[str, list[str]]:
    """Write TOP's three files; returns the trees of each, before faults were planted."""
    trees = draw(TEMPLATES, FILLERS, sum(SIZES.values()), rng)
    rng.shuffle(trees)
    parts: dict[str, list[str]] = {}
    for part, count in SIZES.items():
        parts[part], trees = trees[:count], trees[count:]
    parts["test"][2] = parts["train"][0]  # as in the real corpus, some sentences are in both
    for part, listed in parts.items():
        rows = [[tokens(tree), tokens(tree), tree] for tree in listed]
        if part == "train":
            rows += [
                ["A row of two columns", "[IN:GET_EVENT A row of two columns ]"],
                [*["What 's in Boston"] * 2, "[IN:GET_EVENT What 's in [SL:LOCATION Boston ]"],
                [
                    *["Tell me when there 's a game"] * 2,
                    "[IN:GET_EVENT Tell me when there 's a [SL:CATEGORY_EVENT match ] ]",
                ],
                [
                    *["Directions to Jane \\u2019 s party"] * 2,
                    "[IN:GET_DIRECTIONS Directions to [SL:DESTINATION Jane \\u2019 s party ] ]",
                ],
            ]
        with atomic_write(folder / PARTS[part]) as stream:
            stream.writelines("\t".join(row) + "\n" for row in rows)
    return parts


def make_stop(folder: Path, parts: dict[str, list[str]]) -> None:
    """Write STOP's manifests, and the audio of its test: some of TOP's sentences and others."""
    other = [
        "[IN:CREATE_TIMER start a timer for [SL:DATE_TIME ten minutes ] ]",
        "[IN:GET_WEATHER will it rain in [SL:LOCATION boston ] ]",
    ]
    lines = []
    for part, listed in parts.items():
        name = "eval" if part == "dev" else part
        chosen = listed[:8] + other if part == "test" else listed
        rows = []
        for number, tree in enumerate(chosen, 1):
            # The folder has no `_0` at its end, as in the real corpus.
            path = folder / f"{name}_0" / f"navigation_{name}" / f"{number:08d}.wav"
            said = to_string(normalize_tree(parse(tree)))
            rows.append(
                [
                    f"{name}_0/navigation_{name}_0/{path.name}",
                    "navigation",
                    "female",
                    "yes",
                    tokens(tree).lower(),
                    tree,
                    tokens(said),
                    said,
                    said,
                ]
            )
            if part == "test":
                lines.append(Line(path, tokens(tree), 4 + number % 3))
        if part == "test":
            rows[-1].pop()  # a row that is cut off
        with atomic_write(folder / MANIFESTS / PARTS[part]) as stream:
            stream.writelines("\t".join(row) + "\n" for row in [list(STOP_COLUMNS), *rows])
    speak(lines[1:])  # the first recording is missing
    _cut(lines[1].path)


def make_audio(folder: Path, table: Path, test: list[str]) -> None:
    """Write a folder of recordings and its csv, as a user would make them."""
    rows, lines = [], []
    for number, tree in list(enumerate(test, 1))[-6:]:
        name = f"anna/{number}.wav" if number % 2 else f"ben/{number}.wav"
        lines.append(Line(folder / name, tokens(tree), 8 + number % 2))
        rows.append(f'{name},{number},"{tokens(tree)}",{name.partition("/")[0]}')
    rows.append("ben/missing.wav,1,,ben")
    rows.append(f'ben/beyond.wav,{len(test) + 1},"{tokens(test[0])}",ben')
    with atomic_write(table) as stream:
        stream.writelines(f"{row}\n" for row in ["file,row,text,speaker", *rows])
    speak(lines)


def make_pretrain(folder: Path, rng: random.Random) -> None:
    """Write data dirs as those of egs/synthetic_tts are before anything is spoken."""
    music = draw(MUSIC, MUSIC_FILLERS, 22, rng)
    rng.shuffle(music)
    spoken = {key: tuple(map(normalize, values)) for key, values in FILLERS.items()}
    everyday = draw(EVERYDAY, spoken, 22, rng)
    for part, first, last in (("train", 0, 18), ("dev", 18, 22)):
        for domain, listed in (("music", music), ("everyday", everyday)):
            utterances = []
            for number, line in enumerate(listed[first:last]):
                speaker = f"{part}{number % 3}"
                is_tree = domain == "music"
                utterances.append(
                    kaldi_dir.Utterance(
                        id=f"{speaker}-{domain}-{number:03d}",
                        speaker=speaker,
                        text=tokens(line) if is_tree else line,
                        semantics=line if is_tree else None,
                    )
                )
            kaldi_dir.write(folder / f"{part}_{domain}", utterances)
            licence.write(folder / f"{part}_{domain}", licence.OWN)
            tables.write_table(
                folder / f"{part}_{domain}" / "spk2voice",
                {
                    f"{part}{number}": voice(12 + number + 3 * (part == "dev"))
                    for number in range(3)
                },
            )


def _cut(path: Path) -> None:
    """Leave a half of a file, as a broken download does."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/make_mini.py "
        "--out data_mini/corpus --pretrain data_mini/pretrain",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the corpora")
    parser.add_argument(
        "--pretrain",
        type=Path,
        help="folder for data dirs that a stand-in for pretraining learns from; without it, only "
        "TOP itself is written, and nothing is spoken",
    )
    options = parser.parse_args(argv)
    rng = random.Random(1)
    parts = make_top(options.out / "top", rng)
    licence.write(options.out / "top", licence.OWN)
    if options.pretrain is None:
        return
    make_stop(options.out / "stop", parts)
    licence.write(options.out / "stop", licence.OWN)
    make_audio(options.out / "audio", options.out / "audio.csv", parts["test"])
    make_pretrain(options.pretrain, rng)


if __name__ == "__main__":
    cli.run(main)
