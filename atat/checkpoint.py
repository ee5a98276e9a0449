"""Training checkpoints: one atomic file each, with all that is needed to go on exactly.

Batches, masks and dropout are pure functions of (seed, step, rank), so weights, optimizer state
and the step are everything.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from atat.errors import InputError
from atat.files import atomic_write

_NAME = re.compile(r"checkpoint-(\d+)\.pt")
BEST = "best.pt"


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint; the file appears whole or not at all."""
    with atomic_write(path, "wb") as stream:
        torch.save(state, stream)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint; nothing in it is executed."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, LookupError, ValueError, pickle.UnpicklingError) as error:
        raise InputError(
            f"{path}: not a readable checkpoint ({str(error).splitlines()[0]}); remove it to go on "
            "from the one before"
        ) from None


def path_of(folder: Path, step: int) -> Path:
    """checkpoint-00001500.pt"""
    return folder / f"checkpoint-{step:08d}.pt"


def found(folder: Path) -> list[Path]:
    """Checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob("checkpoint-*.pt") if _NAME.fullmatch(path.name))


def scheduled(folder: Path, every: int) -> list[Path]:
    """Checkpoints that an uninterrupted run would have, too: each `every` steps, and the last."""
    paths = found(folder)
    return [path for path in paths if _step(path) % every == 0 or path == paths[-1]]


def keep_last(folder: Path, count: int, every: int) -> None:
    """Remove all but the last `count` checkpoints of the schedule, and the newest."""
    kept = set(scheduled(folder, every)[-max(count, 1) :])
    for path in found(folder):
        if path not in kept:
            path.unlink()


def _step(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def average(paths: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the models' weights in several checkpoints, in float64 and back."""
    assert paths
    states = [load(path)["model"] for path in paths]
    mean = {}
    for name, first in states[0].items():
        if first.is_floating_point():
            total = sum(state[name].double() for state in states)
            mean[name] = (total / len(states)).to(first.dtype)
        else:
            mean[name] = states[-1][name]
    return mean
