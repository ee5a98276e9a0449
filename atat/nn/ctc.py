"""The optional CTC head on the audio encoder: its units, its layer, how it shrinks to words.

CTC (Graves et al. 2006) is trained on the words only, never on intents and slots, whose order
the audio does not follow. It teaches the encoder to align early in training, and gives forced
alignments afterwards (atat/nn/forced_alignment.py). Class 0 is the blank.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atat.text.tokenizer import Tokenizer

WORD_START = "▁"
CHARACTERS = "'abcdefghijklmnopqrstuvwxyz"


class CharacterUnits:
    """Letters and a mark for the start of a word; characters of other scripts are one unit."""

    def __init__(self) -> None:
        self.pieces: list[str] = ["<blank>", WORD_START, *CHARACTERS, "?"]
        self._ids = {piece: number for number, piece in enumerate(self.pieces)}

    def ids(self, text: str) -> list[int]:
        """ "a cat" -> the units of ▁ a ▁ c a t."""
        other = self._ids["?"]
        found = []
        for word in text.split():
            found.append(self._ids[WORD_START])
            found.extend(self._ids.get(character, other) for character in word)
        return found


class PieceUnits:
    """The tokenizer's word pieces; unit 0 is the blank, unit i+1 the piece i."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.pieces = ["<blank>", *tokenizer.pieces]
        self._shift = 1 - tokenizer.first_piece_id

    def ids(self, text: str) -> list[int]:
        return [token + self._shift for token in self._tokenizer.encode_text(text)]


Units = CharacterUnits | PieceUnits


def build_units(kind: str, tokenizer: Tokenizer) -> Units:
    """The units named in the settings: characters align sooner, pieces cost fewer frames."""
    return CharacterUnits() if kind == "characters" else PieceUnits(tokenizer)


def frames_needed(ids: Sequence[int]) -> int:
    """Encoder frames CTC needs at least: one a unit, and a blank between equal neighbours."""
    return len(ids) + sum(one == other for one, other in zip(ids, ids[1:]))


class CtcHead(nn.Module):
    """A linear layer over the audio memory."""

    def __init__(self, width: int, units: int) -> None:
        super().__init__()
        self.output = nn.Linear(width, units)

    def log_probs(self, memory: Tensor) -> Tensor:
        """memory (B, T, D) -> (B, T, C) float32."""
        return self.output(memory).float().log_softmax(-1)

    def loss(
        self, memory: Tensor, memory_lengths: Tensor, targets: Tensor, target_lengths: Tensor
    ) -> Tensor:
        """Negative log likelihood of each utterance (B,); 0 where a target is empty or too long.

        targets (B, L) padded with anything; target_lengths (B,), 0 = no words known.
        """
        losses = F.ctc_loss(
            self.log_probs(memory).transpose(0, 1),
            targets,
            memory_lengths,
            target_lengths,
            reduction="none",
            zero_infinity=True,
        )
        return torch.where(target_lengths > 0, losses, torch.zeros_like(losses))
