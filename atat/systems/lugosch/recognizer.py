"""A trained model as a function: a recording in, a command as a tree, or the words heard.

    recognizer = Recognizer.load("exp/intent/model")
    recognizer("lamp.wav").text           # [IN:ACTIVATE [SL:OBJECT lamp ] ]

A model of phones and words gives the words of its frames, repeats joined: no search, no language
model, so that it shows what the frames say, not how well speech could be recognised from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atat.base.errors import InputError
from atat.datadir import contents
from atat.datadir.kaldi_dir import Utterance
from atat.engine import model_folder
from atat.engine.plain import PlainRecognizer
from atat.speech import audio
from atat.systems.lugosch.data import FRAME, num_samples
from atat.systems.lugosch.packed import LugoschPacked
from atat.text import trees
from atat.text.trees import Tree


@dataclass(frozen=True)
class Answer:
    """What was understood."""

    text: str  # a tree as text, or words
    score: float  # log probability: of the command, or the mean over frames of the words
    length: int  # fields or frames

    @property
    def tree(self) -> Tree | None:
        """The tree, or None if the text is not a tree."""
        return trees.parse_or_none(self.text)


class Recognizer(PlainRecognizer):
    """A packed model ready to listen."""

    packed: LugoschPacked

    def __init__(self, packed: LugoschPacked, *, precision: str = "auto", **_: Any) -> None:
        """Further options of decoding are those of a search, of which there is none here."""
        super().__init__(packed)
        if precision not in ("auto", "fp32"):
            raise InputError(f"precision is {precision}; a model of `lugosch` computes in fp32")
        self.device = next(packed.model.parameters()).device

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "cpu") -> Recognizer:
        """Read a packed model; InputError if it is one of another system."""
        return cls(model_folder.load_as(LugoschPacked, folder, device))

    def __call__(self, recording: str | Path | np.ndarray) -> Answer:
        """Understand a file (of any rate), or samples (T,) in [-1, 1] at 16 kHz."""
        if isinstance(recording, (str, Path)):
            recording = audio.load(recording, resample=True)
        audio.check_samples("samples", recording, audio.SAMPLE_RATE)
        if not len(recording):
            raise InputError("the recording has no samples")
        return self.answers([recording], self.packed.tasks[0])[0]

    def answers(self, recordings: Sequence[np.ndarray], task: str) -> list[Answer]:
        """Samples (T,) of each recording -> the answer to each."""
        self.check_task(task)
        rows = [torch.from_numpy(one.astype(np.float32, copy=False)) for one in recordings]
        samples = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.device)
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        with torch.inference_mode():
            if self.packed.model.intent is not None:
                return self._commands(self.packed.model.commands(samples, lengths))
            _, words, sizes = self.packed.model.heard(samples, lengths)
            return [self._words(one[:size]) for one, size in zip(words, sizes.tolist())]

    def _commands(self, logits: Sequence[Tensor]) -> list[Answer]:
        best = [one.float().log_softmax(1).max(1) for one in logits]
        scores = torch.stack([one.values for one in best]).sum(0).tolist()
        classes = torch.stack([one.indices for one in best], 1).tolist()
        tree = self.packed.labels.tree
        return [Answer(tree(row), score, len(row)) for row, score in zip(classes, scores)]

    def _words(self, logits: Tensor) -> Answer:
        best = logits.float().log_softmax(1).max(1)
        joined = torch.unique_consecutive(best.indices).tolist()
        words = [word for number in joined if (word := self.packed.labels.words[number])]
        return Answer(" ".join(words), float(best.values.mean()), len(logits))

    # For decoding of data dirs (atat.engine.contract.Recognizer).

    def check_task(self, task: str) -> None:
        """Raise InputError unless the model was trained on the task."""
        if task not in self.packed.tasks:
            raise InputError(
                f"task {task}: this model was trained on {', '.join(self.packed.tasks)} and does "
                "nothing else"
            )

    def measure(self, utterance: Utterance, task: str) -> tuple[int, np.ndarray | None]:
        """Frames of 10 ms; 1 if `read` is to say why not."""
        try:
            return max(-(-num_samples(utterance) // FRAME), 1), None
        except InputError:
            return 1, None

    def read(self, utterance: Utterance, task: str) -> np.ndarray:
        """Samples (T,); raises InputError, naming the utterance, for bad audio."""
        if utterance.wav is None:
            raise InputError(
                f"utterance {utterance.id} has no recording (wav.scp), which this model reads"
            )
        samples = contents.read_recording(utterance)
        if not len(samples):
            raise InputError(f"utterance {utterance.id} has no samples")
        return samples

    def hypotheses(self, sources: Sequence[np.ndarray], task: str) -> list[list[dict[str, Any]]]:
        """text, score and length of the one hypothesis of each source."""
        return [
            [{"text": one.text, "score": one.score, "length": one.length}]
            for one in self.answers(sources, task)
        ]
