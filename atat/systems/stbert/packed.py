"""A packed model of ST-BERT, and the files in its folder besides config.yaml and weights.

bert/          BERT's configuration and, of a pretrained model, its word pieces
classes.json   the classes of a finetuned model
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atat.base import digests
from atat.base.errors import InputError
from atat.engine.plain import PlainPacked
from atat.nn.acoustic import PhonemeModule
from atat.nn.phoneme_posteriors import PhonemePosteriors
from atat.nn.speech_text_bert import Marks, SpeechTextBert
from atat.systems.stbert.classes import Classes
from atat.systems.stbert.model import StBert
from atat.systems.stbert.settings import INTENT, PRETRAIN
from atat.text import bert_files
from atat.text.phones import LABELS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FOLDER = "bert"


@dataclass
class StbertPacked(PlainPacked):
    """A model with its word pieces, or with its classes."""

    model: StBert
    system: str = "stbert"
    tokenizer: Tokenizer | None = None  # None of a finetuned model
    classes: Classes = field(default_factory=Classes)
    max_length: int | None = None  # of a sequence in training; older models do not say it

    def about(self) -> dict[str, Any]:
        """Values for config.yaml."""
        network = self.model.network
        found = super().about() | {"marks": list(network.marks), "positions": network.positions}
        return found | ({"max_length": self.max_length} if self.max_length else {})

    @property
    def longest(self) -> int:
        """What a sequence may have: frames and marks."""
        return min(self.max_length or sys.maxsize, self.model.network.longest)

    def write(self, folder: Path) -> None:
        """Write BERT's files and the classes."""
        bert_files.save(self.model.network.bert, self.tokenizer, folder / FOLDER)
        self.classes.write(folder)

    def identity(self) -> str:
        """A digest of what the outputs mean."""
        pieces = "" if self.tokenizer is None else self.tokenizer.to_str()
        return digests.of_text(self.classes.identity() + pieces)


def load(folder: Path, about: dict[str, Any]) -> StbertPacked:
    """A packed model without its weights. Raises InputError for an invalid config.yaml."""
    tasks, positions = about.get("tasks"), about.get("positions")
    length = about.get("max_length")
    try:
        marks = Marks(*map(int, about["marks"]))
    except (KeyError, TypeError, ValueError):
        marks = None
    if (
        tasks not in ([PRETRAIN], [INTENT])
        or positions not in ("restart", "continue")
        or not marks
        or not (length is None or (isinstance(length, int) and length >= 4))
    ):
        raise InputError(
            f"{folder}/config.yaml: expected `tasks` [{PRETRAIN}] or [{INTENT}], `marks`, four "
            "numbers, `positions`, restart or continue, and `max_length`, none or from 4 on; copy "
            "the packed model again"
        )
    bert = bert_files.packed(folder / FOLDER)
    if bert.config.model_type != "bert":  # type: ignore[union-attr]
        raise InputError(f"{folder / FOLDER}: expected a configuration of the kind 'bert'")
    trimmed, classes = tasks == [INTENT], Classes.read(folder)
    network = SpeechTextBert.like(bert, marks, len(LABELS), positions, trimmed)
    listener = PhonemePosteriors(PhonemeModule(len(LABELS)))
    model = StBert(listener, network, len(classes.names) if trimmed else 0)
    tokenizer = None if trimmed else bert_files.packed_tokenizer(folder / FOLDER)
    return StbertPacked(
        model,
        tuple(tasks),
        about["weights"],
        tokenizer=tokenizer,
        classes=classes,
        max_length=length,
    )
