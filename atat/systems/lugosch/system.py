"""Lugosch et al. 2019 as the engine sees it (`atat.engine.contract`): `system: lugosch` in a conf.

Imports torch only when it is needed: a command reports usage errors before that.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from atat.base.errors import InputError
from atat.systems.lugosch.settings import TASKS, LugoschSettings

if TYPE_CHECKING:
    import torch

    from atat.engine.contract import Batch, Model, Parts, Source, System
    from atat.engine.plain_commands import CommandBatch, CommandRecordings
    from atat.systems.lugosch.batch import Batch as LugoschBatch
    from atat.systems.lugosch.data import AlignedRecordings
    from atat.systems.lugosch.model import Lugosch
    from atat.systems.lugosch.packed import LugoschPacked
    from atat.systems.lugosch.recognizer import Recognizer

    # For mypy, which checks these against the contract; Packed and Recognizer: `system` below.
    _model: type[Model] = Lugosch
    _batches: tuple[type[Batch], ...] = (LugoschBatch, CommandBatch)
    _sources: tuple[type[Source], ...] = (AlignedRecordings, CommandRecordings)


FRAMES = 20000  # of 10 ms, what a validation batch may hold


class LugoschSystem:
    """SincNet, phonemes, words, intents (Lugosch et al., Interspeech 2019)."""

    name = "lugosch"
    settings = LugoschSettings
    tasks = TASKS
    files = ("labels.json",)
    optional_files = ()

    def build(self, settings: LugoschSettings) -> Parts:
        from atat.systems.lugosch.build import build

        return build(settings)

    def evaluate(
        self,
        model: Lugosch,
        source: Source,
        device: torch.device,
        decode: int,
        show: Callable[[str], None],
    ) -> dict[str, float | None]:
        """Of frames: the accuracies of phones and of words, the latter where words are spoken. Of
        commands: the share of which all is right; one that the outputs cannot say is wrong, and its
        unknown values have no part in the loss."""
        from atat.engine.plain_evaluate import evaluate

        return evaluate(model, source, device, show, FRAMES)

    def load(self, folder: Path, about: dict[str, Any], device: torch.device) -> LugoschPacked:
        from atat.systems.lugosch.packed import load

        return load(folder, about)

    def hears(self, folder: Path) -> Literal["feats", "wav"]:
        return "wav"

    def export(
        self, packed: LugoschPacked, folder: Path, weights: Literal["float32", "int8"]
    ) -> None:
        from atat.engine.plain_export import export_commands

        if packed.model.intent is None:
            raise InputError(
                "a model of phones and words understands no commands and cannot be exported; "
                "export one that was finetuned on intents"
            )
        export_commands(packed, folder, weights)

    def recognizer(self, packed: LugoschPacked, **options: Any) -> Recognizer:
        from atat.systems.lugosch.recognizer import Recognizer

        return Recognizer(packed, **options)


system: System = LugoschSystem()
