"""The text encoder: words in, hidden states of the decoder's width out.

BERT from `transformers`, projected (AT-AT, "Architecture"), or, where no pretrained weights are at
hand, a small transformer from scratch over our own word pieces. Each brings the way it turns
a text into ids.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import tokenizers
import torch
from torch import Tensor, nn

from atat.engine.settings import TextEncoderSettings
from atat.nn.transformer import Encoder
from atat.text import bert_files
from atat.text.tokenizer import Tokenizer


class SourceTokenizer(Protocol):
    """How a text encoder wants its text."""

    def __call__(self, text: str) -> list[int]: ...


class PieceSource:
    """<cls> word pieces <sep>, on our own BPE."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def __call__(self, text: str) -> list[int]:
        return [self.tokenizer.cls_id, *self.tokenizer.encode_text(text), self.tokenizer.sep_id]


class BertSource:
    """[CLS] BERT's word pieces [SEP]."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.tokenizer.enable_truncation(bert_files.LONGEST)
        self.tokenizer.no_padding()

    def __call__(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).ids


class SmallTextEncoder(nn.Module):
    """Embedding and transformer encoder from scratch."""

    def __init__(self, settings: TextEncoderSettings, width: int, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.hidden_words = settings.word_dropout
        self.encoder = Encoder(
            width, settings.layers, settings.heads, settings.feed_forward, settings.dropout
        )

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """tokens (B, S), lengths (B,) -> (B, S, D)."""
        x = self.embedding(tokens)
        if self.training and self.hidden_words > 0:
            kept = torch.rand(tokens.shape, device=tokens.device) >= self.hidden_words
            x = x * kept[..., None]
        return self.encoder(x, lengths)


class BertTextEncoder(nn.Module):
    """A pretrained BERT and the projection to the decoder's width."""

    def __init__(self, bert: nn.Module, width: int) -> None:
        super().__init__()
        self.bert = bert
        self.projection = nn.Linear(bert.config.hidden_size, width)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """tokens (B, S), lengths (B,) -> (B, S, D)."""
        mask = torch.arange(tokens.shape[1], device=tokens.device)[None] < lengths[:, None]
        hidden = self.bert(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
        return self.projection(hidden)


def build_text_encoder(
    settings: TextEncoderSettings, width: int, vocabulary: int, pretrained: bool = True
) -> nn.Module:
    """The encoder that the settings ask for.

    pretrained False builds BERT of a packed model, whose folder `settings.bert` then names, from
    its configuration only. Raises InputError where BERT cannot be loaded.
    """
    if settings.kind == "small":
        return SmallTextEncoder(settings, width, vocabulary)
    assert settings.bert is not None
    if pretrained:
        return BertTextEncoder(bert_files.pretrained(settings.bert), width)
    return BertTextEncoder(bert_files.packed(Path(settings.bert)), width)


def build_source(
    settings: TextEncoderSettings, tokenizer: Tokenizer, pretrained: bool = True
) -> SourceTokenizer:
    """The way of turning text into ids that belongs to the encoder; pretrained as above."""
    if settings.kind == "small":
        return PieceSource(tokenizer)
    assert settings.bert is not None
    if pretrained:
        return BertSource(bert_files.pretrained_tokenizer(settings.bert))
    return BertSource(bert_files.packed_tokenizer(Path(settings.bert)))


def save_bert_files(model: nn.Module, source: SourceTokenizer, folder: Path) -> None:
    """Put BERT's configuration and word pieces beside packed weights, so that a pack is whole."""
    if isinstance(model, BertTextEncoder) and isinstance(source, BertSource):
        bert_files.save(model.bert, source.tokenizer, folder)
