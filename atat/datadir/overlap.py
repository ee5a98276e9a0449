"""The overlap of a test set with training: sentences, speakers, utterances.

    atat datadir overlap --train data/train --test data/dev data/test

A figure on a test set says less if training has its sentences or its speakers. Sentences are
compared as they are in the data dirs, normalised or not. Speakers are compared if both dirs have
audio; in text-only dirs they are names of corpora. Only counts: nothing is removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from atat.base.errors import InputError
from atat.datadir import tables

HEARD = ("wav.scp", "feats.scp")  # one of them: people, or voices, speak


@dataclass(frozen=True)
class Overlap:
    """How much of a test set is also in a training set."""

    utterances: int  # of the test set
    sentences: int  # utterances of the test set whose text is one of training's
    same: int  # utterances of the test set that are in training by their id
    speakers: int | None  # speakers of the test set that training has, too; None: without audio
    of_speakers: int

    def __str__(self) -> str:
        share = 100 * self.sentences / max(self.utterances, 1)
        told = [f"{self.sentences} of {self.utterances} sentences ({share:.1f} %)"]
        if self.speakers is not None:
            told.append(f"{self.speakers} of {self.of_speakers} speakers")
        if self.same:
            told.append(f"{self.same} as the very same utterance")
        return ", ".join(told)


def overlap(train: str | Path, test: str | Path) -> Overlap:
    """Compare two data dirs; InputError if one has no text."""
    known, asked = _texts(Path(train)), _texts(Path(test))
    sentences = set(known.values())
    speakers, voices = (
        set(tables.read_table(Path(folder) / "utt2spk").values()) for folder in (test, train)
    )
    heard = all(any((Path(folder) / name).exists() for name in HEARD) for folder in (train, test))
    return Overlap(
        utterances=len(asked),
        sentences=sum(text in sentences for text in asked.values()),
        same=len(asked.keys() & known.keys()),
        speakers=len(speakers & voices) if heard else None,
        of_speakers=len(speakers),
    )


def _texts(folder: Path) -> dict[str, str]:
    if not (folder / "text").is_file():
        raise InputError(
            f"{folder}: no file `text`; expected data dirs with text, else sentences "
            "cannot be compared"
        )
    return tables.read_table(folder / "text")
