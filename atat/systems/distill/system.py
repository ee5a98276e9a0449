"""Cho et al. 2020 as the engine sees it (`atat.engine.contract`): `system: distill` in a conf.

Imports torch only when it is needed: a command reports usage errors before that.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from atat.base.errors import InputError
from atat.systems.distill.settings import TASKS, TEACHER, DistillSettings

if TYPE_CHECKING:
    import torch

    from atat.engine.contract import Batch, Model, Parts, Recognizer, Source, System
    from atat.systems.distill.data import LessonBatch, TaughtRecordings
    from atat.systems.distill.packed import StudentPacked, TeacherPacked
    from atat.systems.distill.student import Student
    from atat.systems.distill.teacher import SentenceBatch, Sentences, Teacher

    # For mypy, which checks these against the contract; Packed and Recognizer: `system` below.
    _models: tuple[type[Model], ...] = (Teacher, Student)
    _batches: tuple[type[Batch], ...] = (SentenceBatch, LessonBatch)
    _sources: tuple[type[Source], ...] = (Sentences, TaughtRecordings)

BUDGETS = {"frames": 20000, "words": 8000}  # of a validation batch, by the unit of the source


class DistillSystem:
    """A classifier of speech taught by one of text (Cho et al., Interspeech 2020)."""

    name = "distill"
    settings = DistillSettings
    tasks = TASKS
    files = ("labels.json",)
    optional_files = ("bert",)

    def build(self, settings: DistillSettings) -> Parts:
        from atat.systems.distill.build import build

        return build(settings)

    def evaluate(
        self,
        model: Teacher | Student,
        source: Source,
        device: torch.device,
        decode: int,
        show: Callable[[str], None],
    ) -> dict[str, float | None]:
        """The cross entropy, and the share of commands of which all is right; one that the outputs
        cannot say is wrong. Of a student without its teachers."""
        from atat.engine.plain_evaluate import evaluate

        return evaluate(model, source, device, show, BUDGETS[source.budget.unit])

    def load(
        self, folder: Path, about: dict[str, Any], device: torch.device
    ) -> StudentPacked | TeacherPacked:
        from atat.systems.distill.packed import load

        return load(folder, about)

    def hears(self, folder: Path) -> Literal["feats", "wav"]:
        return "wav"

    def export(
        self,
        packed: StudentPacked | TeacherPacked,
        folder: Path,
        weights: Literal["float32", "int8"],
    ) -> None:
        from atat.engine.plain_export import export_commands

        if packed.tasks == (TEACHER,):
            raise InputError(
                "a teacher reads text with BERT and cannot be exported; its student can"
            )
        export_commands(packed, folder, weights)

    def recognizer(self, packed: Any, **options: Any) -> Recognizer:
        from atat.systems.distill.recognizer import StudentRecognizer, TeacherRecognizer

        kind = TeacherRecognizer if packed.tasks == (TEACHER,) else StudentRecognizer
        return kind(packed, **options)


system: System = DistillSystem()
