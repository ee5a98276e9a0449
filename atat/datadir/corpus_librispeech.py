"""LibriSpeech as unpacked: its folders, chapters, transcripts and speakers.

    LibriSpeech/SPEAKERS.TXT
    LibriSpeech/train-clean-100/103/1240/103-1240-0000.flac, ..., 103-1240.trans.txt

Every folder called train-*, dev-* or test-* counts, so that the small editions (train-clean-5) are
read, too. Single missing files are findings; a folder of another layout or a line that cannot be
read is an InputError. Knows nothing of data dirs or recipes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from atat.base.errors import InputError
from atat.base.files import read_lines
from atat.datadir.corpus import Oddities, contents

SOURCE = "https://www.openslr.org/12"
SPEAKERS = "SPEAKERS.TXT"
FOLDERS = (
    "train-clean-100",
    "train-clean-360",
    "train-other-500",
    "dev-clean",
    "dev-other",
    "test-clean",
    "test-other",
)
_FOLDER = re.compile(r"(train|dev|test)-[a-z0-9-]+")
_UTTERANCE = re.compile(r"(\d+)-(\d+)-\d+")


@dataclass(frozen=True)
class Recording:
    """A recording and its transcript as published: upper case, apostrophes, no other signs."""

    id: str
    speaker: str
    flac: Path
    text: str


@dataclass(frozen=True)
class Speaker:
    """A line of SPEAKERS.TXT."""

    sex: str  # M or F
    folder: str  # train-clean-100, ...
    minutes: float


def folders(corpus: Path) -> list[str]:
    """The names of the train-*, dev-* and test-* folders in the corpus, sorted.

    Raises InputError for another folder, and names the right one if it can be found.
    """
    if not corpus.is_dir():
        raise InputError(
            f"{corpus}: no such folder; expected LibriSpeech as it is unpacked from {SOURCE}"
        )
    found = _folders(corpus)
    if found:
        return found
    raise InputError(
        f"{corpus}: expected the folder LibriSpeech, which holds {FOLDERS[0]}, {FOLDERS[3]}, ...; "
        f"found {contents(corpus)}; {_fix(corpus)}"
    )


def _folders(folder: Path) -> list[str]:
    return sorted(
        path.name for path in folder.iterdir() if path.is_dir() and _FOLDER.fullmatch(path.name)
    )


def _fix(corpus: Path) -> str:
    """Advice: where the right folder is, if it is above or below, else how to get it."""
    # Inside: the user named train-clean-100, a speaker or a chapter.
    for here in (corpus.resolve(), *corpus.resolve().parents[:2]):
        if _FOLDER.fullmatch(here.name):
            return f"it is a level further up: --corpus {here.parent}"
    below = sorted(
        {
            path.parent
            for pattern in ("*/*", "*/*/*")
            for path in corpus.glob(pattern)
            if path.is_dir() and _FOLDER.fullmatch(path.name)
        }
    )
    if below:
        return f"it is further down: --corpus {below[0]}"
    archives = sorted(path.name for path in corpus.glob("*.tar.gz"))
    if archives:
        return f"unpack it first: tar -xzf {corpus / archives[0]}"
    return f"get it from {SOURCE} and unpack it with tar -xzf"


def read_speakers(corpus: Path) -> dict[str, Speaker] | None:
    """Speaker id to its line of SPEAKERS.TXT; None if there is no such file.

    `id | sex | folder | minutes | name`; names hold bars, too. `;` starts a comment.
    """
    path = corpus / SPEAKERS
    if not path.is_file():
        return None
    speakers = {}
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip() or line.startswith(";"):
            continue
        fields = [field.strip() for field in line.split("|", 4)]
        try:
            name, sex, folder, minutes = fields[:4]
            if not name.isdecimal():
                raise ValueError
            speakers[name] = Speaker(sex, folder, float(minutes))
        except ValueError:
            raise InputError(
                f"{path}:{number}: found {line[:60]!r}, expected "
                "`id | sex | folder | minutes | name`, with numbers as id and minutes"
            ) from None
    return speakers


def read_folder(corpus: Path, name: str, oddities: Oddities) -> list[Recording]:
    """The recordings of train-clean-100 or another folder that have both audio and transcript.

    If one of the two is missing, it is a finding, and lost. Raises InputError for a transcript of
    another form and for an id that occurs twice.
    """
    recordings: dict[str, Recording] = {}
    for chapter in sorted(path for path in (corpus / name).glob("*/*") if path.is_dir()):
        _read_chapter(chapter, recordings, oddities)
    if not recordings:
        raise InputError(
            f"{corpus / name}: no recording with a transcript in it; expected "
            "<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac and "
            f"<speaker>-<chapter>.trans.txt; unpack {name}.tar.gz again"
        )
    return [recordings[key] for key in sorted(recordings)]


def read_everything(folder: Path, oddities: Oddities) -> list[Recording]:
    """The recordings of all chapters below a folder, at any depth: any part of the corpus will do.

    Raises InputError if there is none, and as `read_folder` does.
    """
    recordings: dict[str, Recording] = {}
    for chapter in sorted({path.parent for path in folder.rglob("*.trans.txt")}):
        _read_chapter(chapter, recordings, oddities)
    if not recordings:
        raise InputError(
            f"{folder}: no *.trans.txt below it; expected LibriSpeech, as it is "
            f"unpacked from {SOURCE} (any folder of it will do)"
        )
    return [recordings[key] for key in sorted(recordings)]


def _read_chapter(chapter: Path, recordings: dict[str, Recording], oddities: Oddities) -> None:
    prefix = f"{chapter.parent.name}-{chapter.name}"
    transcript = chapter / f"{prefix}.trans.txt"
    texts = _read_transcript(transcript) if transcript.is_file() else {}
    flacs = {path.stem: path for path in chapter.glob("*.flac")}
    for key in sorted(texts.keys() | flacs.keys()):
        if key in recordings:
            raise InputError(
                f"{chapter}: {key} is also in {recordings[key].flac.parent}; remove one of the two"
            )
        if not _UTTERANCE.fullmatch(key) or not key.startswith(f"{prefix}-"):
            oddities.add(
                "recording in the folder of another chapter (left out)",
                f"{chapter / key}.flac",
                lost=True,
            )
        elif key not in flacs:
            oddities.add(
                "transcript without a recording (left out)", f"{chapter / key}.flac", lost=True
            )
        elif key not in texts:
            oddities.add(
                "recording without a transcript (left out)",
                f"{flacs[key]}, no line in {transcript.name}",
                lost=True,
            )
        else:
            recordings[key] = Recording(key, chapter.parent.name, flacs[key], texts[key])


def _read_transcript(path: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), 1):
        key, _, text = line.partition(" ")
        if not _UTTERANCE.fullmatch(key) or not text.strip():
            raise InputError(
                f"{path}:{number}: found {line[:60]!r}, expected "
                "`<speaker>-<chapter>-<number> <WORDS>`"
            )
        if key in texts:
            raise InputError(f"{path}:{number}: {key} occurs a second time; remove one line")
        texts[key] = text.strip()
    return texts


def missing_speakers(
    name: str, recordings: list[Recording], speakers: dict[str, Speaker]
) -> list[str]:
    """Speakers that SPEAKERS.TXT assigns to a folder but that are not in it."""
    found = {recording.speaker for recording in recordings}
    return sorted(
        (key for key, speaker in speakers.items() if speaker.folder == name and key not in found),
        key=int,
    )
