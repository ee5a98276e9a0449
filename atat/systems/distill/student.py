"""The student: the classifier of Lugosch et al. 2019 over frozen layers, which learns from commands
and from the logits of its teachers (Cho et al. 2020, section 3.3).

    loss = (1 - beta) cross entropy + beta distance
    distance = (1 - gamma) D(student, teacher) + gamma D(student, professor)

D is the mean over the logits of all classes, without a temperature; of the two teachers only one
need be there. gamma is the share of the batch that the student has wrong, a number like beta:
neither passes a gradient on. Shapes: B recordings, T samples, K teachers, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from atat.engine.contract import Term
from atat.engine.plain import weighted
from atat.engine.plain_commands import CommandBatch, all_right, command_terms
from atat.nn.acoustic import AcousticModel, IntentModule
from atat.systems.distill.data import LessonBatch
from atat.systems.distill.schedules import Calendar, share
from atat.systems.distill.settings import DistillationSettings, Loss
from atat.text.labels import Labels


class Student(nn.Module):
    """Samples in, logits of all classes of a command out."""

    terms = ("intent", "exact_match", "distilled")
    counts = ("intent", "commands", "distilled")

    def __init__(self, labels: Labels) -> None:
        super().__init__()
        self.sizes = labels.sizes
        self.acoustic = AcousticModel(0, 0)
        self.intent = IntentModule(sum(self.sizes))
        # Of a training; a packed model needs neither.
        self.distillation = DistillationSettings()
        self.calendar = Calendar(1, 1)

    def forward(self, samples: Tensor, lengths: Tensor) -> Tensor:
        """Samples (B, T), lengths (B,) -> logits (B, C)."""
        _, words = self.acoustic(samples, lengths)
        logits: Tensor = self.intent(words)
        return logits

    def commands(self, samples: Tensor, lengths: Tensor) -> list[Tensor]:
        """The logits of each field (B, values)."""
        return list(self(samples, lengths).split(self.sizes, 1))

    def losses(self, batch: CommandBatch) -> dict[str, Term]:
        """The cross entropy and how many commands are right; with lessons, the distance too."""
        logits = self(batch.samples, batch.lengths)
        terms = command_terms(logits.split(self.sizes, 1), batch.classes, batch.known)
        if isinstance(batch, LessonBatch):
            terms |= self._taught(terms, logits, batch)
        return weighted(terms, batch.weight)

    def _taught(
        self, terms: dict[str, Term], logits: Tensor, batch: LessonBatch
    ) -> dict[str, Term]:
        """The cross entropy with the share it has beside the distance, and the distance."""
        settings = self.distillation
        # A command whose slots are in another order than the outputs' can be learned all the same.
        right = all_right(logits.split(self.sizes, 1), batch.classes)
        error = 1 - int(right.sum()) / len(right)
        beta = share(
            settings.schedule,
            settings.weight,
            error=error,
            epoch=self.calendar.epoch(batch.step),
            epochs=self.calendar.epochs,
        )
        total = distance(logits, batch.lessons, error, settings.loss).sum()
        return {
            "intent": terms["intent"]._replace(weight=1 - beta),
            "distilled": Term(total, weight=beta),
        }


def distance(logits: Tensor, lessons: Tensor, gamma: float, loss: Loss) -> Tensor:
    """Logits (B, C) of the student, (B, K, C) of its teachers -> the distance (B,) of each.

    Of two teachers the second has the share gamma.
    """
    each = functional.mse_loss if loss == "mse" else functional.smooth_l1_loss
    student = logits[:, None].expand_as(lessons)
    apart = each(student, lessons, reduction="none").mean(2)  # (B, K)
    if apart.shape[1] == 1:
        return apart[:, 0]
    return torch.lerp(apart[:, 0], apart[:, 1], gamma)
