"""Word times of data dirs, with --phones those of phones: read where there are, else pocketsphinx.

    python local/align_folders.py --corpus ~/LibriSpeech --data data/train_clean_100 \\
        --alignments ~/LibriSpeech-Alignments

Reads the condensed `<speaker>-<chapter>.alignment.txt`, TextGrids and Gentle's JSON (one file an
utterance), from the folder given or, without one, beside the recordings. Writes DATA/ctm;
utterances without times are listed in DATA/ctm.lost: they stay in asr and are left out of mlm. The
forms themselves are `atat align`'s. What --known has of the same recordings is not made again, and
times that a data dir came with are kept (other speech to train on, see `run.sh --speech`).
Only TextGrids hold phones: with --phones the other forms are refused.
"""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.datadir import ctm, tables
from atat.datadir.ctm import PHONES
from atat.prepare import align
from atat.prepare.align_backends import WITH_PHONES, Settings

# By preference, where a folder holds several: backend of atat align, and the names of its files.
FORMS = {
    "textgrid": re.compile(r"\d+-\d+-\d+\.textgrid", re.IGNORECASE),
    "librispeech": re.compile(r"\d+-\d+\.alignment\.txt"),
    "gentle": re.compile(r"\d+-\d+-\d+\.json"),
}


def find_form(folder: Path) -> str | None:
    """The backend that reads the alignments in a folder and those inside it; None for none."""
    found = set()
    for _, _, files in os.walk(folder):
        found |= {form for form, name in FORMS.items() if any(map(name.fullmatch, files))}
    return next((form for form in FORMS if form in found), None)


def settings_for(
    name: str, corpus: Path, alignments: Path | None, *, phones: bool = False
) -> Settings:
    """How the folder `name` (train-clean-100) is aligned.

    Other speech is no folder of the corpus: published alignments are not for it. Raises InputError
    when alignments were promised and there are none, or they hold no phones.
    """
    if alignments is None or not (corpus / name).is_dir():
        form = find_form(corpus / name)
        if form and (not phones or form in WITH_PHONES):
            return Settings(form, str(corpus / name), phones=phones)
        return Settings("pocketsphinx", phones=phones)
    inner = (alignments / name, alignments / "LibriSpeech" / name)
    folder = next((path for path in inner if path.is_dir()), alignments)
    form = find_form(folder)
    if form is None:
        raise InputError(
            f"--alignments {folder}: no alignments in it; expected <speaker>-<chapter>."
            "alignment.txt, or <utterance>.TextGrid or .json (Gentle), at any depth; without "
            "--alignments pocketsphinx makes them"
        )
    if phones and form not in WITH_PHONES:
        raise InputError(
            f"--alignments {folder}: these hold no phones, which the acoustic model needs; give "
            "TextGrids with a tier `phones`, or leave out --alignments: pocketsphinx makes them"
        )
    return Settings(form, str(folder), phones=phones)


def take_over(known: Path, data: Path) -> None:
    """Copy the ctm of the data dir of the same name in `known`, unless this one has its own.

    `align.make` uses it only if it was made of the same recordings and words in the same way.
    """
    source = known / data.name
    if (data / "ctm").exists() or not (source / "ctm.json").is_file():
        return
    # In this order: a ctm without ctm.json would be one that the data dir came with.
    for name in ("ctm.json", "ctm.lost", PHONES, "ctm"):
        if (source / name).is_file():
            with atomic_write(data / name, "wb") as stream:
                stream.write((source / name).read_bytes())


def came_with_times(data: Path, *, phones: bool, max_lost: float) -> bool:
    """Whether the times in a data dir are its own, not of an earlier run of this program.

    Those that more than `max_lost` of its utterances lack do not count.
    """
    wanted = ["ctm", PHONES] if phones else ["ctm"]
    if (data / "ctm.json").exists() or not all((data / name).is_file() for name in wanted):
        return False
    utterances = tables.read_table(data / "utt2spk").keys()
    timed = [ctm.read_ctm(data / "ctm").keys()]
    if phones:
        timed.append(ctm.read_phones(data / PHONES).keys())
    return all(len(utterances - one) <= max_lost * len(utterances) for one in timed)


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/align_folders.py "
        "--corpus ~/LibriSpeech --data data/train_clean_100",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--corpus", type=Path, required=True, help="the folder LibriSpeech")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data dirs to align")
    parser.add_argument("--alignments", type=Path, help="folder of alignments made by others")
    parser.add_argument("--known", type=Path, help="folder of data dirs that are aligned already")
    parser.add_argument("--phones", action="store_true", help="phones.ctm too")
    parser.add_argument("--nj", type=int, default=1, help="processes")
    parser.add_argument(
        "--max_lost", type=float, default=0.01, help="share of utterances that may go unaligned"
    )
    options = parser.parse_args(argv)
    if options.alignments is not None and not options.alignments.is_dir():
        raise InputError(f"--alignments {options.alignments}: no such folder")
    for data in options.data:
        if came_with_times(data, phones=options.phones, max_lost=options.max_lost):
            print(f"{data}: has the times that it came with")
            continue
        if options.known is not None:
            take_over(options.known, data)
        settings = settings_for(
            data.name.replace("_", "-"),
            options.corpus,
            options.alignments,
            phones=options.phones,
        )
        print(f"{data}: {settings.backend}{f' from {settings.source}' if settings.source else ''}")
        align.make(data, data / "ctm", settings, nj=options.nj, max_lost=options.max_lost)


if __name__ == "__main__":
    cli.run(main)
