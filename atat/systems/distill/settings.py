"""Settings of a training of Cho et al. 2020: the keys of `conf/*.yaml` besides those of every run
(`atat.engine.settings`).

This module holds only values; what they do is in the modules named in the comments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Optional

from atat.base.errors import InputError
from atat.base.limits import at_least
from atat.datadir import fingerprint
from atat.engine import settings as engine
from atat.text.tasks import Task

TEACHER, INTENT = "teacher", "intent"
TASKS = {
    # A sentence, one class for its intent and one for each slot, written as a tree.
    TEACHER: Task(TEACHER, source="text", target="semantics", masked=False),
    # The same of a recording.
    INTENT: Task(INTENT, source="audio", target="semantics", masked=False),
}
Kind = Literal["teacher", "professor"]
Schedule = Literal["constant", "err", "exp", "tri"]
Loss = Literal["mse", "smooth_l1"]


@dataclass(frozen=True)
class TeacherSettings:
    """The classifier of text (teacher.py); for task teacher."""

    bert: Optional[str] = None  # a folder, minilm-l6, or a name on the hub
    kind: Kind = "teacher"  # teacher: a linear layer on [CLS]; professor: on each state, maximum
    max_pieces: int = 60  # of BERT in a sentence, [CLS] and [SEP] among them; more are cut off

    def __post_init__(self) -> None:
        at_least(3, max_pieces=self.max_pieces)


@dataclass(frozen=True)
class DistillationSettings:
    """What the student learns from its teachers besides commands; for task intent.

    With both it is the paper's hybrid: the more of a batch the student has wrong, the more the
    professor teaches (student.py).
    """

    teacher: Optional[str] = None  # packed models of task teacher, one of each kind
    professor: Optional[str] = None
    # The share of the teachers in the loss (schedules.py), and how far their logits are from the
    # student's: the paper's MSE and, by the name MAE, smooth L1.
    schedule: Schedule = "constant"
    weight: float = 0.1  # of constant: the share; of tri: the largest
    loss: Loss = "smooth_l1"

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise InputError(f"weight is {self.weight}; expected a share of the loss, 0 to 1")


@dataclass(frozen=True, kw_only=True)
class DistillSettings(engine.OneTaskSettings):
    """A whole training run: the top level of conf/*.yaml.

    All sources have the same task: `teacher` trains a classifier of text, `intent` a student, over
    the acoustic model of a packed model (`init.model`). The paper's step is one batch of 64
    recordings; where `batch.max_frames` cuts a step into several, errors are those of each.
    """

    teacher: TeacherSettings = field(default_factory=TeacherSettings)
    distill: DistillationSettings = field(default_factory=DistillationSettings)
    optim: engine.AdamSettings = field(default_factory=engine.AdamSettings)
    # Of a student: sums over hundreds of recurrent steps, and raw samples, are not for 8 bits of
    # mantissa. Of a teacher: its logits, which students learn, are computed in fp32, too.
    precision: Literal["fp32"] = "fp32"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_task(TASKS, f"train a teacher with {TEACHER}, then a student with {INTENT}")
        if self.task == TEACHER:
            self._check_teacher()
        else:
            self._check_student()

    @property
    def teachers(self) -> dict[Kind, str]:
        """The packed models that teach."""
        named: dict[Kind, Optional[str]] = {
            "teacher": self.distill.teacher,
            "professor": self.distill.professor,
        }
        return {kind: folder for kind, folder in named.items() if folder}

    def also_by_steps(self) -> str:
        """When the teachers count, in a triangle over the run."""
        if self.task == INTENT and self.distill.schedule == "tri":
            return "the steps in which the teachers count (distill.schedule: tri)"
        return ""

    def digests(self) -> dict[str, str]:
        """Digests of data, recordings, the start and the teachers."""
        if self.task == TEACHER:
            return self.digests_of_data() | fingerprint.of_bert(self.teacher.bert)
        found = self.digests_of_data("wav")
        for model in (self.init.model, *self.teachers.values()):
            found |= fingerprint.of_model(model or "")
        return found

    def _check_teacher(self) -> None:
        if self.teacher.bert is None:
            raise InputError(
                "key `teacher.bert` is missing: a folder with a BERT saved by `transformers`, or a "
                "name on its hub, such as bert-base-uncased, which is downloaded"
            )
        if self.init.model is not None:
            raise InputError(
                f"init.model is {self.init.model}, but a teacher starts from teacher.bert; leave "
                "it out"
            )

    def _check_student(self) -> None:
        if not self.teachers:
            raise InputError(
                "key `distill` names neither a teacher nor a professor; name a packed model of "
                f"task {TEACHER} as one of them. Without a teacher it is the system `lugosch`"
            )
        if self.init.model is None:
            raise InputError(
                "key `init.model` is missing: a student learns over the frozen layers of a packed "
                "acoustic model (system `lugosch`, task `acoustic`); name it with --init"
            )
