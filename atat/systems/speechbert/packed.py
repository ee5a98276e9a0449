"""A packed model of SpeechBERT, and the files in its folder besides config.yaml and weights.

bert/           BERT's configuration
words.txt       the words it knows
frontend.json   the speech encoder whose states it reads, if these are not MFCC
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from atat.base.errors import InputError
from atat.engine.plain import PlainPacked
from atat.nn.segment_autoencoder import SegmentDecoder, SegmentEncoder
from atat.nn.word_bert import WordBert
from atat.prepare.timed_words import ENGINES
from atat.speech import frontend
from atat.speech.frontend import DESCRIPTION, Frontend, Mfcc
from atat.systems.speechbert.model import SpeechBert, parts_of
from atat.systems.speechbert.settings import STAGES
from atat.systems.speechbert.words import Words
from atat.text import bert_files

FOLDER = "bert"


@dataclass(frozen=True)
class Limits:
    """Of sequences and answers (windows.py, spans.py)."""

    max_length: int = 384
    stride: int = 128
    max_answer: int = 30


@dataclass
class SpeechBertPacked(PlainPacked):
    """A model with its words, and what it hears."""

    model: SpeechBert
    system: str = "speechbert"
    words: Words = field(default_factory=Words)
    frontend: Frontend | None = None  # None: it reads text alone
    limits: Limits = field(default_factory=Limits)
    asr: str = "moonshine"  # which recogniser finds words in new recordings

    def about(self) -> dict[str, Any]:
        """Values for config.yaml."""
        encoder = self.model.encoder
        return {
            **super().about(),
            "reads": "text" if encoder is None else "audio",
            "encoder": None if encoder is None else [encoder.inputs, encoder.hidden],
            "asr": self.asr,
            **asdict(self.limits),
        }

    def write(self, folder: Path) -> None:
        """Write BERT's configuration, the words, and the description of the speech encoder."""
        bert_files.save(self.model.network.bert, None, folder / FOLDER)
        self.words.write(folder)
        if self.frontend is not None and self.frontend.origin is not None:
            frontend.write(self.frontend, folder)

    def identity(self) -> str:
        """A digest of what the outputs mean."""
        return self.words.identity()


def load(folder: Path, about: dict[str, Any]) -> SpeechBertPacked:
    """A packed model without its weights. Raises InputError for an invalid config.yaml."""
    tasks = tuple(about.get("tasks") or ())
    encoder, limits = _values(folder, about)
    parts = parts_of(tasks, encoder is not None)
    words = Words.read(folder)
    bert = bert_files.packed(folder / FOLDER)
    if bert.config.model_type != "bert":  # type: ignore[union-attr]
        raise InputError(f"{folder / FOLDER}: expected a configuration of the kind 'bert'")
    network = WordBert.like(bert, len(words), not parts["head"])
    hears = SegmentEncoder(*encoder, network.width) if encoder else None
    model = SpeechBert(
        network,
        hears,
        SegmentDecoder(encoder[0], network.width) if encoder and parts["decoder"] else None,
        answers=parts["answers"],
    )
    found: Frontend | None = None
    if encoder is not None:
        found = frontend.read(folder) if (folder / DESCRIPTION).is_file() else Mfcc()
    return SpeechBertPacked(
        model,
        tasks,
        about["weights"],
        words=words,
        frontend=found,
        limits=limits,
        asr=str(about["asr"]),
    )


def _values(folder: Path, about: dict[str, Any]) -> tuple[tuple[int, int] | None, Limits]:
    """The encoder's sizes, and limits; InputError for others than `about` writes."""
    try:
        encoder = about["encoder"]
        if encoder is not None:
            inputs, hidden = map(int, encoder)
            encoder = inputs, hidden
        limits = Limits(**{name: int(about[name]) for name in asdict(Limits())})
        if (
            str(about["asr"]) not in ENGINES
            or set(about["tasks"]) not in STAGES
            or (encoder is None) != (about["reads"] == "text")
        ):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{folder}/config.yaml: expected `tasks` of one stage, `reads`, `encoder` (two sizes, "
            f"or null for text), `asr` ({' or '.join(ENGINES)}) and the limits of windows; copy "
            "the packed model again"
        ) from None
    return encoder, limits
