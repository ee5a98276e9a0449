"""Packed models of Cho et al. 2020, and the files in their folders besides config.yaml and weights.

labels.json   what the outputs mean
bert/         of a teacher: BERT's configuration and word pieces
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from atat.base import config
from atat.base.errors import InputError
from atat.engine.plain_commands import LabelledPacked
from atat.nn.text_encoder import BertTextEncoder, save_bert_files
from atat.systems.distill.settings import INTENT, TEACHER, Kind
from atat.systems.distill.student import Student
from atat.systems.distill.teacher import Teacher
from atat.text import bert_files
from atat.text.encoder_ids import BertIds
from atat.text.labels import Labels

BERT = "bert"


@dataclass
class StudentPacked(LabelledPacked):
    """A student with its labels."""

    model: Student
    system: str = "distill"


@dataclass(kw_only=True)
class TeacherPacked(LabelledPacked):
    """A teacher with its labels and word pieces."""

    model: Teacher
    ids: BertIds
    system: str = "distill"

    def about(self) -> dict[str, Any]:
        """Values for config.yaml."""
        return super().about() | {"kind": self.model.kind, "max_pieces": self.ids.longest}

    def write(self, folder: Path) -> None:
        """Write labels.json and BERT's files."""
        super().write(folder)
        save_bert_files(self.model.encoder, self.ids, folder / BERT)


@dataclass(frozen=True)
class Stored:
    """config.yaml of a packed model, without the keys that every system has."""

    tasks: tuple[str, ...]
    weights: Literal["float32", "int8"] = "float32"
    kind: Kind = "teacher"  # of task teacher
    max_pieces: int = 60


def load(folder: Path, about: dict[str, Any]) -> StudentPacked | TeacherPacked:
    """A packed model without its weights."""
    path = folder / "config.yaml"
    stored = config.from_dict(about, Stored, str(path))
    if stored.tasks not in ((TEACHER,), (INTENT,)):
        raise InputError(
            f"{path}: `tasks` is {list(stored.tasks)}; expected [{TEACHER}] or [{INTENT}]"
        )
    labels = Labels.read(folder)
    if stored.tasks == (INTENT,):
        return StudentPacked(Student(labels), stored.tasks, stored.weights, labels=labels)
    encoder = BertTextEncoder(bert_files.packed(folder / BERT), sum(labels.sizes))
    return TeacherPacked(
        model=Teacher(encoder, labels, stored.kind),
        tasks=stored.tasks,
        weights=stored.weights,
        labels=labels,
        ids=BertIds(bert_files.packed_tokenizer(folder / BERT), stored.max_pieces),
    )
