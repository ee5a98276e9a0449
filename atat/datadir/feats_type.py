"""Of what kind the features of a data dir are: its file `feats_type`, as in ESPnet, one word.

A data dir without it has filterbanks. `frame_shift`, as in Kaldi, holds the seconds from one frame
to the next where these are not 0.01.
"""

from __future__ import annotations

from pathlib import Path

from atat.base.errors import InputError
from atat.base.files import read_lines
from atat.datadir.tables import Table
from atat.speech.frontend import LFB, Frontend, Lfb, alike, features_option

KIND, SHIFT = "feats_type", "frame_shift"


def read(folder: str | Path) -> str:
    """The kind of a data dir's features."""
    return word(Path(folder) / KIND) or LFB


def frame_shift(folder: str | Path) -> float:
    """Seconds from one frame of a data dir's features to the next; InputError for no number."""
    path = Path(folder) / SHIFT
    found = word(path)
    try:
        value = float(found) if found else Lfb.frame_shift
    except ValueError:
        value = 0.0
    if not value > 0:
        raise InputError(f"{path}: found {found!r}; expected seconds, such as 0.01")
    return value


def check(folder: str | Path, frontend: Frontend) -> None:
    """Raise InputError unless the features of a data dir are those that a model reads."""
    found = read(folder)
    if not alike(found, frontend.kind):
        raise InputError(
            f"{folder}: its features are {found}, the model reads {frontend.kind}; make them with: "
            f"atat features {features_option(frontend)} --data {folder} --arks FOLDER"
        )


# What a data dir has of its features.
FILES = ("feats.scp", "utt2num_frames", KIND, SHIFT)


def tables_of(frontend: Frontend) -> dict[str, Table]:
    """The two files as tables (of one key without a value); none for filterbanks."""
    if frontend.kind == LFB:
        return {}
    return {KIND: {frontend.kind: ""}, SHIFT: {f"{frontend.frame_shift:g}": ""}}


def word(path: Path) -> str:
    """What a file of one value holds; empty if there is none."""
    return " ".join(read_lines(path)).strip() if path.is_file() else ""
