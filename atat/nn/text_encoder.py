"""The text encoder: words in, hidden states of the decoder's width out.

BERT from `transformers`, projected (AT-AT, "Architecture"), or, without pretrained weights, a
small transformer from scratch over our own word pieces. `atat.text.encoder_ids` turns text into
ids for each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from atat.nn.attention import length_mask
from atat.nn.settings import TextEncoderSettings
from atat.nn.transformer import Encoder
from atat.text import bert_files
from atat.text.encoder_ids import BertIds, EncoderIds


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
        return self.read(self.embedding(tokens), lengths)

    def read(self, embedded: Tensor, lengths: Tensor, *, hide: bool = True) -> Tensor:
        """embedded (B, S, D), lengths (B,) -> (B, S, D); hide: in training, some of the words."""
        if hide and self.training and self.hidden_words > 0:
            kept = torch.rand(embedded.shape[:2], device=embedded.device) >= self.hidden_words
            embedded = embedded * kept[..., None]
        return self.encoder(embedded, lengths)


class BertTextEncoder(nn.Module):
    """A pretrained BERT without its pooler, and the projection to the decoder's width."""

    def __init__(self, bert: nn.Module, width: int) -> None:
        super().__init__()
        if getattr(bert, "pooler", None) is not None:  # the states are used, also that of [CLS]
            bert.pooler = nn.Identity()  # SqueezeBERT calls it without asking whether it is there
        self.register_load_state_dict_pre_hook(_without_pooler)
        self.bert = bert
        config: Any = bert.config  # transformers', of which nn.Module knows nothing
        self.projection = nn.Linear(config.hidden_size, width)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """tokens (B, S), lengths (B,) -> (B, S, D)."""
        mask = length_mask(lengths, tokens.shape[1])
        hidden = self.bert(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
        return self.projection(hidden)


def _without_pooler(module: nn.Module, weights: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Of weights that are to be loaded, leave out those of the pooler that models once had."""
    for name in [name for name in weights if name.startswith(f"{prefix}bert.pooler.")]:
        del weights[name]


def build_text_encoder(
    settings: TextEncoderSettings, width: int, vocabulary: int, pretrained: bool = True
) -> nn.Module:
    """The encoder of the settings.

    pretrained False builds the BERT of a packed model from its configuration only; `settings.bert`
    then names the model's folder. Raises InputError if BERT cannot be loaded.
    """
    if settings.kind == "small":
        return SmallTextEncoder(settings, width, vocabulary)
    assert settings.bert is not None
    if pretrained:
        return BertTextEncoder(bert_files.pretrained(settings.bert), width)
    return BertTextEncoder(bert_files.packed(Path(settings.bert)), width)


def save_bert_files(model: nn.Module, source: EncoderIds, folder: Path) -> None:
    """Write BERT's configuration and word pieces beside packed weights to complete a pack."""
    if isinstance(model, BertTextEncoder) and isinstance(source, BertIds):
        bert_files.save(model.bert, source.tokenizer, folder)
