"""A trained model as a function: a recording in, a command as a tree, or the words heard.

    recognizer = Recognizer.load("exp/intent/model")
    recognizer("lamp.wav").text           # [IN:ACTIVATE [SL:OBJECT lamp ] ]

A model of phones and words gives the words of its frames, repeats joined: no search, no language
model, so that it shows what the frames say, not how well speech could be recognised from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from atat.engine import model_folder
from atat.engine.plain_commands import command_answers
from atat.engine.plain_recordings import Answer, Listener
from atat.systems.lugosch.packed import LugoschPacked


class Recognizer(Listener):
    """A packed model ready to listen."""

    packed: LugoschPacked

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "cpu") -> Recognizer:
        """Read a packed model; InputError if it is one of another system."""
        return cls(model_folder.load_as(LugoschPacked, folder, device))

    def answers(self, recordings: Sequence[np.ndarray], task: str) -> list[Answer]:
        """Samples (T,) of each recording -> the answer to each."""
        self.check_task(task)
        samples, lengths = self.padded(recordings)
        model = self.packed.model
        with torch.inference_mode():
            if model.intent is not None:
                return command_answers(model.commands(samples, lengths), self.packed.labels)
            _, words, sizes = model.heard(samples, lengths)
            return [self.words_of(one[:size]) for one, size in zip(words, sizes.tolist())]

    def words_of(self, logits: Tensor) -> Answer:
        """Logits (M, words) of a recording -> the words that are heard."""
        best = logits.float().log_softmax(1).max(1)
        joined = torch.unique_consecutive(best.indices).tolist()
        words = [word for number in joined if (word := self.packed.labels.words[number])]
        return Answer(" ".join(words), float(best.values.mean()), len(logits))
