"""Recordings with their commands and what teachers say of their texts.

Teachers are fixed, so that their logits are computed once for each sentence, before training.
Shapes: B recordings, K teachers, C classes of all fields together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from atat.datadir.kaldi_dir import Utterance
from atat.engine.plain_commands import CommandBatch, CommandExample, CommandRecordings

Lessons = Callable[[Sequence[str]], np.ndarray]  # texts -> logits (texts, K, C)


@dataclass(frozen=True)
class LessonBatch(CommandBatch):
    """Recordings, their commands, and what the teachers say, in a certain step of the training."""

    lessons: Tensor = torch.zeros(0)  # (B, K, C)
    step: int = 0  # counted from 0

    def counts(self) -> dict[str, float]:
        """Those of commands, of which there is a lesson each."""
        found = super().counts()
        return found | {"distilled": found["commands"]}


class TaughtRecordings(CommandRecordings):
    """Recordings of a training set, which have texts.

    Its batches hold lessons in a step of the training (`at`), after `teach`.
    """

    step: int | None = None

    def teach(self, lessons: Lessons) -> None:
        """Ask the teachers about every sentence once."""
        texts = sorted({utterance.text or "" for utterance in self.utterances})
        self.lessons = torch.from_numpy(lessons(texts))
        place = {text: number for number, text in enumerate(texts)}
        self.places = {one.id: place[one.text or ""] for one in self.utterances}

    def at(self, step: int) -> TaughtRecordings:
        """The source in an optimizer step."""
        found = copy(self)
        found.step = step
        return found

    def collate(self, examples: Sequence[CommandExample]) -> CommandBatch:
        """Examples as one padded batch, with lessons where the step is known."""
        batch = super().collate(examples)
        if self.step is None:
            return batch
        places = [self.places[example.utterance] for example in examples]
        return LessonBatch(**vars(batch), lessons=self.lessons[places], step=self.step)

    def read_labels(self) -> None:
        """InputError if no utterance has a text, or none a tree."""
        self.need("text", any(utterance.text for utterance in self.utterances))
        super().read_labels()

    def lacking(self, utterance: Utterance) -> str:
        """Why there is no command or nothing to ask the teachers about; empty: all is there."""
        return super().lacking(utterance) if utterance.text else "no text"
