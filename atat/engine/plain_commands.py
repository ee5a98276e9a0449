"""Commands told by classes, one for each field, for systems to inherit: data, losses, answers.

A command is right if all its fields are; its loss is the sum of their cross entropies (Lugosch et
al. 2019, section 3.3). `atat.text.labels` says what fields and classes are.

Shapes: B utterances, T samples at 16 kHz, F fields of a command.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from atat.base.errors import InputError
from atat.datadir.kaldi_dir import Utterance
from atat.engine.contract import Term
from atat.engine.plain import PlainPacked, TensorBatch
from atat.engine.plain_recordings import Answer, Recordings
from atat.speech.audio import SAMPLE_RATE
from atat.text.labels import UNKNOWN, Labels, command_of


@dataclass
class LabelledPacked(PlainPacked):
    """A packed model with the labels of its outputs."""

    labels: Labels = field(default_factory=Labels)

    def write(self, folder: Path) -> None:
        """Write labels.json."""
        self.labels.write(folder)


@dataclass(frozen=True)
class CommandExample:
    """A recording and its command."""

    utterance: str
    samples: np.ndarray  # (T,) float32
    classes: np.ndarray  # (F,) int64, UNKNOWN: a value that is not among the outputs
    known: bool  # whether the outputs can say the command


@dataclass(frozen=True)
class CommandBatch(TensorBatch):
    """Recordings and their commands."""

    samples: Tensor  # (B, T)
    lengths: Tensor  # (B,)
    classes: Tensor  # (B, F)
    known: Tensor  # (B,)
    weight: float = 1.0  # of its losses

    @property
    def audio_seconds(self) -> float:
        """Seconds of recordings, padding not counted."""
        return float(self.lengths.sum()) / SAMPLE_RATE

    def counts(self) -> dict[str, float]:
        """As `command_counts`."""
        return command_counts(self.classes, self.weight)


def collate(examples: Sequence[CommandExample], weight: float = 1.0) -> CommandBatch:
    """Pad examples into a batch."""
    return CommandBatch(
        utterances=tuple(example.utterance for example in examples),
        samples=pad_sequence([torch.from_numpy(one.samples) for one in examples], True),
        lengths=torch.tensor([len(one.samples) for one in examples]),
        classes=torch.stack([torch.from_numpy(one.classes) for one in examples]),
        known=torch.tensor([one.known for one in examples]),
        weight=weight,
    )


class CommandRecordings(Recordings):
    """The recordings of a data dir whose trees (`semantics`) are commands.

    `labels` must be set before an example is read: training finds them in its own sources.
    """

    labels = Labels()

    def example(self, number: int, rng: np.random.Generator | None = None) -> CommandExample:
        """Recording `number`, whole, with its command."""
        tree = self.utterances[number].semantics or ""
        return CommandExample(
            self.utterances[number].id,
            self.samples(number),
            np.array(self.labels.classes(tree), dtype=np.int64),
            self.labels.can_say(tree),
        )

    def collate(self, examples: Sequence[CommandExample]) -> CommandBatch:
        """Examples as one padded batch."""
        return collate(examples, self.loss_weight)

    def trees(self) -> list[str]:
        """The trees of all recordings."""
        return [utterance.semantics or "" for utterance in self.utterances]

    def read_labels(self) -> None:
        """InputError if no utterance has a tree."""
        self.need("semantics", any(utterance.semantics for utterance in self.utterances))

    def lacking(self, utterance: Utterance) -> str:
        """Why an utterance has no command; empty: it has one."""
        return no_command(utterance)


def no_command(utterance: Utterance) -> str:
    """Why an utterance has no command that classes can say; empty: it has one."""
    if not utterance.semantics:
        return "no semantics"
    try:
        command_of(utterance.semantics)
    except InputError as error:
        return str(error)
    return ""


def command_counts(classes: Tensor, weight: float) -> dict[str, float]:
    """Classes (B, F) -> weighted number of commands with a loss, and of all.

    A field whose value is UNKNOWN has no loss: of F fields it makes a command count 1/F less.
    """
    known = int((classes != UNKNOWN).sum()) / classes.shape[1]
    return {"intent": weight * known, "commands": weight * len(classes)}


def command_terms(logits: Sequence[Tensor], classes: Tensor, known: Tensor) -> dict[str, Term]:
    """Logits (B, values) of each field, classes (B, F), known (B,) -> the cross entropy, `intent`,
    and how many commands are right, `exact_match`."""
    wanted = classes.unbind(1)
    loss = torch.stack([_cross_entropy(one, ids) for one, ids in zip(logits, wanted)]).sum()
    right = (all_right(logits, classes) & known).sum()
    return {"intent": Term(loss), "exact_match": Term(right, weight=0.0, of="commands")}


def all_right(logits: Sequence[Tensor], classes: Tensor) -> Tensor:
    """Logits (B, values) of each field, classes (B, F) -> whether those of all fields are (B,)."""
    wanted = classes.unbind(1)
    return torch.stack([one.argmax(1) == ids for one, ids in zip(logits, wanted)]).all(0)


def _cross_entropy(logits: Tensor, ids: Tensor) -> Tensor:
    return functional.cross_entropy(logits, ids, ignore_index=UNKNOWN, reduction="sum")


def command_answers(logits: Sequence[Tensor], labels: Labels) -> list[Answer]:
    """Logits (B, values) of each field -> the most probable command of each utterance."""
    best = [one.float().log_softmax(1).max(1) for one in logits]
    scores = torch.stack([one.values for one in best]).sum(0).tolist()
    classes = torch.stack([one.indices for one in best], 1).tolist()
    return [Answer(labels.tree(row), score, len(row)) for row, score in zip(classes, scores)]
