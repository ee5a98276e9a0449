"""Examples and batches of raw samples with labels of frames.

Shapes: B recordings, T samples at 16 kHz, N frames of 40 ms, M of 160 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from atat.engine.plain import TensorBatch
from atat.speech.audio import SAMPLE_RATE
from atat.text.labels import EMPTY_ID, UNKNOWN


@dataclass(frozen=True)
class Example:
    """A recording, or a part of one, with the labels of its frames."""

    utterance: str
    samples: np.ndarray  # (T,) float32
    phones: np.ndarray  # (N,) int64, UNKNOWN: ignored
    words: np.ndarray  # (M,)


@dataclass(frozen=True)
class Batch(TensorBatch):
    """Examples of one source, UNKNOWN in the padding of labels."""

    samples: Tensor  # (B, T)
    lengths: Tensor  # (B,)
    phones: Tensor  # (B, N)
    words: Tensor  # (B, M)
    weight: float = 1.0  # of its losses

    @property
    def audio_seconds(self) -> float:
        """Seconds of recordings, padding not counted."""
        return float(self.lengths.sum()) / SAMPLE_RATE

    def counts(self) -> dict[str, float]:
        """Weighted number of labelled frames, and of those with a word."""
        found = {
            "phones": int((self.phones != UNKNOWN).sum()),
            "words": int((self.words != UNKNOWN).sum()),
            "spoken": int(self.spoken.sum()),
        }
        return {name: self.weight * count for name, count in found.items()}

    @property
    def spoken(self) -> Tensor:
        """The frames (B, M) in which a word that the model knows is spoken."""
        return (self.words != UNKNOWN) & (self.words != EMPTY_ID)


def collate(examples: Sequence[Example], weight: float = 1.0) -> Batch:
    """Pad examples into a batch."""
    samples, phones, words = (
        [torch.from_numpy(getattr(example, name)) for example in examples]
        for name in ("samples", "phones", "words")
    )
    return Batch(
        utterances=tuple(example.utterance for example in examples),
        samples=pad_sequence(samples, batch_first=True),
        lengths=torch.tensor([len(one) for one in samples]),
        phones=pad_sequence(phones, batch_first=True, padding_value=UNKNOWN),
        words=pad_sequence(words, batch_first=True, padding_value=UNKNOWN),
        weight=weight,
    )
