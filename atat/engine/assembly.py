"""Assembles a run from its system, settings and data: nothing is trained yet."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from atat.base import machine
from atat.engine import distributed
from atat.engine.contract import Parts, Source, System
from atat.engine.loader import StepBatches
from atat.engine.optim import Optimizer
from atat.engine.sampler import Sampler
from atat.engine.settings import RunSettings
from atat.engine.trainer import Trainer

logger = logging.getLogger(__name__)


def build(system: System, settings: RunSettings, folder: Path, device: Any) -> Trainer:
    """Data, model and optimizer of a run. Raises InputError for invalid settings or data."""
    machine.keep_float32()
    torch.manual_seed(settings.seed)
    parts = system.build(settings)
    model, data = parts.packed.model, parts.train
    for source in data:
        hours = seconds(source) / 3600
        heard = f", {hours:.2f} h" if hours else ""
        logger.info("%s %s: %d%s", source.task, source.data, len(source), heard)
    model.to(device)
    optimizer = Optimizer(
        model,
        parts.groups,
        settings.optim,
        width=parts.width,
        total=settings.steps,
        unfreeze=_unfreeze(settings, parts),
    )
    sampler = Sampler(
        [source.lengths for source in data],
        [source.weight for source in data],
        [source.budget for source in data],
        settings.batch,
        seed=settings.seed,
        ranks=distributed.size(),
        targets=[source.target_lengths for source in data],
    )
    batches = StepBatches(data, sampler, seed=settings.seed, rank=distributed.rank())
    return Trainer(system, parts, optimizer, batches, settings, folder, device)


def _unfreeze(settings: RunSettings, parts: Parts) -> tuple[tuple[float, ...], ...]:
    """The phases of unfreezing; none if no parameter is new, unless the settings ask for them."""
    if any(group.parameters for group in parts.groups if not group.pretrained):
        return settings.init.unfreeze
    if not settings.init.always_unfreeze:
        return ()
    return tuple(phase for phase in settings.init.unfreeze if phase[1] > 0)


def seconds(source: Source) -> float:
    """Seconds of recordings of a source; 0 for text."""
    per_second = source.budget.per_second
    return float(source.lengths.sum()) / per_second if per_second else 0.0
