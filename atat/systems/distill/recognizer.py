"""A trained student or teacher as the engine decodes it: a command as a tree for each source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from atat.base.errors import InputError
from atat.datadir.kaldi_dir import Utterance
from atat.engine.plain_commands import command_answers
from atat.engine.plain_recordings import Answer, Listener, OneAnswer
from atat.systems.distill.packed import StudentPacked, TeacherPacked
from atat.systems.distill.teacher import padded


class StudentRecognizer(Listener):
    """A packed student ready to listen."""

    packed: StudentPacked

    def answers(self, recordings: Sequence[np.ndarray], task: str) -> list[Answer]:
        """Samples (T,) of each recording -> the answer to each."""
        self.check_task(task)
        with torch.inference_mode():
            logits = self.packed.model.commands(*self.padded(recordings))
        return command_answers(logits, self.packed.labels)


class TeacherRecognizer(OneAnswer):
    """A packed teacher ready to read."""

    packed: TeacherPacked

    def answers(self, sentences: Sequence[np.ndarray], task: str) -> list[Answer]:
        """Word pieces (S,) of each sentence -> the answer to each."""
        self.check_task(task)
        pieces, lengths = padded([sentence.tolist() for sentence in sentences])
        with torch.inference_mode():
            logits = self.packed.model.commands(pieces.to(self.device), lengths.to(self.device))
        return command_answers(logits, self.packed.labels)

    def measure(self, utterance: Utterance, task: str) -> tuple[int, np.ndarray | None]:
        """Number of word pieces, and the pieces."""
        pieces = self.read(utterance, task)
        return len(pieces), pieces

    def read(self, utterance: Utterance, task: str) -> np.ndarray:
        """Word pieces (S,)."""
        return self.source(utterance.text or "")

    def source(self, given: np.ndarray | str) -> np.ndarray:
        """Word pieces (S,) of a text; InputError for a recording."""
        if not isinstance(given, str):
            raise InputError("this model reads text, not recordings")
        return np.array(self.packed.ids(given), dtype=np.int64)
