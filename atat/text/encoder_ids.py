"""A text as the ids that a text encoder reads: our word pieces, or BERT's.

Knows nothing of layers; the encoders are in `atat.nn.text_encoder`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from atat.text import bert_files
from atat.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import tokenizers


class EncoderIds(Protocol):
    """Turns text into the ids that a text encoder reads."""

    def __call__(self, text: str) -> list[int]: ...


class PieceIds:
    """<cls> word pieces <sep>, on our own BPE."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def __call__(self, text: str) -> list[int]:
        return [self.tokenizer.cls_id, *self.tokenizer.encode_text(text), self.tokenizer.sep_id]


class BertIds:
    """[CLS] BERT's word pieces [SEP]."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.tokenizer.enable_truncation(bert_files.LONGEST)
        self.tokenizer.no_padding()

    def __call__(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).ids


def build_encoder_ids(
    bert: str | None, tokenizer: Tokenizer, pretrained: bool = True
) -> EncoderIds:
    """The ids of BERT (a folder or a name on the hub), or without `bert` those of our word pieces.

    pretrained False: `bert` is the folder of a packed model's BERT.
    """
    if bert is None:
        return PieceIds(tokenizer)
    if pretrained:
        return BertIds(bert_files.pretrained_tokenizer(bert))
    return BertIds(bert_files.packed_tokenizer(Path(bert)))
