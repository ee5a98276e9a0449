"""Fluent Speech Commands as Kaldi data dirs, one for each set of a split.

    python local/prepare_fluentspeech.py --corpus ~/fluent_speech_commands_dataset --out data

writes `data/{train,dev,test}` of the original split, or with `--split unseen` and
`--split challenge` `data/{train,dev,test_speaker,test_utterance}`: wav.scp, utt2spk, utt2dur,
text (normalised), text.raw (as published), semantics. `findings.txt` lists every row that is odd
or left out. Whether a transcript is what was said nobody checks here.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import fluent
from fluent import Row

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import kaldi_dir, licence, tables
from atat.datadir.corpus import Oddities
from atat.speech import audio
from atat.text.normalize import normalize


def usable(
    rows: Sequence[Row], oddities: Oddities, *, folder: Path | None
) -> list[tuple[Row, kaldi_dir.Utterance]]:
    """The rows of a set that can be used, as utterances; others go to `oddities`.

    folder: where the recordings must be; None if they are to be spoken.
    """
    good: dict[str, tuple[Row, kaldi_dir.Utterance]] = {}
    for row in rows:
        utterance = _sentence(row, oddities)
        if utterance is not None and folder is not None:
            utterance = _recorded(utterance, row, folder / row.path, oddities)
        if utterance is None:
            continue
        if utterance.id in good:
            oddities.add(
                "row that stands twice in a set (the first counts)",
                f"{row.where}: {row.path}, first in {good[utterance.id][0].where}",
            )
            continue
        good[utterance.id] = row, utterance
    return list(good.values())


def _sentence(row: Row, oddities: Oddities) -> kaldi_dir.Utterance | None:
    """A row as an utterance without its recording; None if it must be left out."""
    for name, value in row.labels.items():
        if not fluent.atom(value):
            oddities.add("row without a label (left out)", f"{row.where}: no {name}", lost=True)
            return None
        if value.lower() not in fluent.LABELS[name]:
            oddities.add("label that is not published (kept)", f"{row.where}: {name} {value!r}")
    text = normalize(row.text)
    if not text:
        oddities.add("row without words (left out)", f"{row.where}: {row.text!r}", lost=True)
        return None
    if not row.speaker or row.speaker.split() != [row.speaker]:
        oddities.add("row without a speaker (left out)", f"{row.where}: {row.speaker!r}", lost=True)
        return None
    return kaldi_dir.Utterance(
        id=f"{row.speaker}-{Path(row.path).stem}",
        speaker=row.speaker,
        text=text,
        semantics=fluent.tree(row),
    )


def _recorded(
    utterance: kaldi_dir.Utterance, row: Row, path: Path, oddities: Oddities
) -> kaldi_dir.Utterance | None:
    """The utterance with its recording; None if that cannot be read."""
    if not path.is_file():
        oddities.add("recording that is not there (left out)", f"{row.where}: {path}", lost=True)
        return None
    try:
        seconds = audio.duration(path)
    except InputError as error:
        oddities.add("recording that cannot be read (left out)", f"{row.where}: {error}", lost=True)
        return None
    return replace(utterance, wav=str(path), duration=seconds)


def note_shared(
    parts: Mapping[str, Sequence[tuple[Row, kaldi_dir.Utterance]]], oddities: Oddities
) -> None:
    """Recordings that two sets of the split have are kept in both, as published, and listed."""
    first: dict[str, str] = {}
    for part in parts.values():
        for row, utterance in part:
            if utterance.id in first:
                oddities.add(
                    "recording in two sets (kept in both, as published)",
                    f"{row.where}: {row.path}, also in {first[utterance.id]}",
                )
            first.setdefault(utterance.id, row.where)


def read(
    folder: Path, split: str, out: Path, max_lost: float, *, recorded: bool = True
) -> dict[str, list[tuple[Row, kaldi_dir.Utterance]]]:
    """The sets of a split; oddities are listed in `out`/findings.txt.

    recorded: whether there must be recordings. Raises InputError if more than `max_lost` (a share)
    of the rows cannot be used, or none of a set.
    """
    oddities = Oddities()
    parts = {
        name: usable(fluent.read_csv(path), oddities, folder=folder if recorded else None)
        for name, path in fluent.csv_files(folder, split).items()
    }
    note_shared(parts, oddities)
    oddities.close(
        out / "findings.txt",
        kept=sum(map(len, parts.values())),
        max_lost=max_lost,
        corpus=folder,
        noun="recordings" if recorded else "rows",
    )
    for name, part in parts.items():
        if not part:
            raise InputError(f"{out / name}: nothing is left for it; see {out / 'findings.txt'}")
    return parts


def write(folder: Path, part: Sequence[tuple[Row, kaldi_dir.Utterance]]) -> None:
    """Write a data dir with the original wording beside it."""
    kaldi_dir.write(folder, (utterance for _, utterance in part))
    tables.write_table(folder / "text.raw", {utterance.id: row.text for row, utterance in part})
    hours = sum(utterance.duration or 0.0 for _, utterance in part) / 3600
    print(
        f"{folder}: {len(part)} utterances, {len({u.speaker for _, u in part})} speakers, "
        f"{len({u.text for _, u in part})} sentences, {hours:.2f} hours"
    )


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/prepare_fluentspeech.py "
        "--corpus ~/fluent_speech_commands_dataset --out data",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--corpus", type=Path, required=True, help="folder fluent_speech_commands_dataset"
    )
    parser.add_argument(
        "--split",
        choices=list(fluent.SPLITS),
        default="original",
        help="which csv files say what is train and test",
    )
    parser.add_argument("--out", type=Path, default=Path("data"), help="where data dirs go")
    parser.add_argument(
        "--max_lost",
        type=float,
        default=0.01,
        help="share of recordings that may be left out before it is an error",
    )
    options = parser.parse_args(argv)
    folder = fluent.root(options.corpus)
    parts = read(folder, options.split, options.out, options.max_lost)
    for name, part in parts.items():
        write(options.out / name, part)
        licence.write(options.out / name, licence.of_corpus(folder, fluent.NAME))


if __name__ == "__main__":
    cli.run(main)
