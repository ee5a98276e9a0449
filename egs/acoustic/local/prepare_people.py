"""People reading: speechocean762 to learn from, and recordings of people to test on.

    python local/prepare_people.py --speechocean ~/speechocean762 --librispeech ~/test-other \\
        --textgrids ~/aligned --out data

writes `people/{train,dev}` (of the corpus' training speakers some are kept for dev) and the test
sets `test_speechocean` (the corpus' test speakers), `test_librispeech` (all that is found below the
folder) and `test_textgrids`: recordings NAME.wav or NAME.flac beside NAME.TextGrid, as the
Montreal Forced Aligner writes them; their text is the words of the TextGrid. What cannot be used is
listed in `findings_<name>.txt`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import read_speech
from atat.datadir.corpus import Oddities
from atat.datadir.folds import held_out
from atat.datadir.read_speech import Recording
from atat.prepare.textgrid import read_phones, read_textgrid

SUFFIXES = (".wav", ".flac", ".WAV")


def with_textgrids(folder: Path, oddities: Oddities) -> list[Recording]:
    """The recordings of a folder that have a TextGrid with words and phones.

    Nothing says who speaks: each is its own speaker. Raises InputError if there is none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; it is given by --textgrids")
    found = []
    for grid in sorted(folder.rglob("*.TextGrid")):
        wav = next((p for s in SUFFIXES if (p := grid.with_suffix(s)).is_file()), None)
        if wav is None:
            oddities.add("TextGrid without a recording (left out)", str(grid))
            continue
        try:
            words, _ = read_textgrid(grid)
            read_phones(grid)
        except InputError as error:
            oddities.add("TextGrid without words and phones (left out)", str(error))
            continue
        text = " ".join(word.text for word in words)
        found.append(Recording(grid.stem, grid.stem, wav, text, "textgrids"))
    if not found:
        raise InputError(
            f"{folder}: no NAME.TextGrid with the tiers words and phones beside NAME.wav (or "
            "NAME.flac)"
        )
    return found


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/prepare_people.py "
        "--speechocean ~/speechocean762 --out data",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--speechocean", type=Path, required=True, help="folder of speechocean762")
    parser.add_argument("--librispeech", type=Path, help="folders of LibriSpeech to test on")
    parser.add_argument("--textgrids", type=Path, help="recordings with TextGrids to test on")
    parser.add_argument("--out", type=Path, default=Path("data"), help="where data dirs go")
    parser.add_argument(
        "--dev_share", type=float, default=0.05, help="share of the training speakers for dev"
    )
    parser.add_argument(
        "--max_lost", type=float, default=0.01, help="share of recordings that may be unusable"
    )
    options = parser.parse_args(argv)
    speechocean = options.speechocean
    oddities = {name: Oddities() for name in ("speechocean", "librispeech", "textgrids")}
    train = read_speech.speechocean(speechocean, "train")
    dev = held_out([one.speaker for one in train], options.dev_share)
    sets = {
        "people/train": ("speechocean", [one for one in train if one.speaker not in dev]),
        "people/dev": ("speechocean", [one for one in train if one.speaker in dev]),
        "test_speechocean": ("speechocean", read_speech.speechocean(speechocean, "test")),
    }
    for name, read in (("librispeech", read_speech.librispeech), ("textgrids", with_textgrids)):
        if folder := getattr(options, name):
            sets[f"test_{name}"] = (name, read(folder, oddities[name]))
    kept = dict.fromkeys(oddities, 0)
    for place, (corpus, recordings) in sets.items():
        good = read_speech.usable(recordings, oddities[corpus])
        kept[corpus] += len(good)
        read_speech.write(options.out / place, good)
    for corpus, noted in oddities.items():
        if getattr(options, corpus):
            noted.close(
                options.out / f"findings_{corpus}.txt",
                kept=kept[corpus],
                max_lost=options.max_lost,
                corpus=getattr(options, corpus),
            )


if __name__ == "__main__":
    cli.run(main)
