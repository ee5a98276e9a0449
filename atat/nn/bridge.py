"""The bridge: what the CTC head hears, read by the text encoder.

The head's posteriors, without blanks and with the states of one unit as one, are the weights of a
mean of the text encoder's embeddings; the text encoder reads these as it reads a text. So the
decoder finds the same kind of memory behind audio and text, and what it learns from text alone it
can do with audio. Embedding posteriors so is ST-BERT's (Kim et al., 2021, "Model Architecture",
of phonemes); for a decoder shared with text it is our own.

Shapes: B utterances, T states, U units of the head, S units heard.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from atat.nn.attention import length_mask
from atat.text.ctc_labels import BLANK

FRAME = 2  # <cls> and <sep>, around what is heard


class ReadsEmbeddings(Protocol):
    """A text encoder with an embedding of its own."""

    embedding: nn.Embedding

    def read(self, embedded: Tensor, lengths: Tensor, *, hide: bool = True) -> Tensor:
        """(B, S, D), lengths (B,) -> (B, S, D); hide: in training, some of the words."""


def heard(log_probs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """log_probs (B, T, U), lengths (B,) -> posteriors (B, S, U) of each unit heard, lengths (B,).

    A unit is heard at neighbouring states where it is likeliest of all; its posteriors are their
    mean, without the blank. What lies beyond a length is zero.
    """
    best = log_probs.argmax(-1)
    said = (best != BLANK) & length_mask(lengths, best.shape[1])
    before = nn.functional.pad(best, (1, 0), value=BLANK)[:, :-1]
    begins = said & (best != before)
    numbers = begins.cumsum(1) - 1  # of the unit, where one is said
    sizes = begins.sum(1)
    units = log_probs.exp()
    units = torch.cat([torch.zeros_like(units[..., :1]), units[..., 1:]], dim=-1)
    # State t is a part of unit n, or of none; unit n is the sum of its states.
    slots = torch.arange(max(1, int(sizes.max())), device=best.device)
    part = (numbers[:, None] == slots[None, :, None]) & said[:, None]
    sums = part.to(units.dtype) @ units
    return sums / sums.sum(-1, keepdim=True).clamp_min(1e-6), sizes


class Bridge(nn.Module):
    """From posteriors of the CTC head to a memory of the text encoder; no parameters of its own."""

    def __init__(self, ids_of_units: list[int], cls_id: int, sep_id: int) -> None:
        """ids_of_units: the text encoder's id of each unit; the blank's is of no effect."""
        super().__init__()
        self.cls_id, self.sep_id = cls_id, sep_id
        self.ids: Tensor
        self.register_buffer("ids", torch.tensor(ids_of_units), persistent=False)

    def forward(
        self, log_probs: Tensor, lengths: Tensor, text_encoder: ReadsEmbeddings
    ) -> tuple[Tensor, Tensor]:
        """log_probs (B, T, U), lengths (B,) -> memory (B, S + 2, D), lengths (B,)."""
        posteriors, sizes = heard(log_probs, lengths)
        table = text_encoder.embedding.weight
        words = posteriors.to(table.dtype) @ table[self.ids]
        first = table[self.cls_id].expand(len(words), 1, -1)
        embedded = torch.cat([first, words, torch.zeros_like(first)], dim=1)
        # <sep> follows the last unit heard.
        rows = torch.arange(len(words), device=words.device)
        ends = torch.zeros_like(embedded)
        ends[rows, sizes + 1] = table[self.sep_id]
        return text_encoder.read(embedded + ends, sizes + FRAME), sizes + FRAME

    def framed(self, units: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Units of the head (B, L), lengths (B,) -> <cls> their ids <sep> (B, L + 2), lengths (B,).

        What the text encoder reads of a transcript; zero beyond the lengths.
        """
        ids = nn.functional.pad(self.ids[units], (1, 1), value=self.cls_id)
        rows = torch.arange(len(ids), device=ids.device)
        ids[rows, lengths + 1] = self.sep_id
        return ids * length_mask(lengths + FRAME, ids.shape[1]), lengths + FRAME
