"""The folder of a training: its settings, its inputs and its progress.

config.yaml     the settings the run began with; inputs.json: digests of what it reads
train.log       the log
train.json      facts and times of the run that made model/
model, start    see MODEL and START

Knows nothing of models and data.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from atat.base import config
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.json_file import read_object
from atat.datadir import fingerprint
from atat.engine import registry
from atat.engine.settings import RunSettings

# A run may be continued with other values of these: except steps, they do not change what is
# learned, and the user is told what steps change.
FREE_SETTINGS = ("workers", "log_every", "steps")
TRAIN = "train.json"
INPUTS = "inputs.json"  # digests of the data and the start, as they were when a run began

MODEL = "model"  # the trained model
START = "start"  # the model before step 1; describes the run's model until MODEL exists

# What to do if a file cannot be read.
WAY_OUT = {
    TRAIN: "remove it, and the training command writes it again from the last checkpoint",
    INPUTS: "remove it to go on; a change of the data is then no longer noticed",
}


def finished_steps(folder: Path) -> int | None:
    """Number of steps of the finished run in this folder; None if there is no finished run."""
    found = facts(folder)
    return found["steps"] if found is not None and found.get("finished") else None


def facts(folder: Path) -> dict[str, Any] | None:
    """train.json; None if there is none. Raises InputError if it is damaged."""
    path = folder / TRAIN
    if not path.is_file():
        return None
    found = read_object(path, WAY_OUT[TRAIN])
    if not isinstance(found.get("steps"), int):
        raise InputError(f"{path}: damaged, no number of steps in it; {WAY_OUT[TRAIN]}")
    return found


def write_facts(folder: Path, values: Mapping[str, Any]) -> None:
    """Write train.json."""
    with atomic_write(folder / TRAIN) as stream:
        json.dump(values, stream, indent=1)


def is_begun(folder: Path) -> bool:
    """Whether the folder has anything of the run that its config.yaml says."""
    from atat.engine import checkpoint

    if not (folder / "config.yaml").is_file():
        return False
    made = any((folder / name).exists() for name in (MODEL, START, TRAIN))
    return made or bool(checkpoint.paths_in(folder))


def open_for(folder: Path, settings: RunSettings) -> None:
    """Write the configuration into the folder of a run; refuse the folder of another run.

    One that was refused before it began has left no more than its configuration.
    """
    if is_begun(folder):
        check_same(folder, settings)
    else:
        with atomic_write(folder / INPUTS) as stream:
            json.dump(settings.digests(), stream, indent=1)
        config.save(folder / "config.yaml", settings)


@contextmanager
def logging_to(folder: Path) -> Iterator[None]:
    """Inside, all messages go into the log of the run; warnings also go to the terminal."""
    log = logging.FileHandler(folder / "train.log", encoding="utf-8")
    log.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    console = logging.StreamHandler()
    console.setLevel(logging.WARNING)
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.INFO)
    for handler in (log, console):
        root.addHandler(handler)
    try:
        yield
    finally:
        root.setLevel(level)
        for handler in (log, console):
            root.removeHandler(handler)
        log.close()


def check_same(folder: Path, settings: RunSettings) -> None:
    """Raise InputError unless the run in `folder` began with these settings and this data."""
    _, begun = registry.load_settings(folder / "config.yaml")
    if settings.precision == "auto":  # continues with the precision the run began with
        settings = replace(settings, precision=begun.precision)
    before, now = _compared(begun), _compared(settings)
    for key in sorted(now):
        if before[key] != now[key]:
            raise InputError(
                f"{folder}: begun with `{key}` = {before[key]}, now {now[key]}. To go on, use the "
                "old value; to begin again, remove the folder or give another --out"
            )
    path = folder / INPUTS
    if not path.is_file():  # the folder is from a version that did not record them
        return
    for changed in fingerprint.changed(read_object(path, WAY_OUT[INPUTS]), settings.digests()):
        raise InputError(
            f"{folder}: {changed} has changed since this training began. To train on the new one, "
            "remove the folder or give another --out; to keep the model, restore the old one"
        )


def settle_steps(folder: Path, settings: RunSettings, *, done: int, width: int) -> str | None:
    """Store a changed number of steps in the run's configuration; returns its effect in words.

    done: steps that the run has done. Raises InputError if the run is already past its new end,
    or has to continue but its checkpoints are gone.
    """
    from atat.engine.optim import change_of_steps

    now, before = settings.steps, registry.load_settings(folder / "config.yaml")[1].steps
    if done > now:
        raise InputError(
            f"{folder}: step {done} is done, so steps cannot be {now}. To go on, give {done} or "
            f"more; to make a model from the checkpoints: atat pack {folder}"
        )
    finished = finished_steps(folder)
    if finished is not None and not done:
        raise InputError(
            f"{folder}: finished with {finished} steps, and its checkpoints are gone, so it cannot "
            f"go on. Start another run from its model: --init {folder / MODEL}, with another --out"
        )
    if before == now:
        return None
    config.save(folder / "config.yaml", settings)
    return f"{folder}: " + change_of_steps(
        settings.optim, before, now, done, width, also=settings.also_by_steps()
    )


def _compared(settings: RunSettings) -> dict[str, Any]:
    """Settings that must not change within a run."""
    return {key: value for key, value in settings.compared().items() if key not in FREE_SETTINGS}
