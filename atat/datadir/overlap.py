"""The overlap of a test set with training: sentences, speakers, utterances.

    atat datadir overlap --train data/train --test data/dev data/test

A figure on a test set says less if training has its sentences or its speakers. Sentences are
compared as they are in the data dirs, normalised or not. Speakers are compared if both dirs have
audio or features; in text-only dirs they are names of corpora. Only counts: nothing is removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atat.base.errors import InputError
from atat.datadir import kaldi_dir
from atat.datadir.kaldi_dir import Utterance


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
    for folder in (train, test):
        if not (Path(folder) / "text").is_file():
            raise InputError(
                f"{folder}: no file `text`; expected data dirs with text, else sentences "
                "cannot be compared"
            )
    return count(kaldi_dir.load(train), kaldi_dir.load(test))


def count(train: Sequence[Utterance], test: Sequence[Utterance]) -> Overlap:
    """Compare utterances. One without text is compared by its tree."""
    known, sentences = {one.id for one in train}, set(map(sentence, train))
    voices, speakers = ({one.speaker for one in part} for part in (train, test))
    heard = all(one.wav or one.feats for one in (*train, *test))
    return Overlap(
        utterances=len(test),
        sentences=sum(sentence(one) in sentences for one in test),
        same=sum(one.id in known for one in test),
        speakers=len(speakers & voices) if heard else None,
        of_speakers=len(speakers),
    )


def sentence(utterance: Utterance) -> str:
    """What an utterance says; if its words are unknown, what it means."""
    return utterance.text or utterance.semantics or ""
