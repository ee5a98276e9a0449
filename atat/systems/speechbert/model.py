"""SpeechBERT with its losses: what a stage trains it on (Chuang et al. 2020, section 2).

Masked words: the cross entropies of written and of spoken ones, each a mean over what is predicted,
added. Spoken words by themselves: the mean squared error of their normalised frames, and the mean
distance (L1) of their vectors from the embeddings of their words in the frozen text BERT. Answers:
the mean of the cross entropies of start and end, over the words of a window and [CLS], which stands
for an answer elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from atat.engine.contract import Term
from atat.engine.plain import weighted
from atat.nn.attention import length_mask
from atat.nn.segment_autoencoder import SegmentDecoder, SegmentEncoder
from atat.nn.word_bert import Inputs, WordBert
from atat.systems.speechbert.batch import IGNORED, Batch, WordsBatch
from atat.systems.speechbert.settings import AUDIO, TEXT, WORDS


class SpeechBert(nn.Module):
    """BERT, and what its stage has besides.

    Training reads vectors that were computed before, so that only speech that is new to the model
    goes through `encoder` once it is frozen.
    """

    def __init__(
        self,
        network: WordBert,
        encoder: SegmentEncoder | None = None,
        decoder: SegmentDecoder | None = None,
        *,
        answers: bool = False,
        l1: float = 1.0,
    ) -> None:
        """encoder: of spoken words, if they are read; decoder: while the encoder is trained.
        answers: whether it finds them. l1: weight of the distance to embeddings."""
        super().__init__()
        self.network, self.encoder, self.decoder = network, encoder, decoder
        self.l1 = l1
        self.answers = nn.Linear(network.width, 2) if answers else None
        if self.answers is not None:  # as BERT's own layers
            nn.init.normal_(self.answers.weight, std=network.bert.config.initializer_range)
            nn.init.zeros_(self.answers.bias)

    def trained(self) -> list[nn.Parameter]:
        """The parameters that its stage trains: the autoencoder, or all but the encoder."""
        if self.decoder is not None:
            assert self.encoder is not None
            return [*self.encoder.parameters(), *self.decoder.parameters()]
        named = self.named_parameters()
        return [value for name, value in named if not name.startswith("encoder.")]

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the losses and figures."""
        if self.answers is not None:
            return "start", "end", "exact_match"
        if self.decoder is not None:
            return "frames", "embeddings", "nearest"
        tasks = self.counts
        return (*tasks, *(f"{task}_accuracy" for task in tasks))

    @property
    def counts(self) -> tuple[str, ...]:
        """Names of what they are divided by."""
        if self.answers is not None:
            return "start", "end"
        if self.decoder is not None:
            return "frames", "embeddings", "known"
        return TEXT, AUDIO

    def losses(self, batch: Any) -> dict[str, Term]:
        """The terms of a batch; see the module."""
        if isinstance(batch, WordsBatch):
            terms = self._of_words(batch)
        elif self.answers is not None:
            terms = self._of_answers(batch)
        else:
            terms = self._of_masks(batch)
        return weighted(terms, batch.weight)

    def scores(self, inputs: Inputs) -> Tensor:
        """Log probabilities (B, S, 2) of each position as the first and the last of the answer.

        Those of a window's words and of [CLS]; -inf elsewhere.
        """
        assert self.answers is not None
        logits = self.answers(self.network(inputs)).float()
        positions = torch.arange(logits.shape[1], device=logits.device)
        words = (inputs.types == 1) & length_mask(inputs.lengths - 1, logits.shape[1])
        possible = words | (positions == 0)
        hidden = logits.masked_fill(~possible[:, :, None], -torch.inf)
        found: Tensor = hidden.log_softmax(1)
        return found

    def _of_answers(self, batch: Batch) -> dict[str, Term]:
        scores = self.scores(batch.inputs)
        found = {
            name: Term(functional.nll_loss(scores[:, :, at], targets, reduction="sum"), weight=0.5)
            for at, (name, targets) in enumerate((("start", batch.starts), ("end", batch.ends)))
        }
        both = torch.stack([batch.starts, batch.ends], 1)
        right = (scores.detach().argmax(1) == both).all(1).sum()
        return {**found, "exact_match": Term(right, weight=0.0, of="start")}

    def _of_masks(self, batch: Batch) -> dict[str, Term]:
        wanted = batch.targets != IGNORED
        if not bool(wanted.any()):
            return {}
        logits = self.network.word_logits(self.network(batch.inputs)[wanted]).float()
        targets, name = batch.targets[wanted], batch.task
        loss = functional.cross_entropy(logits, targets, reduction="sum")
        right = (logits.detach().argmax(1) == targets).sum()
        return {name: Term(loss), f"{name}_accuracy": Term(right, weight=0.0, of=name)}

    def _of_words(self, batch: WordsBatch) -> dict[str, Term]:
        assert self.encoder is not None and self.decoder is not None
        vectors = self.encoder(batch.frames, batch.sizes)
        written = self.decoder(vectors, batch.sizes)
        error = functional.mse_loss(written, self.encoder.cmvn(batch.frames), reduction="sum")
        table = self.network.table.detach()
        known, ids = vectors[batch.known], batch.ids[batch.known]
        distance = functional.l1_loss(known, table[ids], reduction="sum")
        found = {"frames": Term(error), "embeddings": Term(distance, weight=self.l1)}
        if not self.training and len(known):
            nearest = torch.cdist(known.detach().float(), table.float()).argmin(1)
            found["nearest"] = Term((nearest == ids).sum(), weight=0.0, of="known")
        return found


def stage_of(tasks: tuple[str, ...]) -> str:
    """The stage of a model of some tasks, by its first."""
    return AUDIO if AUDIO in tasks else tasks[0]


def parts_of(tasks: tuple[str, ...], hears: bool) -> dict[str, bool]:
    """What a model of some tasks has besides BERT; hears: whether it reads speech."""
    stage = stage_of(tasks)
    masked = stage in (TEXT, WORDS, AUDIO)
    return {
        "head": masked,
        "encoder": hears,
        "decoder": stage == WORDS,
        "answers": not masked,
    }
