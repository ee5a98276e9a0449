"""The network of Lugosch et al. 2019 with its losses: one of its two tasks at a time.

Pretraining: the cross entropies of phones and of words, each a mean over labelled frames, added.
Intents: the sum of the cross entropies of all fields; a command is right if all its fields are.

As in the published code, the dropout of frozen layers works in training.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from atat.engine.contract import Term
from atat.engine.plain import weighted
from atat.engine.plain_commands import CommandBatch, command_terms
from atat.nn.acoustic import AcousticModel, IntentModule
from atat.systems.lugosch.batch import Batch
from atat.text.labels import UNKNOWN, Labels
from atat.text.phones import LABELS


class Lugosch(nn.Module):
    """An acoustic model with the heads of its pretraining, or with an intent module."""

    def __init__(self, labels: Labels) -> None:
        """labels: with fields, of a model for intents; else with words."""
        super().__init__()
        self.sizes = labels.sizes
        with_heads = not self.sizes
        self.acoustic = AcousticModel(
            len(LABELS) if with_heads else 0, len(labels.words) if with_heads else 0
        )
        self.intent = IntentModule(sum(self.sizes)) if self.sizes else None

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the losses and figures."""
        if self.intent is not None:
            return "intent", "exact_match"
        return "phones", "words", "phone_accuracy", "word_accuracy"

    @property
    def counts(self) -> tuple[str, ...]:
        """Names of what they are divided by."""
        return ("intent", "commands") if self.intent is not None else ("phones", "words", "spoken")

    def commands(self, samples: Tensor, lengths: Tensor) -> list[Tensor]:
        """Samples (B, T), lengths (B,) -> the logits of each field (B, values)."""
        assert self.intent is not None
        _, words = self.acoustic(samples, lengths)
        logits: Tensor = self.intent(words)
        return list(logits.split(self.sizes, 1))

    def heard(self, samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """-> logits of phones (B, N, 42) and of words (B, M, words), lengths of the words (B,)."""
        phonemes, words = self.acoustic(samples, lengths)
        phone_head, word_head = self.acoustic.phonemes.head, self.acoustic.words.head
        assert phone_head is not None and word_head is not None
        return phone_head(phonemes.states), word_head(words.states), words.lengths

    def losses(self, batch: Batch | CommandBatch) -> dict[str, Term]:
        """The terms of a batch; see the module."""
        if isinstance(batch, CommandBatch):
            logits = self.commands(batch.samples, batch.lengths)
            terms = command_terms(logits, batch.classes, batch.known)
        else:
            terms = self._of_frames(batch)
        return weighted(terms, batch.weight)

    def _of_frames(self, batch: Batch) -> dict[str, Term]:
        phones, words, _ = self.heard(batch.samples, batch.lengths)
        return {
            "phones": Term(_cross_entropy(phones.flatten(0, 1), batch.phones.flatten())),
            "words": Term(_cross_entropy(words.flatten(0, 1), batch.words.flatten())),
            "phone_accuracy": Term(_right(phones, batch.phones).sum(), weight=0.0, of="phones"),
            "word_accuracy": Term(
                (_right(words, batch.words) & batch.spoken).sum(), weight=0.0, of="spoken"
            ),
        }


def _cross_entropy(logits: Tensor, ids: Tensor) -> Tensor:
    return functional.cross_entropy(logits, ids, ignore_index=UNKNOWN, reduction="sum")


def _right(logits: Tensor, ids: Tensor) -> Tensor:
    """Where the best class is the label; an UNKNOWN one is no class."""
    return logits.detach().argmax(-1) == ids
