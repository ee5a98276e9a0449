"""Fluent Speech Commands: where its files are, what its csv files say, and commands as trees.

    fluent_speech_commands_dataset/
      data/train_data.csv, valid_data.csv, test_data.csv      the original split
      data/unseen_splits/…_data.csv                           further public splits, to be added
      data/challenge_splits/…_data.csv                        (README.md)
      wavs/speakers/<speaker>/<name>.wav

A command is a 3-tuple of labels: action, object, location; `none` counts. Knows nothing of data
dirs or models.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atat.base.errors import InputError
from atat.datadir import corpus
from atat.text import trees
from atat.text.normalize import normalize
from atat.text.trees import Tree

NAME = "Fluent Speech Commands"
SOURCE = (
    "https://fluent.ai/fluent-speech-commands-a-dataset-for-spoken-language-understanding-research/"
)
SPLITS_SOURCE = "https://github.com/maseEval/mase (slu_splits/fluent_speech_commands)"
ORIGINAL = {"train": "train_data.csv", "dev": "valid_data.csv", "test": "test_data.csv"}
RESPLIT = {
    "train": "train_data.csv",
    "dev": "valid_data.csv",
    "test_speaker": "speaker_test_data.csv",
    "test_utterance": "utterance_test_data.csv",
}
SPLITS = {"original": ORIGINAL, "unseen": RESPLIT, "challenge": RESPLIT}
COLUMNS = ("path", "speakerId", "transcription", "action", "object", "location")
NONE = "none"
# What is published; another label is more likely a damaged file than a new command.
LABELS = {
    "action": {"activate", "bring", "change language", "deactivate", "decrease", "increase"},
    "object": {
        "none",
        "chinese",
        "english",
        "german",
        "heat",
        "juice",
        "korean",
        "lamp",
        "lights",
        "music",
        "newspaper",
        "shoes",
        "socks",
        "volume",
    },
    "location": {"none", "bedroom", "kitchen", "washroom"},
}


@dataclass(frozen=True)
class Row:
    """A line of a csv file; `where` is file:line."""

    where: str
    path: str  # of the recording, relative to the corpus
    speaker: str
    text: str  # as published
    action: str
    object: str
    location: str

    @property
    def labels(self) -> dict[str, str]:
        return {"action": self.action, "object": self.object, "location": self.location}


def root(folder: str | Path, *, recordings: bool = True) -> Path:
    """The root of the corpus, or of its csv files alone; InputError if the folder is wrong."""
    return corpus.root(
        folder,
        ["data/train_data.csv", *(["wavs/speakers"] if recordings else [])],
        name="the folder fluent_speech_commands_dataset",
        source=SOURCE,
    )


def csv_files(folder: Path, split: str) -> dict[str, Path]:
    """The csv file of each set of a split, such as {"train": …, "test": …}.

    The further splits are published apart from the corpus; they are found in any of the folders
    that people put them in. Raises InputError that says where they were looked for.
    """
    wanted = SPLITS[split]
    if split == "original":
        places = [folder / "data"]
        source = f"the corpus itself; the download is not whole, get it from {SOURCE}"
    else:
        names = (f"{split}_splits", split)
        places = [base / name for base in (folder / "data", folder) for name in names]
        source = f"{SPLITS_SOURCE}, into {places[0]}"
    for place in places:
        if all((place / name).is_file() for name in wanted.values()):
            return {part: place / name for part, name in wanted.items()}
    found = next((place for place in places if place.is_dir()), None)
    what = (
        f"{found} holds {corpus.contents(found)}"
        if found
        else f"none of these folders is there: {', '.join(map(str, places))}"
    )
    raise InputError(
        f"split {split!r}: expected {', '.join(wanted.values())} in {places[0]}; "
        f"{what}. They are part of {source}"
    )


def cells(path: Path, columns: Sequence[str]) -> list[tuple[str, list[str]]]:
    """(file:line, the values of some columns) of each row; InputError for a file without them."""
    rows = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            header = reader.fieldnames or []
            missing = [name for name in columns if name not in header]
            if missing:
                raise InputError(
                    f"{path}:1: no column {', '.join(missing)}; expected {', '.join(columns)}, "
                    f"found {', '.join(name or '(no name)' for name in header) or 'nothing'}"
                )
            for line in reader:
                where = f"{path}:{reader.line_num}"
                values = [line[name] for name in columns]
                if any(value is None for value in values):
                    raise InputError(f"{where}: fewer columns than the header; is the file whole?")
                rows.append((where, [value.strip() for value in values]))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {error.object[error.start]:#04x} is not UTF-8; get the file again"
        ) from None
    except csv.Error as error:
        raise InputError(f"{path}: is no csv file ({error}); get it again") from None
    return rows


def read_csv(path: Path) -> list[Row]:
    """The rows of a csv file; InputError for columns other than the published ones."""
    rows = [Row(where, *values) for where, values in cells(path, COLUMNS)]
    if not rows:
        raise InputError(f"{path}: no rows below the header; get the file again")
    if not any(row.text for row in rows):
        raise InputError(
            f"{path}: the column transcription is empty in all rows; expected what was said, as in "
            f"the files of the corpus ({SOURCE}) or of {SPLITS_SOURCE}"
        )
    return rows


def utterance_id(path: str) -> str:
    """The id of a recording, from its path: its speaker and its name."""
    return f"{Path(path).parent.name}-{Path(path).stem}"


def tree(row: Row) -> str:
    """The command as a tree: the action, its labels as slots, then all that was said.

        [IN:INCREASE [SL:OBJECT heat ] [SL:LOCATION kitchen ] turn up the heat in the kitchen ]

    The labels come first because they are of the whole sentence ("washroom" where "bathroom" was
    said), not parts of it. Without the words outside slots the tree is the 3-tuple.
    """
    slots = [
        Tree(f"SL:{name.upper()}", (atom(value),))
        for name, value in (("object", row.object), ("location", row.location))
        if value.lower() != NONE
    ]
    return trees.to_string(
        Tree(f"IN:{atom(row.action).upper()}", (*slots, *normalize(row.text).split()))
    )


def atom(label: str) -> str:
    """A label as one word: "change language" is "change_language"."""
    return re.sub(r"\W+", "_", label.strip().lower()).strip("_")
