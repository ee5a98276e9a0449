"""Examples and batches: posteriors of speech, word pieces, and what is to be predicted of them.

What is masked is no longer in a batch: its posteriors are 0, its pieces are [MASK].

Shapes: B sequences, N frames of 40 ms, U word pieces (none in finetuning), L phonemes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from atat.engine.plain import TensorBatch
from atat.engine.plain_commands import command_counts
from atat.nn.acoustic import PHONE_SAMPLES
from atat.nn.speech_text_bert import Inputs
from atat.speech.audio import SAMPLE_RATE
from atat.systems.stbert.masking import IGNORED, Masks


@dataclass(frozen=True)
class Example:
    """A part of an utterance with masks, or an utterance with its class."""

    utterance: str
    posteriors: np.ndarray  # (N, L) float32
    phonemes: np.ndarray  # (N,) int64: the target of each frame
    pieces: np.ndarray  # (U,) int64
    masks: Masks  # as for `mlm`
    command: int = IGNORED  # the class; IGNORED: none of those known


@dataclass(frozen=True)
class Batch(TensorBatch):
    """Examples of one source."""

    posteriors: Tensor  # (B, N, L)
    frames: Tensor  # (B,)
    hidden: Tensor  # (B, N)
    pieces: Tensor  # (B, U)
    sizes: Tensor  # (B,)
    phoneme_targets: Tensor  # (B, N), IGNORED where nothing is to be predicted
    piece_targets: Tensor  # (B, U)
    commands: Tensor  # (B,), or (0,) in pretraining
    weight: float = 1.0  # of its losses

    @property
    def inputs(self) -> Inputs:
        """What the network reads."""
        return Inputs(self.posteriors, self.frames, self.hidden, self.pieces, self.sizes)

    @property
    def audio_seconds(self) -> float:
        """Seconds of recordings, padding not counted."""
        return float(self.frames.sum()) * PHONE_SAMPLES / SAMPLE_RATE

    def counts(self) -> dict[str, float]:
        """Those of commands, or the weighted number of predicted frames and of pieces."""
        if len(self.commands):
            return command_counts(self.commands[:, None], self.weight)
        found = {
            "phonemes": int((self.phoneme_targets != IGNORED).sum()),
            "pieces": int((self.piece_targets != IGNORED).sum()),
        }
        return {name: self.weight * count for name, count in found.items()}


def of_pretraining(
    examples: Sequence[Example], masks: Sequence[Masks], mask: int, weight: float = 1.0
) -> Batch:
    """A batch in which of each example is hidden, and to be predicted, what its masks say.

    mask: the number of the piece [MASK].
    """
    tensors = [
        (
            np.where(hidden.frames[:, None], np.float32(0), one.posteriors),
            hidden.frames,
            np.where(hidden.pieces, mask, one.pieces),
            np.where(hidden.frames, one.phonemes, IGNORED),
            np.where(hidden.pieces, one.pieces, IGNORED),
        )
        for one, hidden in zip(examples, masks, strict=True)
    ]
    posteriors, hidden, pieces, phoneme_targets, piece_targets = (
        [torch.from_numpy(array) for array in column] for column in zip(*tensors)
    )
    return Batch(
        utterances=tuple(example.utterance for example in examples),
        posteriors=pad_sequence(posteriors, batch_first=True),
        frames=torch.tensor([len(one) for one in posteriors]),
        hidden=pad_sequence(hidden, batch_first=True),
        pieces=pad_sequence(pieces, batch_first=True),
        sizes=torch.tensor([len(one) for one in pieces]),
        phoneme_targets=pad_sequence(phoneme_targets, True, IGNORED),
        piece_targets=pad_sequence(piece_targets, True, IGNORED),
        commands=torch.zeros(0, dtype=torch.long),
        weight=weight,
    )


def of_commands(examples: Sequence[Example], weight: float = 1.0) -> Batch:
    """A batch of speech alone, nothing of it hidden, and its classes."""
    posteriors = [torch.from_numpy(one.posteriors) for one in examples]
    padded = pad_sequence(posteriors, batch_first=True)
    count, longest, _ = padded.shape
    nothing = torch.zeros(count, 0, dtype=torch.long)
    return Batch(
        utterances=tuple(example.utterance for example in examples),
        posteriors=padded,
        frames=torch.tensor([len(one) for one in posteriors]),
        hidden=torch.zeros(count, longest, dtype=torch.bool),
        pieces=nothing,
        sizes=torch.zeros(count, dtype=torch.long),
        phoneme_targets=torch.full((count, longest), IGNORED),
        piece_targets=nothing,
        commands=torch.tensor([example.command for example in examples]),
        weight=weight,
    )
