"""The commands of `atat datadir` that make data dirs of other formats, and manifests of data dirs.

    from_csv    a table of utterances       from_lhotse    manifests of lhotse
    from_huggingface_audiofolder            to_lhotse      the way back

Only the command line: the library is `imported`, `own_corpus`, `audiofolder` and `lhotse`. Each
can be called with hyphens as well (`from-csv`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from atat.base.errors import InputError


class Import(NamedTuple):
    """A command: its help, as `commands.HELP` has it, its options and what it does."""

    what: str
    reads: str
    writes: str
    example: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


def _from_csv(options: argparse.Namespace) -> None:
    from atat.datadir import imported, licence, utterance_table

    table = utterance_table.read(options.csv)
    folder = options.folder or options.csv.parent
    items, remarks = imported.usable(table, folder, options.target, options.max_lost)
    imported.write(options.target, {"": items}, licence.of(folder))
    for remark in remarks:
        print(remark)


def _from_audiofolder(options: argparse.Namespace) -> None:
    from atat.datadir import audiofolder, imported, licence

    splits, told = {}, []
    for split, table in audiofolder.read(options.folder).items():
        out = options.target / split
        folder = table.path.parent
        splits[split], remarks = imported.usable(table, folder, out, options.max_lost)
        told += [f"{out.name}: {remark}" for remark in remarks]
    imported.write(options.target, splits, licence.of(options.folder))
    for remark in told:
        print(remark)


def _from_lhotse(options: argparse.Namespace) -> None:
    from atat.datadir import imported, lhotse, licence

    wavs = options.target / imported.WAVS
    if options.cuts is not None:
        if options.recordings or options.supervisions:
            raise InputError("--cuts hold recordings and supervisions; give only them, or both")
        source = options.cuts
        items, bad = lhotse.from_cuts(source, wavs, options.root)
    elif options.recordings and options.supervisions:
        source = options.supervisions
        items, bad = lhotse.from_manifests(options.recordings, source, wavs, options.root)
    else:
        raise InputError("expected --recordings and --supervisions, or --cuts")
    items = imported.valid(items, bad, options.max_lost, source)
    imported.write(options.target, {"": items}, licence.of(source.parent))
    print(f"text and trees are as in the manifests; next: atat datadir normalize {options.target}")


def _to_lhotse(options: argparse.Namespace) -> None:
    from atat.datadir import lhotse

    count = lhotse.write(options.target, options.folder, options.root)
    print(f"{options.target}: {lhotse.RECORDINGS}, {lhotse.SUPERVISIONS}; {count} supervisions")


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="OUT", type=Path, help="data dir to write")
    parser.add_argument(
        "--max_lost",
        type=float,
        default=0.0,
        help="share of the rows that may be left out; more stops, nothing written",
    )


def _add_root(parser: argparse.ArgumentParser, folder: str) -> None:
    parser.add_argument(
        "--root",
        type=Path,
        help=f"folder where relative paths start; without: {folder}, else here",
    )


def _csv_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("csv", metavar="CSV", type=Path, help="a row for each utterance")
    _add_target(parser)
    parser.add_argument(
        "--folder", type=Path, help="folder where the paths start; without: that of the csv file"
    )


def _audiofolder_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="with metadata.csv or .jsonl")
    _add_target(parser)


def _lhotse_options(parser: argparse.ArgumentParser) -> None:
    _add_target(parser)
    parser.add_argument("--recordings", type=Path, metavar="FILE", help="manifest of recordings")
    parser.add_argument("--supervisions", type=Path, metavar="FILE", help="what is said in them")
    parser.add_argument("--cuts", type=Path, metavar="FILE", help="instead: a manifest of cuts")
    _add_root(parser, "the folder of the manifest")


def _to_lhotse_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", type=Path, help="data dir")
    parser.add_argument("target", metavar="OUT", type=Path, help="folder for the manifests")
    _add_root(parser, "the data dir")


_DATA_DIR = (
    "OUT, a valid data dir, whole or not at all, with the `license` of the source; recordings that "
    "are not 16 kHz with one channel are converted into OUT/wavs. What an earlier import into OUT "
    "wrote and this one does not is removed, unless another data dir lies there since. "
)
IMPORTS = {
    "from_csv": Import(
        "Make a data dir of a csv file and its recordings",
        "CSV, with the columns path, speaker, text, tree (or intent and slots), of which some may "
        "be missing (egs/template/README.md), and the recordings.",
        _DATA_DIR + "Recordings without a meaning and sentences without a recording go to OUT_asr "
        "and OUT_nlu if there are others. Bad rows are named with file and line.",
        "atat datadir from_csv commands/utterances.csv data/commands",
        _csv_options,
        _from_csv,
    ),
    "from_huggingface_audiofolder": Import(
        "Make data dirs of an audio folder of Hugging Face datasets",
        "metadata.csv or metadata.jsonl of FOLDER or of its splits, with file_name and text "
        "(transcription, sentence), speaker, tree, intent or slots, and the recordings.",
        _DATA_DIR + "With splits, OUT/train and so on. Bad rows are named with file and line.",
        "atat datadir from_huggingface_audiofolder my_dataset data/my_dataset",
        _audiofolder_options,
        _from_audiofolder,
    ),
    "from_lhotse": Import(
        "Make a data dir of manifests of lhotse",
        "recordings and supervisions, or cuts (MonoCut), as .jsonl or .jsonl.gz, and the "
        "recordings. The custom field `semantics` of a supervision is its tree.",
        _DATA_DIR + "Ids are those of the supervisions. Bad rows are named with file and line.",
        "atat datadir from_lhotse data/dev --cuts manifests/cuts.jsonl.gz",
        _lhotse_options,
        _from_lhotse,
    ),
    "to_lhotse": Import(
        "Write a data dir as manifests of lhotse",
        "wav.scp, segments, utt2spk, utt2dur, text and semantics of DIR, and the headers of the "
        "recordings.",
        "OUT/recordings.jsonl.gz, OUT/supervisions.jsonl.gz and the `license`; from_lhotse makes "
        "the same data dir of them. Features, ctm and other tables are not written.",
        "atat datadir to_lhotse data/train manifests/train",
        _to_lhotse_options,
        _to_lhotse,
    ),
}
