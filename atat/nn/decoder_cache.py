"""The decoder's cache between two steps of a search: keys, values, and their hypotheses.

Shapes: B utterances, K hypotheses of each (the beam), N = B x K, H heads, S memory positions,
E entries, D/H width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


class DecoderState:
    """The decoder's cache; passed explicitly, never stored in the model.

    The K hypotheses of an utterance share one cache: each step adds K entries to it, and each
    hypothesis attends to the entries of its own history. So a step of the search moves no keys and
    values; it only updates which entries belong to which hypothesis.

    cross: per layer keys and values of the memory, each (B, H, S, D/H), one copy for all beams;
    memory_mask (B, 1, 1, S).
    """

    BLOCK = 8  # positions allocated at a time; nothing attends to unused ones

    def __init__(
        self, cross: list[tuple[Tensor, Tensor]], memory_mask: Tensor | None, beam: int
    ) -> None:
        self.cross, self.memory_mask, self.beam = cross, memory_mask, beam
        self.position = -1
        key = cross[0][0]
        batch, heads, _, width = key.shape
        # Per layer keys and values, (2, B, H, E, D/H) with room for E entries
        self._entries = [key.new_zeros(2, batch, heads, 0, width) for _ in cross]
        # (B, K, E): 0 if an entry is in a hypothesis' history, else -inf
        self._past = torch.zeros(batch, beam, 0, device=key.device)

    def advance(self) -> None:
        """Go to the next position, where each hypothesis has its own entry."""
        self.position += 1
        entries, first = self._past.shape[2], self.position * self.beam
        if first == entries:
            room = self.BLOCK * self.beam
            self._entries = [F.pad(layer, (0, 0, 0, room)) for layer in self._entries]
            self._past = F.pad(self._past, (0, room), value=float("-inf"))
        self._past[:, :, first : first + self.beam].diagonal(dim1=1, dim2=2).zero_()

    def self_keys_values(self, layer: int) -> tuple[Tensor, Tensor]:
        """A layer's keys and values of all entries, each (B, H, E, D/H)."""
        return self._entries[layer][0], self._entries[layer][1]

    def self_mask(self) -> Tensor:
        """(B, 1, K, E), added to the scores."""
        return self._past[:, None]

    def new_entries(self) -> slice:
        """Where the entries of this position are."""
        return slice(self.position * self.beam, (self.position + 1) * self.beam)

    def reorder(self, hypotheses: Tensor) -> None:
        """Row i continues the former row hypotheses[i], of the same utterance; (N,)."""
        past = self._past.flatten(0, 1).index_select(0, hypotheses)
        self._past = past.view(self._past.shape)

    def keep(self, utterances: Tensor) -> None:
        """Drop all utterances but these (B',) int64: the finished ones leave the batch."""
        self._entries = [layer.index_select(1, utterances) for layer in self._entries]
        self._past = self._past.index_select(0, utterances)
        self.cross = [
            (key.index_select(0, utterances), value.index_select(0, utterances))
            for key, value in self.cross
        ]
        if self.memory_mask is not None:
            self.memory_mask = self.memory_mask.index_select(0, utterances)
