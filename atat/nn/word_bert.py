"""BERT over words, written or spoken (Chuang et al. 2020, sections 2.1 and 2.3).

A written word enters by its row of a word-level embedding table, a spoken one by a vector of the
same width that something else has made of its sound; positions and token types are BERT's. Masked
words, written or spoken, enter as [MASK] and are predicted by BERT's own head, which shares the
table.

Shapes: B sequences, S positions, K predictions, H width, V words and marks, N spoken words.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from atat.nn.attention import length_mask
from atat.nn.bert_states import BertStates

PAD = 0  # the number of the mark that fills rows up


class Inputs(NamedTuple):
    """The sequences of a batch, padding at the end of each."""

    ids: Tensor  # (B, S) numbers of words and marks; anything where a word is spoken
    spoken: Tensor  # (B, S) True: enters by a vector
    vectors: Tensor  # (N, H) those of all spoken positions, row after row
    types: Tensor  # (B, S) BERT's token types: 0, 1
    lengths: Tensor  # (B,)


class WordBert(BertStates):
    """A BERT with a table of whole words, and its head for masked words unless it is trimmed."""

    def __init__(self, bert: Any, head: Any, words: int) -> None:
        """bert: transformers' BertModel; head: the `cls.predictions` of its BertForMaskedLM, or
        None; words: how many the table has, marks included. Its weights are random."""
        super().__init__(bert, head)
        config = bert.config
        table = nn.Embedding(words, config.hidden_size, padding_idx=PAD)
        nn.init.normal_(table.weight, std=config.initializer_range)
        with torch.no_grad():
            table.weight[PAD].zero_()
        self.bert.embeddings.word_embeddings = table
        config.vocab_size, config.pad_token_id = words, PAD
        if head is not None:
            self.bias = nn.Parameter(torch.zeros(words))

    @property
    def table(self) -> Tensor:
        """The embeddings of words and marks (V, H)."""
        found: Tensor = self.bert.embeddings.word_embeddings.weight
        return found

    def forward(self, inputs: Inputs) -> Tensor:
        """Inputs -> states (B, S, H), anything beyond the lengths; each sequence as if alone."""
        embedded = functional.embedding(inputs.ids, self.table)
        if len(inputs.vectors):
            embedded = embedded.index_put((inputs.spoken,), inputs.vectors.to(embedded.dtype))
        there = length_mask(inputs.lengths, inputs.ids.shape[1])
        states: Tensor = self.bert(
            inputs_embeds=embedded, token_type_ids=inputs.types, attention_mask=there.long()
        ).last_hidden_state
        return states

    def word_logits(self, states: Tensor) -> Tensor:
        """States (K, H) -> (K, V)."""
        assert self.transform is not None
        return functional.linear(self.transform(states), self.table, self.bias)

    @classmethod
    def like(cls, bert: Any, words: int, trimmed: bool) -> WordBert:
        """One whose weights are read afterwards; trimmed: it has no head."""
        from transformers.models.bert.modeling_bert import BertLMPredictionHead

        head = None if trimmed else BertLMPredictionHead(bert.config)
        return cls(bert, head, words)

    def trim(self) -> None:
        """Keep no head for masked words."""
        if self.transform is not None:
            self.transform = None
            del self.bias
