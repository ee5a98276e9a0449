"""A BERT whose states are used: what networks over one of transformers' own share."""

from __future__ import annotations

from typing import Any

from torch import nn


class BertStates(nn.Module):
    """A BERT without its pooler, and the first layer of its head for masked pieces."""

    def __init__(self, bert: Any, head: Any) -> None:
        """bert: transformers' BertModel; head: the `cls.predictions` of its BertForMaskedLM, or
        None."""
        super().__init__()
        self.bert: Any = bert
        self.bert.pooler = None  # the states themselves are used, also that of [CLS]
        self.transform: nn.Module | None = None if head is None else head.transform

    @property
    def width(self) -> int:
        """Of the states."""
        return int(self.bert.config.hidden_size)

    @property
    def longest(self) -> int:
        """Positions that it knows."""
        return int(self.bert.config.max_position_embeddings)
