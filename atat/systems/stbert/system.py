"""ST-BERT as the engine sees it (`atat.engine.contract`): `system: stbert` in a conf.

Imports torch only when it is needed: a command reports usage errors before that.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from atat.systems.stbert.settings import TASKS, StbertSettings

if TYPE_CHECKING:
    import torch

    from atat.engine.contract import Batch, Model, Parts, Source, System
    from atat.systems.stbert.batch import Batch as StbertBatch
    from atat.systems.stbert.data import Commands, Pairs, Speech
    from atat.systems.stbert.model import StBert
    from atat.systems.stbert.packed import StbertPacked
    from atat.systems.stbert.recognizer import Recognizer

    # For mypy, which checks these against the contract; Packed and Recognizer: `system` below.
    _model: type[Model] = StBert
    _batch: type[Batch] = StbertBatch
    _sources: tuple[type[Source], ...] = (Commands, Pairs)


class StbertSystem:
    """One BERT over phoneme posteriors and word pieces (Kim et al., ICASSP 2021)."""

    name = "stbert"
    settings = StbertSettings
    tasks = TASKS
    files = ("bert", "classes.json")
    optional_files = ()

    def build(self, settings: StbertSettings) -> Parts:
        from atat.systems.stbert.build import build

        return build(settings)

    def evaluate(
        self,
        model: StBert,
        source: Speech,
        device: torch.device,
        decode: int,
        show: Callable[[str], None],
    ) -> dict[str, float | None]:
        from atat.systems.stbert.evaluate import figures

        return figures(model, source, device, show)

    def load(self, folder: Path, about: dict[str, Any], device: torch.device) -> StbertPacked:
        from atat.systems.stbert.packed import load

        return load(folder, about)

    def hears(self, folder: Path) -> Literal["feats", "wav"]:
        return "wav"

    def recognizer(self, packed: StbertPacked, **options: Any) -> Recognizer:
        from atat.systems.stbert.recognizer import Recognizer

        return Recognizer(packed, **options)


system: System = StbertSystem()
