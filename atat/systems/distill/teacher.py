"""Teachers: classifiers of text, a BERT with one linear layer for all classes of a command.

teacher   the layer reads the state of [CLS]
professor it reads every state, and the maximum over the sentence counts

As for the student, the loss is the sum of the cross entropies of all fields. Shapes: B sentences,
S word pieces, C classes of all fields together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from atat.engine.contract import TEXT, Term
from atat.engine.plain import PlainSource, TensorBatch, weighted
from atat.engine.plain_commands import command_counts, command_terms, no_command
from atat.engine.settings import SourceSettings
from atat.nn.attention import length_mask
from atat.systems.distill.settings import Kind
from atat.text.encoder_ids import EncoderIds
from atat.text.labels import Labels

SENTENCES = 64  # read at once where logits are computed


class Teacher(nn.Module):
    """Word pieces in, logits of all classes out."""

    terms = ("intent", "exact_match")
    counts = ("intent", "commands")

    def __init__(self, encoder: nn.Module, labels: Labels, kind: Kind) -> None:
        """encoder: word pieces (B, S), lengths (B,) -> (B, S, C)."""
        super().__init__()
        self.encoder = encoder
        self.kind = kind
        self.sizes = labels.sizes

    def forward(self, pieces: Tensor, lengths: Tensor) -> Tensor:
        """Word pieces (B, S), lengths (B,) -> logits (B, C)."""
        logits: Tensor = self.encoder(pieces, lengths)
        if self.kind == "teacher":
            return logits[:, 0]
        inside = length_mask(lengths, logits.shape[1])[:, :, None]
        return logits.masked_fill(~inside, float("-inf")).amax(1)

    def commands(self, pieces: Tensor, lengths: Tensor) -> list[Tensor]:
        """The logits of each field (B, values)."""
        return list(self(pieces, lengths).split(self.sizes, 1))

    def losses(self, batch: SentenceBatch) -> dict[str, Term]:
        """The cross entropy, and how many commands are right."""
        logits = self.commands(batch.pieces, batch.lengths)
        terms = command_terms(logits, batch.classes, batch.known)
        return weighted(terms, batch.weight)


@dataclass(frozen=True)
class SentenceExample:
    """A sentence and its command."""

    utterance: str
    pieces: list[int]
    classes: list[int]
    known: bool  # whether the outputs can say the command


@dataclass(frozen=True)
class SentenceBatch(TensorBatch):
    """Sentences of one source."""

    pieces: Tensor  # (B, S)
    lengths: Tensor  # (B,)
    classes: Tensor  # (B, F), F fields
    known: Tensor  # (B,)
    weight: float = 1.0  # of its losses

    audio_seconds = 0.0

    def counts(self) -> dict[str, float]:
        """As `command_counts`."""
        return command_counts(self.classes, self.weight)


class Sentences(PlainSource):
    """The sentences of a data dir (`text`) whose trees (`semantics`) are commands.

    `labels` must be set before an example is read. Raises InputError as `Recordings` does.
    """

    budget = TEXT
    labels = Labels()

    def __init__(self, source: SourceSettings, ids: EncoderIds, max_lost: float = 0.01) -> None:
        super().__init__(source)
        self.loss_weight = source.loss_weight
        self.need("text", any(utterance.text for utterance in self.utterances))
        self.need("semantics", any(utterance.semantics for utterance in self.utterances))
        reasons = {
            utterance.id: no_command(utterance) if utterance.text else "no text"
            for utterance in self.utterances
        }
        self.leave_out({name: why for name, why in reasons.items() if why}, max_lost)
        texts = [utterance.text or "" for utterance in self.utterances]
        known = {text: ids(text) for text in set(texts)}  # a corpus of commands has few sentences
        self.pieces = [known[text] for text in texts]
        self.lengths = np.array([len(pieces) for pieces in self.pieces], dtype=np.int64)

    def example(self, number: int, rng: np.random.Generator | None = None) -> SentenceExample:
        """Sentence `number` with its command."""
        tree = self.utterances[number].semantics or ""
        return SentenceExample(
            self.utterances[number].id,
            self.pieces[number],
            self.labels.classes(tree),
            self.labels.can_say(tree),
        )

    def collate(self, examples: Sequence[SentenceExample]) -> SentenceBatch:
        """Examples as one padded batch."""
        pieces, lengths = padded([example.pieces for example in examples])
        return SentenceBatch(
            utterances=tuple(example.utterance for example in examples),
            pieces=pieces,
            lengths=lengths,
            classes=torch.tensor([example.classes for example in examples]),
            known=torch.tensor([example.known for example in examples]),
            weight=self.loss_weight,
        )

    def trees(self) -> list[str]:
        """The trees of all sentences."""
        return [utterance.semantics or "" for utterance in self.utterances]


def padded(sentences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Word pieces of sentences -> (B, S) and their lengths (B,)."""
    rows = [torch.tensor(sentence) for sentence in sentences]
    return pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])


@torch.inference_mode()
def logits_of(teacher: Teacher, ids: EncoderIds, texts: Sequence[str]) -> np.ndarray:
    """What a teacher in evaluation mode says of texts: logits (texts, C) float32."""
    sentences = [ids(text) for text in texts]
    parts = [sentences[at : at + SENTENCES] for at in range(0, len(sentences), SENTENCES)]
    found: np.ndarray = torch.cat([teacher(*padded(part)) for part in parts]).float().numpy()
    return found
