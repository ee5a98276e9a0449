"""The files of a data dir, and the key of each: utterance, speaker or recording.

Kaldi's names and ours are known; `utt2…`, `spk2…`, `reco2…` name their key; any other file is
read: if most of its keys are utterances (or speakers, or recordings) of the dir, it is such a
table, else it is left alone. Knows nothing of valid values.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from atat.base import together
from atat.base.errors import InputError
from atat.base.files import fields
from atat.datadir import feats_type, kaldi_dir, licence
from atat.datadir.ctm import PHONES
from atat.datadir.kaldi_dir import Utterance, check_ids
from atat.datadir.questions import QUESTIONS
from atat.datadir.tables import Scan, Table, scan_table

UTTERANCE, SPEAKER, RECORDING = "utterance", "speaker", "recording"

# Tables that must have every utterance; losing one of CORE is losing data.
CORE = ("utt2spk", "text", "semantics", "segments", "wav.scp", "feats.scp")
COMPLETE = CORE + (
    "text.raw",
    "semantics.raw",
    "utt2group",
    "utt2conf",
    "utt2dur",
    "utt2num_frames",
    "utt2lang",
    "utt2uniq",
    "utt2warp",
    "vad.scp",
)
SPEAKERS = ("spk2utt", "spk2gender", "spk2warp", "spk2voice", "cmvn.scp")
RECORDINGS = ("reco2dur", "reco2file_and_channel")
ALIGNMENTS = ("ctm", PHONES)  # several lines an utterance, and not of all utterances
KNOWN = frozenset((*COMPLETE, *ALIGNMENTS, *SPEAKERS, *RECORDINGS))
_PREFIXES = {"utt2": UTTERANCE, "spk2": SPEAKER, "reco2": RECORDING}
IMPORTED = ".imported"  # by it `imported` knows a data dir of its own
# Files of these names are never Kaldi tables, whatever is in their first columns.
_FOREIGN = (".ark", ".csv", ".tsv", ".json", ".jsonl", ".yaml", ".md", ".log")
_SNIFFED = 65536  # bytes looked at to tell a text file from a binary one


@dataclass
class DataDir:
    """The tables of a data dir with their faults, and the names of its other files."""

    folder: Path
    scans: dict[str, Scan] = field(default_factory=dict)
    keyed_by: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    def table(self, name: str) -> dict[str, str]:
        """The table of this name; an empty one if the dir does not have it."""
        return self.scans[name].table if name in self.scans else {}

    def line(self, name: str, key: str) -> int:
        return self.scans[name].line(key) if name in self.scans else 0

    def names(self, keyed_by: str) -> list[str]:
        """The names of the tables with this kind of key."""
        return [name for name, key in self.keyed_by.items() if key == keyed_by]

    @property
    def speakers(self) -> dict[str, str]:
        """utterance -> speaker; from spk2utt if there is no utt2spk."""
        if "utt2spk" in self.scans:
            return self.table("utt2spk")
        return {
            utterance: speaker
            for speaker, utterances in self.table("spk2utt").items()
            for utterance in fields(utterances)
        }

    def recording(self, utterance: str) -> str:
        """The key of an utterance in wav.scp."""
        found = fields(self.table("segments").get(utterance, ""))
        return found[0] if found else utterance

    def users(self) -> dict[str, list[str]]:
        """recording -> the utterances cut from it."""
        users: dict[str, list[str]] = {}
        for utterance in self.speakers:
            users.setdefault(self.recording(utterance), []).append(utterance)
        return users


def scan_dir(folder: str | Path) -> DataDir:
    """Read all tables of a data dir and collect faults; InputError if there is no such folder."""
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: no such data dir (a folder with at least `utt2spk`)")
    return together.steadily(folder, KNOWN, lambda: _scan_dir(Path(folder)))


def _scan_dir(folder: Path) -> DataDir:
    data = DataDir(folder)
    names = sorted(
        path.name
        for path in data.folder.iterdir()
        if path.is_file() and not path.name.startswith(".") and not path.name.endswith(".tmp")
    )
    unknown = []
    for name in names:
        key = _key_by_name(name, has_segments="segments" in names)
        if key is None:
            unknown.append(name)
            continue
        data.scans[name] = scan_table(
            data.folder / name, repeated=name not in KNOWN or name in ALIGNMENTS
        )
        data.keyed_by[name] = key
    for name in unknown:
        _sort_in(data, name)
    return data


def write_anew(
    folder: str | Path, utterances: Iterable[Utterance], beside: Mapping[str, Table], license_: str
) -> None:
    """Write a data dir with the tables `beside` in the place of an older one, in one step.

    Nothing of that one stays: word times, languages and the like are of its utterances. Files of
    other names, whatever is in them, are the user's and stay. `license_`: "" if it is not known.
    """
    kaldi_dir.write(
        folder,
        utterances,
        {**beside, licence.NAME: licence.table(license_)},
        remove=replaced(folder),
    )


def replaced(folder: str | Path) -> set[str]:
    """The files of an older data dir that go with it when another takes its place."""
    others = {feats_type.KIND, feats_type.SHIFT, QUESTIONS, licence.NAME, IMPORTED}
    return named_tables(folder) | others


def named_tables(folder: str | Path) -> set[str]:
    """The files of a folder that are tables of a data dir by their name."""
    names = os.listdir(folder) if Path(folder).is_dir() else []
    return {name for name in names if _key_by_name(name, has_segments=False)}


def require_sound(data: DataDir) -> None:
    """Raise InputError, naming the first fault, when a table of a data dir is malformed."""
    if "utt2spk" not in data.scans:
        raise InputError(f"{data.folder}: has no utt2spk; a data dir needs one")
    for name, scan in data.scans.items():
        for finding in scan.findings:
            if finding.is_error and name in KNOWN:
                raise InputError(f"{finding} (or: atat datadir repair {data.folder})")
    for name in data.names(UTTERANCE):
        if name in COMPLETE:
            check_ids(data.folder / name, data.table(name), data.speakers)
    for utterance in data.table("segments"):
        if "wav.scp" in data.scans and data.recording(utterance) not in data.table("wav.scp"):
            raise InputError(
                f"{data.folder / 'segments'}:{data.line('segments', utterance)}: the "
                f"recording of {utterance!r} is not in wav.scp; add it, or drop the "
                f"segment with: atat datadir repair {data.folder}"
            )


def _key_by_name(name: str, *, has_segments: bool) -> str | None:
    if name == "wav.scp":
        return RECORDING if has_segments else UTTERANCE
    if name in SPEAKERS:
        return SPEAKER
    if name in RECORDINGS:
        return RECORDING
    if name in COMPLETE or name in ALIGNMENTS:
        return UTTERANCE
    return next((key for prefix, key in _PREFIXES.items() if name.startswith(prefix)), None)


def _sort_in(data: DataDir, name: str) -> None:
    """Put a file of unknown name among the tables or among the others."""
    path = data.folder / name
    try:
        with open(path, "rb") as stream:
            is_table = not name.endswith(_FOREIGN) and b"\0" not in stream.read(_SNIFFED)
    except PermissionError:  # another user's notes
        is_table = False
    scan = scan_table(path, repeated=True) if is_table else None
    key = _key_by_content(data, scan.table) if scan else None
    if scan is None or key is None:
        data.others.append(name)
    else:
        data.scans[name] = scan
        data.keyed_by[name] = key


def _key_by_content(data: DataDir, keys: Iterable[str]) -> str | None:
    keys = set(keys)
    candidates = (
        (UTTERANCE, data.speakers.keys()),
        (SPEAKER, set(data.speakers.values())),
        (RECORDING, data.table("wav.scp").keys()),
    )
    for kind, known in candidates:
        if 2 * len(keys & known) > len(keys):
            return kind
    return None
