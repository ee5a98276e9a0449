"""Masked words of paragraphs, written or spoken, and of questions (Chuang et al. 2020, sections 2.1
and 2.3).

Every known word is to be predicted with the same probability. It then enters as [MASK]; in text, as
in BERT's own code, some enter as a random word and some as themselves. Words that the model does
not know are never predicted. Paragraphs longer than a sequence are cut into equal parts.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from atat.datadir import questions
from atat.datadir.kaldi_dir import Utterance
from atat.engine.settings import SourceSettings
from atat.speech.frontend import Frontend
from atat.systems.speechbert import batch
from atat.systems.speechbert.batch import IGNORED, Example
from atat.systems.speechbert.data import Sequences
from atat.systems.speechbert.words import FIRST, MASK
from atat.text.normalize import normalize

MARKS = 2  # [CLS] words [SEP]


@dataclass(frozen=True)
class Masking:
    """Shares: of the words that are predicted, and of those the random and the kept ones."""

    share: float = 0.15
    random: float = 0.1
    kept: float = 0.1

    def draw(self, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Which of some words (S,) are predicted; bool."""
        drawn: np.ndarray = (rng.random(len(ids)) < self.share) & (ids >= FIRST)
        return drawn

    def entering(
        self, ids: np.ndarray, drawn: np.ndarray, size: int, rng: np.random.Generator
    ) -> np.ndarray:
        """What enters (S,) in the place of written words; size: how many words the model knows."""
        way = rng.random(len(ids))
        others = rng.integers(FIRST, size, len(ids)) if size > FIRST else ids
        instead = np.where(way < self.random, others, MASK)
        instead = np.where((way >= self.random) & (way < self.random + self.kept), ids, instead)
        return np.where(drawn, instead, ids)


class Part(NamedTuple):
    """Words first .. end - 1 of a text."""

    name: str
    text: str
    first: int
    end: int
    utterance: Utterance | None  # None: of a question


class Masked(Sequences):
    """Parts of paragraphs, and questions where they are asked for."""

    def __init__(
        self,
        source: SourceSettings,
        frontend: Frontend | None,
        max_lost: float,
        *,
        longest: int,
        masking: Masking,
        with_questions: bool = False,
        lost_questions: bool = True,
    ) -> None:
        """frontend: of spoken words; None: written ones. longest: positions of a sequence.
        lost_questions: with_questions, also those that the recogniser lost."""
        super().__init__(source, frontend, max_lost)
        self.masking = masking
        texts: list[tuple[str, str, Utterance | None]] = [
            (one.id, one.text or "", one) for one in self.utterances
        ]
        if with_questions and (Path(self.data) / questions.QUESTIONS).is_file():
            texts += [
                (f"question {one.id}", text, None)
                for one in questions.read(self.data)
                if (lost_questions or not one.lost) and (text := normalize(one.question))
            ]
        self.parts = [
            Part(name, text, first, end, utterance)
            for name, text, utterance in texts
            for first, end in even(len(text.split()), longest - MARKS)
        ]
        self._measured([part.end - part.first for part in self.parts])

    def __len__(self) -> int:
        return len(self.parts)

    def texts(self) -> list[str]:
        """Paragraphs, and the questions that are read."""
        return [part.text for part in self.parts if not part.first]

    def key(self, number: int) -> str:
        """Task, utterance and where the part begins."""
        part = self.parts[number]
        return f"{self.task} {part.name} {part.first}"

    def example(self, number: int, rng: np.random.Generator | None = None) -> Example:
        """Part `number` with random masks; without `rng` they are always the same."""
        part = self.parts[number]
        rng = rng or np.random.default_rng(zlib.crc32(self.key(number).encode()))
        inside = slice(part.first, part.end)
        ids = self.words.ids(part.text.split()[inside])
        drawn = self.masking.draw(ids, rng)
        targets = np.where(drawn, ids, IGNORED)
        if self.spoken is None or part.utterance is None:
            entering = self.masking.entering(ids, drawn, len(self.words), rng)
            return batch.sequence(part.name, entering, targets=targets)
        vectors = self.vectors(part.utterance)
        assert vectors is not None
        whole = self.spoken.seconds(part.utterance)
        return batch.sequence(
            part.name,
            np.where(drawn, MASK, ids),
            vectors=vectors[inside],
            hidden=drawn,
            targets=targets,
            seconds=whole * len(ids) / len(vectors),
        )


def even(words: int, most: int) -> list[tuple[int, int]]:
    """As few parts as possible of at most `most` words, all of about the same length."""
    count = -(-words // most)
    edges = [words * number // count for number in range(count + 1)] if count else []
    return list(zip(edges, edges[1:]))
