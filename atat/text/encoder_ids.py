"""A text as the ids that a text encoder reads: our word pieces, letters, phones, or BERT's pieces.

Knows nothing of layers; the encoders are in `atat.nn.text_encoder`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from atat.text import bert_files
from atat.text.ctc_labels import PhoneUnits, Units, build_units
from atat.text.mishearing import Ear, misheard, misheard_phones
from atat.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import tokenizers


class EncoderIds(Protocol):
    """Turns text into the ids that a text encoder reads."""

    def __call__(self, text: str) -> list[int]: ...


def misheard_ids(
    source: EncoderIds, text: str, share: float, rng: np.random.Generator, ear: Ear | None = None
) -> list[int]:
    """The ids of a text with a share of its phones misheard, by `ear`, or of its letters."""
    if isinstance(source, UnitIds) and isinstance(source.units, PhoneUnits):
        phones = source.units.pronounced(text)
        return source.framed(source.units.ids_of(misheard_phones(phones, share, rng, ear)))
    return source(misheard(text, share, rng))


class PieceIds:
    """<cls> word pieces <sep>, on our own BPE.

    of_units: the id of each unit of a CTC head of the same units; the blank's, 0, is not used.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.cls_id, self.sep_id = tokenizer.cls_id, tokenizer.sep_id
        self.size = tokenizer.source_size
        first = tokenizer.first_piece_id
        self.of_units = [0, *range(first, first + tokenizer.num_pieces)]

    def __call__(self, text: str) -> list[int]:
        return [self.cls_id, *self.tokenizer.encode_text(text), self.sep_id]


class UnitIds:
    """<cls> letters or phones, and starts of words <sep>; the units' own numbers, without 0."""

    def __init__(self, units: Units) -> None:
        self.units = units
        self.of_units = list(range(len(units.pieces)))
        self.cls_id = len(self.units.pieces)
        self.sep_id = self.cls_id + 1
        self.size = self.sep_id + 1

    def __call__(self, text: str) -> list[int]:
        return self.framed(self.units.ids(text))

    def framed(self, ids: list[int]) -> list[int]:
        return [self.cls_id, *ids, self.sep_id]


class BertIds:
    """[CLS] BERT's word pieces [SEP]."""

    def __init__(self, tokenizer: tokenizers.Tokenizer, longest: int) -> None:
        """longest: pieces at most, [CLS] and [SEP] included; the rest of a text is cut off."""
        self.tokenizer, self.longest = tokenizer, longest
        self.tokenizer.enable_truncation(longest)
        self.tokenizer.no_padding()

    def __call__(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).ids


OwnIds = PieceIds | UnitIds


def own_ids(units: str, tokenizer: Tokenizer) -> OwnIds:
    """The ids that a small text encoder reads: of `pieces`, `characters` or `phones`."""
    return PieceIds(tokenizer) if units == "pieces" else UnitIds(build_units(units, tokenizer))


def build_encoder_ids(
    bert: str | None, tokenizer: Tokenizer, pretrained: bool = True, units: str = "pieces"
) -> EncoderIds:
    """The ids of BERT (a folder or a name on the hub), or without `bert` those of our own units.

    pretrained False: `bert` is the folder of a packed model's BERT.
    """
    if bert is None:
        return own_ids(units, tokenizer)
    if pretrained:
        tokens, config = bert_files.pretrained_tokenizer(bert), bert_files.pretrained_config(bert)
    else:
        folder = Path(bert)
        tokens, config = bert_files.packed_tokenizer(folder), bert_files.packed_config(folder)
    return BertIds(tokens, min(bert_files.LONGEST, bert_files.positions(config)))
