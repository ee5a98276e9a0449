"""Fingerprints of a result's inputs, so that a rerun notices when an input has changed.

One digest for every table of a data dir that affects training or decoding, one for all its
features or recordings, and one for a packed model or a file. Paths are names only: the same data
in another place counts as the same. Knows nothing of results.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from atat.base import digests
from atat.base.errors import InputError
from atat.datadir import contents
from atat.speech import augmenter, frontend
from atat.text import bert_files

# Without the scp files: they hold paths of audio and features, not contents (see `of_sound`).
TABLES = (
    "utt2spk",
    "text",
    "semantics",
    "ctm",
    "phones.ctm",
    "segments",
    "utt2num_frames",
    "questions.jsonl",
)
WEIGHTS = "model.safetensors"


def of_data(folders: Iterable[str | Path]) -> dict[str, str]:
    """Digests of the tables of data dirs, by path of the table."""
    paths = [Path(folder) / name for folder in folders for name in TABLES]
    return {str(path): _digest(path) for path in paths if path.is_file()}


def of_sound(folder: str | Path, kind: str | None = None) -> dict[str, str]:
    """Digest of what a data dir's feats.scp ("feats") or wav.scp ("wav") names.

    Without a kind: of the features if there are some, as decoding reads them. None if one of the
    files is missing.
    """
    kind = kind or ("feats" if (Path(folder) / contents.TABLES["feats"]).is_file() else "wav")
    digest = contents.digest(folder, kind)
    return {f"what {Path(folder) / contents.TABLES[kind]} names": digest} if digest else {}


def of_model(folder: str | Path) -> dict[str, str]:
    """Digest of the weights of a packed model; none if there are none."""
    return of_file(Path(folder) / WEIGHTS)


def of_bert(name: str | None) -> dict[str, str]:
    """Digests of the files of a BERT's folder; none for a name of the hub, for None, and of a
    published one that is gone or damaged."""
    found: dict[str, str] = {}
    with suppress(InputError):  # which a training that needs it raises
        for path in bert_files.files_of(name):
            found |= of_file(path)
    return found


def of_encoder(name: str, layers: frontend.Layers, trained: bool) -> dict[str, str]:
    """The kind of a speech encoder of `frontend.find`, by its name; it names the weights.

    None of one that is gone or damaged.
    """
    with suppress(InputError):  # as above
        return {f"encoder {name}": frontend.find(name, layers=layers, trained=trained).kind}
    return {}


def of_noise(paths: Iterable[str]) -> dict[str, str]:
    """Digests of the recordings of `augment.noise`, by file or folder; none of one that is gone."""
    found = {}
    for path in filter(os.path.exists, paths):
        each = " ".join(_digest(file) for file in augmenter.audio_below(path))
        if each:
            found[f"noise {path}"] = digests.of_text(each)[: digests.SHORT]
    return found


def of_file(path: str | Path) -> dict[str, str]:
    """Digest of a file; none if there is no such file."""
    return {str(path): _digest(Path(path))} if Path(path).is_file() else {}


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Files whose content has changed since the result was made. Removed and new files do not
    count: a result outlives its data, and a table may be added to a data dir."""
    return [path for path in before if path in now and now[path] != before[path]]


def _digest(path: Path) -> str:
    return digests.of_file(path)[: digests.SHORT]
