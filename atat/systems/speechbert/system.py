"""SpeechBERT as the engine sees it (`atat.engine.contract`): `system: speechbert` in a conf.

Imports torch only when it is needed: a command reports usage errors before that.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from atat.speech.frontend import DESCRIPTION
from atat.systems.speechbert.settings import TASKS, SpeechBertSettings

if TYPE_CHECKING:
    import torch

    from atat.engine.contract import Batch, Model, Parts, Source, System
    from atat.systems.speechbert.batch import Batch as Sequences
    from atat.systems.speechbert.batch import WordsBatch
    from atat.systems.speechbert.data import SpokenWords
    from atat.systems.speechbert.mlm import Masked
    from atat.systems.speechbert.model import SpeechBert
    from atat.systems.speechbert.packed import SpeechBertPacked
    from atat.systems.speechbert.qa import Questions
    from atat.systems.speechbert.recognizer import Recognizer

    # For mypy, which checks these against the contract; Packed and Recognizer: `system` below.
    _model: type[Model] = SpeechBert
    _batches: tuple[type[Batch], ...] = (Sequences, WordsBatch)
    _sources: tuple[type[Source], ...] = (Masked, SpokenWords, Questions)


class SpeechBertSystem:
    """One BERT over written and spoken words (Chuang et al., Interspeech 2020)."""

    name = "speechbert"
    settings = SpeechBertSettings
    tasks = TASKS
    files = ("bert", "words.txt")
    optional_files = (DESCRIPTION,)

    def build(self, settings: SpeechBertSettings) -> Parts:
        from atat.systems.speechbert.build import build

        return build(settings)

    def evaluate(
        self,
        model: SpeechBert,
        source: Masked | SpokenWords | Questions,
        device: torch.device,
        decode: int,
        show: Callable[[str], None],
    ) -> dict[str, float | None]:
        from atat.systems.speechbert.evaluate import figures

        return figures(model, source, device, show)

    def load(self, folder: Path, about: dict[str, Any], device: torch.device) -> SpeechBertPacked:
        from atat.systems.speechbert.packed import load

        return load(folder, about)

    def hears(self, folder: Path) -> Literal["feats", "wav"]:
        return "feats"

    def recognizer(self, packed: SpeechBertPacked, **options: Any) -> Recognizer:
        from atat.systems.speechbert.recognizer import Recognizer

        return Recognizer(packed, **options)


system: System = SpeechBertSystem()
