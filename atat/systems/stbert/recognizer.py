"""A finetuned model as a function: a recording in, its class as a tree out.

recognizer = Recognizer.load("exp/stbert/model")
recognizer("lamp.wav").text           # [IN:ACTIVATE [SL:OBJECT lamp ] ]
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from atat.base.errors import InputError
from atat.datadir.kaldi_dir import Utterance
from atat.engine import model_folder
from atat.engine.plain_recordings import Answer, Listener
from atat.nn.acoustic import PHONE_SAMPLES
from atat.nn.speech_text_bert import Inputs
from atat.speech.audio import SAMPLE_RATE
from atat.systems.stbert.packed import StbertPacked
from atat.systems.stbert.pieces import marks
from atat.systems.stbert.settings import PRETRAIN

MARKS = marks(0)


class Recognizer(Listener):
    """A packed model ready to listen."""

    packed: StbertPacked

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "cpu") -> Recognizer:
        """Read a packed model; InputError if it is one of another system."""
        return cls(model_folder.load_as(StbertPacked, folder, device))

    def check_task(self, task: str) -> None:
        """Raise InputError unless the model was finetuned on the task."""
        if task == PRETRAIN or self.packed.tasks == (PRETRAIN,):
            raise InputError(
                f"task {task}: a model of task {PRETRAIN} fills in what is masked and has no "
                "answer to decode; finetune it on intent"
            )
        super().check_task(task)

    def read(self, utterance: Utterance, task: str) -> np.ndarray:
        """Samples (T,); raises InputError, naming the utterance, for bad or too much audio."""
        samples = super().read(utterance, task)
        self._check_length(samples, f"utterance {utterance.id}")
        return samples

    def source(self, given: np.ndarray | str) -> np.ndarray:
        """The samples themselves; raises InputError for none, and for too many."""
        samples = super().source(given)
        self._check_length(samples, "the recording")
        return samples

    def answers(self, recordings: Sequence[np.ndarray], task: str) -> list[Answer]:
        """Samples (T,) of each recording -> the answer to each."""
        self.check_task(task)
        for number, samples in enumerate(recordings):
            self._check_length(samples, f"recording {number + 1} of {len(recordings)}")
        model, classes = self.packed.model, self.packed.classes
        with torch.inference_mode():
            posteriors, frames = model.listener(*self.padded(recordings))
            nothing = torch.zeros(len(frames), 0, dtype=torch.long, device=self.device)
            hidden = torch.zeros(posteriors.shape[:2], dtype=torch.bool, device=self.device)
            inputs = Inputs(posteriors, frames, hidden, nothing, torch.zeros_like(frames))
            best = model.logits(inputs).float().log_softmax(1).max(1)
        rows = zip(best.indices.tolist(), best.values.tolist())
        return [Answer(classes.names[number], score, 1) for number, score in rows]

    def _check_length(self, samples: np.ndarray, what: str) -> None:
        frames, longest = -(-len(samples) // PHONE_SAMPLES), self.packed.longest
        if frames + MARKS > longest:
            seconds = (longest - MARKS) * PHONE_SAMPLES / SAMPLE_RATE
            raise InputError(
                f"{what} has {len(samples) / SAMPLE_RATE:.1f} s, {frames} frames of 40 ms; the "
                f"model reads sequences of {longest} (max_length of its training, or all that its "
                f"BERT knows), {seconds:.1f} s at most: cut it where nothing is said"
            )
