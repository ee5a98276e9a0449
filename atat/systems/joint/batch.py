"""A padded batch of examples with the same kind of source, and how it is made.

Shapes: B examples, T frames, F mel bins, S source tokens, U target tokens, L units of CTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from atat.engine.plain import TensorBatch
from atat.nn.loss import IGNORE
from atat.speech.audio import SAMPLE_RATE
from atat.speech.frontend import Lfb


@dataclass(frozen=True)
class Example:
    """One source and its target, as numbers."""

    utterance: str
    task: str
    source: np.ndarray  # (T, F) or samples (T,), float32; or (S,) int64
    target: list[int]  # <task> y1 .. yU <eos>
    units: list[int]  # the words as CTC units; empty if there is nothing to align
    weight: float = 1.0  # of its loss


@dataclass(frozen=True)
class Batch(TensorBatch):
    """Examples of one kind of source; `audio` says which."""

    audio: bool
    source: Tensor  # (B, T, F) or (B, T) float32, or (B, S) int64, zero beyond the lengths
    source_lengths: Tensor  # (B,)
    inputs: Tensor  # (B, U): <task> y1 .. yU
    outputs: Tensor  # (B, U): y1 .. yU <eos>, IGNORE beyond
    units: Tensor  # (B, L)
    unit_lengths: Tensor  # (B,)
    weights: Tensor  # (B,)
    tasks: tuple[str, ...]
    frame_shift: float = Lfb.frame_shift  # s from one item of an audio source to the next

    @property
    def audio_seconds(self) -> float:
        """Seconds of recordings, padding not counted."""
        return float(self.source_lengths.sum()) * self.frame_shift if self.audio else 0.0

    def counts(self) -> dict[str, float]:
        """Weighted number of targets of each loss term; its sum is divided by this."""
        tokens = (self.outputs != IGNORE).sum(1)
        return {
            "ce": float((tokens * self.weights).sum()),
            "ctc": float((self.unit_lengths * self.weights).sum()),
        }


def collate(examples: Sequence[Example], frame_shift: float = Lfb.frame_shift) -> Batch:
    """Pad examples with the same kind of source into a batch; frame_shift (s): of audio frames."""
    audio = examples[0].source.dtype.kind == "f"
    if examples[0].source.ndim == 1:
        frame_shift = 1 / SAMPLE_RATE
    sources = [torch.from_numpy(example.source) for example in examples]
    targets = [torch.tensor(example.target) for example in examples]
    units = [torch.tensor(example.units, dtype=torch.long) for example in examples]
    return Batch(
        audio=audio,
        source=_pad(sources, 0),
        source_lengths=torch.tensor([len(source) for source in sources]),
        inputs=_pad([target[:-1] for target in targets], 0),
        outputs=_pad([target[1:] for target in targets], IGNORE),
        units=_pad(units, 0),
        unit_lengths=torch.tensor([len(unit) for unit in units]),
        weights=torch.tensor([example.weight for example in examples]),
        utterances=tuple(example.utterance for example in examples),
        tasks=tuple(example.task for example in examples),
        frame_shift=frame_shift,
    )


def _pad(sequences: list[Tensor], value: float) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=value)
