"""Batches of the next steps, prepared by worker processes ahead of the trainer.

The batches of a step are a pure function of its number: resuming means starting at another number.
Their examples, augmentation and masking do not depend on how many ranks share a step.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from atat.base import parallel
from atat.engine.batching import batch_slices
from atat.engine.contract import Batch, Source
from atat.engine.sampler import Sampler


class StepBatches(Dataset[list[Batch]]):
    """Item `step` is the list of batches of that optimizer step on one rank."""

    def __init__(self, data: Sequence[Source], sampler: Sampler, *, seed: int, rank: int) -> None:
        self.data = list(data)
        self.sampler = sampler
        self.seed = seed
        self.rank = rank

    def __getitem__(self, step: int) -> list[Batch]:
        return [self.batch(step, items) for items in self.sampler.plan(step, self.rank)]

    def batch(self, step: int, items: Sequence[tuple[int, int]]) -> Batch:
        """One batch, with examples of one source only."""
        source = self.data[items[0][0]].at(step)
        return source.collate([self._example(step, source, number) for _, number in items])

    def _example(self, step: int, source: Source, number: int) -> Any:
        # Not of the rank: an example is the same whichever process makes it.
        rng = np.random.default_rng([self.seed, step, zlib.crc32(source.key(number).encode())])
        return source.example(number, rng)


def step_loader(
    batches: StepBatches,
    first: int,
    last: int,
    *,
    workers: int,
    pin: bool,
    start_method: str = "fork",
) -> DataLoader[list[Batch]]:
    """Iterates over the batches of steps first .. last - 1, in order.

    start_method: how workers are started; forked ones need no copy of the data.
    """
    return DataLoader(
        batches,
        batch_size=None,
        sampler=range(first, last),
        num_workers=workers,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_start_worker if workers else None,
        multiprocessing_context=start_method if workers else None,
    )


@contextmanager
def closing(loader: DataLoader[list[Batch]]) -> Iterator[Iterator[list[Batch]]]:
    """The loader's items in order; its workers are stopped however the block is left."""
    items = iter(loader)
    try:
        yield items
    finally:
        # Nobody else would end them in time: after an exception its traceback still holds `items`.
        end = getattr(items, "_shutdown_workers", None)  # none without workers
        if end is not None:
            end()


def _start_worker(_: int) -> None:
    """What a worker process does first: use one thread, and let the main process end it."""
    torch.set_num_threads(1)
    parallel.start_worker(spared=True)


def in_order(
    data: Source, budget: int, max_targets: int, limit: int | None = None
) -> list[list[int]]:
    """Utterance numbers of a data set in batches of similar length, shortest first.

    budget, max_targets: what a batch may hold, padded (`atat.engine.batching`); limit: use only
    this many first utterances.
    """
    numbers = range(len(data) if limit is None else min(limit, len(data)))
    ordered = sorted(numbers, key=lambda i: int(data.lengths[i]))
    parts = batch_slices(
        data.lengths[ordered].tolist(), budget, data.target_lengths[ordered].tolist(), max_targets
    )
    return [ordered[part] for part in parts]
