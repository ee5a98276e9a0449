"""AT-AT as the engine sees it (`atat.engine.contract`): `system: joint` in a conf, the default.

Imports torch only when it is needed: a command reports usage errors before that.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from atat.systems.joint.settings import TrainSettings
from atat.text.tasks import TASKS

if TYPE_CHECKING:
    import torch

    from atat.engine.contract import Batch, Model, Parts, Source, System
    from atat.systems.joint.batch import Batch as JointBatch
    from atat.systems.joint.data import TaskData
    from atat.systems.joint.model import Atat
    from atat.systems.joint.packed import Packed
    from atat.systems.joint.recognizer import Recognizer

    # For mypy, which checks these against the contract; Packed and Recognizer: `system` below.
    _model: type[Model] = Atat
    _batch: type[Batch] = JointBatch
    _source: type[Source] = TaskData

# Options of `atat decode` that are the search's.
SEARCH = ("beam", "max_length", "extra_length", "length_exponent", "nbest", "ctc_weight", "bridge")


class Joint:
    """Rongali et al., AAAI 2021: audio and text encoders that share one decoder."""

    name = "joint"
    settings = TrainSettings
    tasks = TASKS
    files = ("tokenizer", "trees.json")
    optional_files = ("bert", "frontend.json", "encoder")

    def build(self, settings: TrainSettings) -> Parts:
        from atat.systems.joint.build import build

        return build(settings)

    def evaluate(
        self,
        model: Atat,
        source: TaskData,
        device: torch.device,
        decode: int,
        show: Callable[[str], None],
    ) -> dict[str, float | None]:
        from atat.systems.joint.evaluate import evaluate

        return evaluate(model, source, device, decode, show)

    def load(self, folder: Path, about: dict[str, Any], device: torch.device) -> Packed:
        from atat.systems.joint.packed import load

        return load(folder, about, device)

    def hears(self, folder: Path) -> Literal["feats", "wav"]:
        from atat.speech import frontend

        return "wav" if frontend.is_within(folder) else "feats"

    def export(self, packed: Packed, folder: Path, weights: Literal["float32", "int8"]) -> None:
        from atat.systems.joint.export import export

        export(packed, folder, weights)

    def recognizer(self, packed: Packed, **options: Any) -> Recognizer:
        from atat.nn.beam_search import SearchOptions
        from atat.systems.joint.recognizer import Recognizer
        from atat.systems.joint.slot_values import of_data

        search = {name: options.pop(name) for name in SEARCH if name in options}
        if isinstance(options.get("values"), (str, Path)):
            options["values"] = of_data(options["values"])
        return Recognizer(packed, options=SearchOptions(**search), **options)


system: System = Joint()
