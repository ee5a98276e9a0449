"""An exported classifier of commands as a function: a recording in, the likeliest command out.

`Recognizer.load` gives it for the folder of such a model (`description.Description.classes`). It
has one answer, and options of a search have no effect, as with torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from atat.base.errors import InputError
from atat.runtime.recognizer import Recognizer
from atat.text.labels import Labels
from atat.text.tasks import Task
from atat.text.understanding import Hypothesis


class CommandRecognizer(Recognizer):
    """An exported classifier and how to use it; not for several threads at once."""

    def _open(self, folder: Path, **_: Any) -> None:
        self.labels = Labels.read(folder)
        self._known = self.tasks = {
            name: Task(name, source="audio", target="semantics", masked=False)
            for name in self.about.tasks
        }

    def frames(self, samples: np.ndarray) -> np.ndarray:
        """Samples (T,) at 16 kHz: the model reads them as they are."""
        return samples.astype(np.float32, copy=False)

    def recognize(self, frames: np.ndarray, task: str) -> list[Hypothesis]:
        """Samples (T,) of a recording -> the likeliest command."""
        self.check_task(task)
        return self._answer(frames, task)

    def check_task(self, task: str) -> None:
        """Raise InputError unless the model was trained on the task."""
        if task not in self.tasks:
            raise InputError(
                f"task {task}: this model was trained on {', '.join(self.tasks)} and does nothing "
                "else"
            )

    def _default(self, source: str) -> str:
        if source == "text":
            raise InputError("this model reads no text, only recordings")
        return self.about.tasks[0]

    def _hear(self, frames: np.ndarray) -> Any:
        return frames

    def _answer(self, memories: Any, task: str) -> list[Hypothesis]:
        log_probs = self._graphs.command(memories)
        ends = list(accumulate(self.labels.sizes))
        fields: Sequence[np.ndarray] = np.split(log_probs, ends[:-1])
        classes = [int(one.argmax()) for one in fields]
        score = float(sum(one.max() for one in fields))
        return [Hypothesis(self.labels.tree(classes), score, len(fields))]

    @property
    def _too_short(self) -> str:
        return "holds no samples; record it again, or leave it out"
