"""A packed model of Lugosch et al. 2019; labels.json says what its outputs mean."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atat.base.errors import InputError
from atat.engine.plain_commands import LabelledPacked
from atat.systems.lugosch.model import Lugosch
from atat.systems.lugosch.settings import TASKS
from atat.text.labels import Labels


@dataclass
class LugoschPacked(LabelledPacked):
    """A model with its labels."""

    model: Lugosch
    system: str = "lugosch"


def load(folder: Path, about: dict[str, Any]) -> LugoschPacked:
    """A packed model without its weights."""
    tasks = about.get("tasks")
    if not isinstance(tasks, list) or not tasks or not set(tasks) <= TASKS.keys():
        raise InputError(
            f"{folder}/config.yaml: `tasks` is {tasks!r}; expected a list of {' or '.join(TASKS)}"
        )
    labels = Labels.read(folder)
    return LugoschPacked(Lugosch(labels), tuple(tasks), about["weights"], labels=labels)
