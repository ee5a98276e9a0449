"""Examples and batches: sequences for BERT, and spoken words for the autoencoder.

A sequence is [CLS] words [SEP], or [CLS] question [SEP] paragraph [SEP] with BERT's token types.
What is masked is no longer in it. Shapes: B sequences, S positions, N spoken words, H width, W
words of the autoencoder, F frames, D values of a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from atat.engine.plain import TensorBatch
from atat.nn.word_bert import Inputs
from atat.systems.speechbert.settings import AUDIO, TEXT
from atat.systems.speechbert.spoken import Frames
from atat.systems.speechbert.words import CLS, PAD, SEP

IGNORED = -100  # a target that is not predicted


@dataclass(frozen=True)
class Example:
    """One sequence, with the words to predict, or where the answer is."""

    utterance: str
    ids: np.ndarray  # (S,) int64; PAD where a word is spoken
    spoken: np.ndarray  # (S,) bool
    vectors: np.ndarray  # (N, H) float32 of the spoken words
    types: np.ndarray  # (S,) int64
    targets: np.ndarray  # (S,) int64: the word to predict, or IGNORED
    start: int = IGNORED  # position of the answer's first word, 0: it is not in the window
    end: int = IGNORED  # of its last
    seconds: float = 0.0  # of speech


@dataclass(frozen=True)
class Batch(TensorBatch):
    """Sequences of one source."""

    ids: Tensor  # (B, S)
    spoken: Tensor  # (B, S)
    vectors: Tensor  # (N, H)
    types: Tensor  # (B, S)
    lengths: Tensor  # (B,)
    targets: Tensor  # (B, S)
    starts: Tensor  # (B,), or (0,) where words are predicted
    ends: Tensor  # (B,)
    task: str  # of the source
    audio_seconds: float = 0.0
    weight: float = 1.0  # of its losses

    @property
    def inputs(self) -> Inputs:
        """What the network reads."""
        return Inputs(self.ids, self.spoken, self.vectors, self.types, self.lengths)

    def counts(self) -> dict[str, float]:
        """Weighted number of answers, or of predicted words."""
        if len(self.starts):
            number = self.weight * len(self.starts)
            return {"start": number, "end": number}
        number = self.weight * int((self.targets != IGNORED).sum())
        return {TEXT: 0.0, AUDIO: 0.0, self.task: number}


def of_sequences(examples: Sequence[Example], task: str, weight: float = 1.0) -> Batch:
    """A padded batch."""

    def rows(name: str, fill: int) -> Tensor:
        found = [torch.from_numpy(getattr(one, name)) for one in examples]
        return pad_sequence(found, batch_first=True, padding_value=fill)

    spoken = [one.vectors for one in examples if len(one.vectors)]
    answered = [one for one in examples if one.start != IGNORED]
    return Batch(
        utterances=tuple(example.utterance for example in examples),
        ids=rows("ids", PAD),
        spoken=rows("spoken", 0),
        vectors=torch.from_numpy(
            np.concatenate(spoken) if spoken else np.zeros((0, 0), np.float32)
        ),
        types=rows("types", 0),
        lengths=torch.tensor([len(one.ids) for one in examples]),
        targets=rows("targets", IGNORED),
        starts=torch.tensor([one.start for one in answered], dtype=torch.long),
        ends=torch.tensor([one.end for one in answered], dtype=torch.long),
        task=task,
        audio_seconds=sum(one.seconds for one in examples),
        weight=weight,
    )


def sequence(
    utterance: str,
    paragraph: np.ndarray,
    *,
    vectors: np.ndarray | None = None,
    hidden: np.ndarray | None = None,
    question: np.ndarray | None = None,
    targets: np.ndarray | None = None,
    start: int = IGNORED,
    end: int = IGNORED,
    seconds: float = 0.0,
) -> Example:
    """A sequence of a paragraph's words, before them a question's.

    paragraph, question: numbers of words. vectors: (words, H) of a spoken paragraph, whose numbers
    then enter only where `hidden` says so. start, end: of the answer among the paragraph's words;
    -1: it is not there.
    """
    before = [CLS] if question is None else [CLS, *question.tolist(), SEP]
    count, first = len(paragraph), len(before)
    size = first + count + 1
    words = slice(first, first + count)
    ids = np.array([*before, *paragraph.tolist(), SEP], dtype=np.int64)
    spoken = np.zeros(size, dtype=bool)
    if vectors is not None:
        spoken[words] = True if hidden is None else ~hidden
        vectors = vectors[spoken[words]]
        ids[spoken] = PAD
    predicted = np.full(size, IGNORED)
    if targets is not None:
        predicted[words] = targets
    types = np.zeros(size, dtype=np.int64)
    types[first:] = int(question is not None)
    places = [place if place == IGNORED else max(place + first, 0) for place in (start, end)]
    if start == -1:
        places = [0, 0]
    nothing = np.zeros((0, 0), dtype=np.float32)
    return Example(
        utterance,
        ids,
        spoken,
        nothing if vectors is None else vectors,
        types,
        predicted,
        places[0],
        places[1],
        seconds,
    )


@dataclass(frozen=True)
class WordsExample:
    """The spoken words of an utterance."""

    utterance: str
    frames: Frames
    ids: np.ndarray  # (W,)
    seconds: float


@dataclass(frozen=True)
class WordsBatch(TensorBatch):
    """Spoken words of some utterances, one after the other."""

    frames: Tensor  # (F, D)
    sizes: Tensor  # (W,)
    ids: Tensor  # (W,) numbers of the words
    known: Tensor  # (W,) bool: has an embedding
    width: int  # H
    audio_seconds: float
    weight: float = 1.0

    def counts(self) -> dict[str, float]:
        """Weighted number of values of frames, and of embeddings of known words."""
        known = int(self.known.sum())
        found = {"frames": self.frames.numel(), "embeddings": known * self.width, "known": known}
        return {name: self.weight * count for name, count in found.items()}


def of_words(examples: Sequence[WordsExample], first: int, width: int, weight: float) -> WordsBatch:
    """A batch; first: the number of the first word that is no mark; width: of the embeddings."""
    ids = torch.from_numpy(np.concatenate([one.ids for one in examples]))
    return WordsBatch(
        utterances=tuple(one.utterance for one in examples),
        frames=torch.from_numpy(np.concatenate([one.frames.frames for one in examples])),
        sizes=torch.from_numpy(np.concatenate([one.frames.sizes for one in examples])),
        ids=ids,
        known=ids >= first,
        width=width,
        audio_seconds=sum(one.seconds for one in examples),
        weight=weight,
    )
