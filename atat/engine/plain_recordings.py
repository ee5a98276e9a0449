"""Recordings as samples, for systems to inherit: which can be used, and one at a time understood.

Knows nothing of labels; `atat.engine.plain_commands` adds those of commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from atat.base.errors import InputError
from atat.datadir import contents, kaldi_dir
from atat.datadir.kaldi_dir import Utterance
from atat.engine.contract import AUDIO
from atat.engine.plain import PlainRecognizer, PlainSource
from atat.engine.settings import SourceSettings
from atat.nn.acoustic import PHONE_SAMPLES
from atat.speech import audio
from atat.speech.audio import SAMPLE_RATE
from atat.text import trees
from atat.text.trees import Tree

FRAME = SAMPLE_RATE // 100  # samples in a unit of the budget


class Recordings(PlainSource):
    """The recordings of a data dir that can be used; a subclass says what else an example needs.

    Attributes: `utterances`, `lengths` (in 10 ms), `lost`. Raises InputError if a file that the
    task needs is missing, or more than `max_lost` (a share) of the utterances cannot be used.
    """

    budget = AUDIO

    def __init__(self, source: SourceSettings, max_lost: float = 0.01) -> None:
        super().__init__(source)
        self.loss_weight = source.loss_weight
        self.need("wav.scp", any(utterance.wav for utterance in self.utterances))
        self.read_labels()
        kaldi_dir.refuse_pipes(self.data, self.utterances, "training on recordings")
        faults = contents.faults(self.data, self.utterances, "wav")
        lengths: dict[str, int] = {}
        unusable: dict[str, str] = {}
        for utterance in self.utterances:
            reason = "" if utterance.wav else "no recording"
            reason = faults.get(utterance.id) or reason or self.lacking(utterance)
            length = 0 if reason else num_samples(utterance)
            if length:
                lengths[utterance.id] = -(-length // FRAME)
            else:
                unusable[utterance.id] = reason or "no samples"
        self.leave_out(unusable, max_lost)
        self.lengths = np.array(list(lengths.values()), dtype=np.int64)

    @property
    def states(self) -> float:
        """Mean number of frames of 40 ms."""
        return float(self.lengths.mean()) * FRAME / PHONE_SAMPLES

    def samples(self, number: int) -> np.ndarray:
        """The samples (T,) float32 of recording `number`."""
        found: np.ndarray = contents.read_recording(self.utterances[number])
        return found.astype(np.float32, copy=False)

    def read_labels(self) -> None:
        """Read what else is needed, before recordings are looked at; InputError if it is not there
        (`need`)."""

    def lacking(self, utterance: Utterance) -> str:
        """What an utterance with a recording lacks to be an example; empty: nothing."""
        return ""


def num_samples(utterance: Utterance) -> int:
    """Samples of a recording, from the tables, the file's header, or the recording itself."""
    if utterance.duration is not None:
        return round(utterance.duration * SAMPLE_RATE)
    if utterance.start is None:
        return audio.probe(str(utterance.wav)).num_samples
    return len(contents.read_recording(utterance))


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


class OneAnswer(PlainRecognizer):
    """A packed model that gives one answer to each source, without a search, in fp32."""

    def __init__(self, packed: Any, *, precision: str = "auto", **_: Any) -> None:
        """Further options of decoding are those of a search."""
        super().__init__(packed)
        if precision not in ("auto", "fp32"):
            raise InputError(
                f"precision is {precision}; a model of `{packed.system}` computes in fp32"
            )
        self.device = next(packed.model.parameters()).device

    def answers(self, sources: Sequence[np.ndarray], task: str) -> list[Answer]:
        """The answer to each source."""
        raise NotImplementedError

    def check_task(self, task: str) -> None:
        """Raise InputError unless the model was trained on the task."""
        if task not in self.packed.tasks:
            raise InputError(
                f"task {task}: this model was trained on {', '.join(self.packed.tasks)} and does "
                "nothing else"
            )

    def hypotheses(self, sources: Sequence[np.ndarray], task: str) -> list[list[dict[str, Any]]]:
        """text, score and length of the one hypothesis of each source."""
        return [
            [{"text": one.text, "score": one.score, "length": one.length}]
            for one in self.answers(sources, task)
        ]


class Listener(OneAnswer):
    """A packed model that reads samples: recordings in, an answer to each out."""

    def __call__(self, recording: str | Path | np.ndarray) -> Answer:
        """Understand a file (of any rate), or samples (T,) in [-1, 1] at 16 kHz."""
        if isinstance(recording, (str, Path)):
            recording = audio.load(recording, resample=True)
        audio.check_samples("samples", recording, SAMPLE_RATE)
        if not len(recording):
            raise InputError("the recording has no samples")
        return self.answers([recording], self.packed.tasks[0])[0]

    def padded(self, recordings: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Samples (T,) of each -> samples (B, T) and lengths (B,) on the device."""
        rows = [torch.from_numpy(one.astype(np.float32, copy=False)) for one in recordings]
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        return pad_sequence(rows, batch_first=True).to(self.device), lengths

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
