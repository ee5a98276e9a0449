"""The tasks of spoken language understanding: the input and output of each, in one table.

Knows nothing of models or files. A further task needs one line in `TASKS`; the label
`<name>` that starts a target of that task follows from the name (`atat.text.tokenizer`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from atat.base.errors import InputError

Target = Literal["text", "semantics"]  # the table of a data dir that a task writes
TARGETS: tuple[Target, ...] = ("text", "semantics")


@dataclass(frozen=True)
class Task:
    """One way to use the model (Rongali et al. 2021, section "AT-AT")."""

    name: str
    source: Literal["audio", "text"]
    target: Target
    masked: bool  # the audio of some words is hidden, the target still says all of them


TASKS: dict[str, Task] = {
    known.name: known
    for known in (
        Task("asr", source="audio", target="text", masked=False),
        Task("slu", source="audio", target="semantics", masked=False),
        Task("nlu", source="text", target="semantics", masked=False),
        Task("mlm", source="audio", target="text", masked=True),
    )
}


def find(tasks: Iterable[Task], source: str, target: str) -> Task | None:
    """The first of some tasks with this source and target."""
    return next((one for one in tasks if (one.source, one.target) == (source, target)), None)


def task(name: str) -> Task:
    """The task called `name`; InputError lists the known names."""
    if name not in TASKS:
        raise InputError(f"unknown task {name!r}; known tasks: {', '.join(TASKS)}")
    return TASKS[name]
