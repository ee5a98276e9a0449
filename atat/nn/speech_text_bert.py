"""ST-BERT (Kim et al. 2021, section 3.1): one BERT over phoneme posteriors and word pieces.

    [CLS] posteriors @ P [SEP] pieces [SEP]     + modality (BERT's token types) + position

P holds an embedding of each phoneme, so that a posterior without doubt is a table look-up. Where
something is hidden its embedding is that of [MASK]. Masked pieces are predicted by BERT's own head,
which shares the word embeddings; masked phonemes by a linear layer behind the same transform.

Shapes: B sequences, N frames of 40 ms, U word pieces, K predictions, H width, V pieces in all.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from atat.nn.attention import length_mask
from atat.nn.bert_states import BertStates

Positions = Literal["restart", "continue"]  # of the pieces: from 0, or after the speech


class Marks(NamedTuple):
    """The numbers of BERT's pieces that are no text."""

    pad: int
    cls: int
    sep: int
    mask: int


TRIMMED = Marks(0, 1, 2, 3)  # without a vocabulary


class Inputs(NamedTuple):
    """Frames and pieces of a batch, anything beyond their lengths."""

    posteriors: Tensor  # (B, N, phonemes)
    frames: Tensor  # (B,) lengths
    hidden: Tensor  # (B, N) True: a frame whose embedding is that of [MASK]
    pieces: Tensor  # (B, U) the mask's number where one is hidden; U = 0: speech alone
    sizes: Tensor  # (B,) their lengths


class States(NamedTuple):
    """What BERT makes of them, anything beyond their lengths."""

    cls: Tensor  # (B, H)
    frames: Tensor  # (B, N, H)
    pieces: Tensor  # (B, U, H)


class SpeechTextBert(BertStates):
    """BERT with an embedding of phonemes, and the heads of pretraining unless it is trimmed."""

    def __init__(
        self,
        bert: Any,
        head: Any,
        marks: Marks,
        phonemes: int,
        positions: Positions = "restart",
    ) -> None:
        """bert: transformers' BertModel; head: the `cls.predictions` of its BertForMaskedLM, or
        None."""
        super().__init__(bert, head)
        self.marks, self.positions = marks, positions
        width, spread = bert.config.hidden_size, bert.config.initializer_range
        self.phonemes = nn.Parameter(spread * torch.randn(phonemes, width))  # P
        if head is not None:
            self.bias = nn.Parameter(head.bias.detach().clone())
            self.phoneme_head = nn.Linear(width, phonemes)

    def forward(self, inputs: Inputs) -> States:
        """Inputs -> states; each sequence as if it were alone."""
        embedded, types, positions, there = self.embedded(inputs)
        states = self.bert(
            inputs_embeds=embedded,
            token_type_ids=types,
            position_ids=positions,
            attention_mask=there.long(),
        ).last_hidden_state
        most = inputs.posteriors.shape[1]
        return States(states[:, 0], states[:, 1 : 1 + most], states[:, 2 + most : -1])

    def embedded(self, inputs: Inputs) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Embeddings (B, S, H), modalities, positions and whether something is there (B, S).

        The columns: [CLS], N frames, [SEP] and, with text, U pieces, [SEP]. Padding is between
        them; the positions are those that a sequence has without it.
        """
        table: Tensor = self.bert.embeddings.word_embeddings.weight
        count, most = inputs.posteriors.shape[:2]
        cls, sep = (table[one].expand(count, 1, -1) for one in (self.marks.cls, self.marks.sep))
        frames = inputs.posteriors @ self.phonemes
        frames = torch.where(inputs.hidden[:, :, None], table[self.marks.mask], frames)
        device, lengths = frames.device, inputs.frames[:, None]
        parts, places = [cls, frames, sep], [torch.arange(most + 1, device=device), lengths + 1]
        there = [length_mask(inputs.frames + 1, most + 1), lengths >= 0]
        number = inputs.pieces.shape[1]
        if number:
            parts += [functional.embedding(inputs.pieces, table), sep]
            sizes, start = inputs.sizes[:, None], lengths + 2 if self.positions == "continue" else 0
            places += [torch.arange(number, device=device) + start, sizes + start]
            there += [length_mask(inputs.sizes, number), sizes >= 0]
        types = torch.arange(sum(part.shape[1] for part in parts), device=device) > most + 1
        positions = torch.cat([place.expand(count, -1) for place in places], 1)
        positions = positions.clamp(max=self.longest - 1)  # padding may lie beyond
        return torch.cat(parts, 1), types.long().expand(count, -1), positions, torch.cat(there, 1)

    def phoneme_logits(self, states: Tensor) -> Tensor:
        """States (K, H) of frames -> (K, phonemes)."""
        assert self.transform is not None
        logits: Tensor = self.phoneme_head(self.transform(states))
        return logits

    def piece_logits(self, states: Tensor) -> Tensor:
        """States (K, H) of pieces -> (K, V)."""
        assert self.transform is not None
        table = self.bert.embeddings.word_embeddings.weight
        return functional.linear(self.transform(states), table, self.bias)

    @classmethod
    def like(
        cls, bert: Any, marks: Marks, phonemes: int, positions: Positions, trimmed: bool
    ) -> SpeechTextBert:
        """One whose weights are read afterwards; trimmed: it has no head."""
        from transformers.models.bert.modeling_bert import BertLMPredictionHead

        head = None if trimmed else BertLMPredictionHead(bert.config)
        return cls(bert, head, marks, phonemes, positions)

    def trim(self) -> None:
        """Keep of the word embeddings only those of the marks, and no head: for speech alone."""
        embeddings = self.bert.embeddings
        rows = embeddings.word_embeddings.weight.detach()[list(self.marks)].clone()
        embeddings.word_embeddings = nn.Embedding.from_pretrained(rows, freeze=False, padding_idx=0)
        self.bert.config.vocab_size, self.bert.config.pad_token_id = len(TRIMMED), TRIMMED.pad
        self.marks, self.transform = TRIMMED, None
        for name in ("bias", "phoneme_head"):
            if hasattr(self, name):
                delattr(self, name)
