"""Decodes batch by batch: utterances of similar length together, one process for each core.

A decoding process uses one core well and two badly: most of its products are small. The number of
processes changes which utterances share a batch, and so the last digits of scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from atat.base import parallel
from atat.base.errors import InputError
from atat.datadir.kaldi_dir import Utterance
from atat.engine.batching import batch_slices
from atat.scoring import decoded_dir

if TYPE_CHECKING:
    from atat.engine.contract import Recognizer

SMALLEST = 8  # utterances; smaller batches would lose what sharing them out gains
FEW = 4  # batches for each process; with more of them the wait for the last one is short


@dataclass(frozen=True)
class Item:
    """An utterance, the length of its source in units of the budget, and the source if kept."""

    utterance: Utterance
    length: int
    source: np.ndarray | None = None


class DecodeBatches(Dataset["list[dict[str, Any]] | InputError"]):
    """Item n is the result of batch n: one entry of `nbest.jsonl` for each utterance."""

    def __init__(
        self,
        recognizer: Recognizer,
        task: str,
        utterances: Sequence[Utterance],
        budget: int,
        nj: int = 1,
    ) -> None:
        """budget: most padded frames or tokens in a batch; nj: number of processes.

        For a text task every utterance must have a text.
        """
        self.recognizer, self.task = recognizer, task
        items = [Item(one, *recognizer.measure(one, task)) for one in utterances]
        self.batches = cut(sorted(items, key=lambda item: item.length), budget, nj)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> list[dict[str, Any]] | InputError:
        """Returns the error instead of raising it: a worker's would arrive with a traceback."""
        try:
            return self._understand(self.batches[number])
        except InputError as error:
            return error

    def _understand(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        """The entries of some items; for bad audio or features the entry holds the reason."""
        names, sources, lost = [], [], []
        for item in items:
            try:
                source = item.source
                if source is None:
                    source = self.recognizer.read(item.utterance, self.task)
            except InputError as error:
                nbest = decoded_dir.unread(str(error))
                lost.append({"utt": item.utterance.id, "nbest": nbest})
                continue
            self.recognizer.check(item.utterance, self.task, source)
            names.append(item.utterance.id)
            sources.append(source)
        found = self.recognizer.hypotheses(sources, self.task) if sources else []
        entries = [{"utt": name, "nbest": nbest} for name, nbest in zip(names, found)]
        return [*entries, *lost]


def cut(items: Sequence[Item], budget: int, nj: int = 1) -> list[list[Item]]:
    """Cut items sorted by length into batches under a budget of padded length.

    If there are few batches they are cut smaller, so that all `nj` processes have equal work.
    """
    batches = _under(items, budget)
    if nj == 1 or len(batches) >= FEW * nj:
        return batches
    wanted = min(-(-len(batches) // nj) * nj, max(len(items) // SMALLEST, len(batches)))
    smaller = max(1, sum(item.length for item in items) // max(wanted, 1))
    while len(cut_smaller := _under(items, min(smaller, budget))) > wanted:
        smaller += -(-smaller // 20)
    return cut_smaller


def _under(items: Sequence[Item], budget: int) -> list[list[Item]]:
    return [list(items[part]) for part in batch_slices((item.length for item in items), budget)]


class Batches(Protocol):
    """Batches by number: entries of what was decoded, or the error that ends the decoding."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> list[dict[str, Any]] | InputError: ...


def decode_all(batches: Batches, nj: int) -> Iterator[list[dict[str, Any]]]:
    """The entries of all batches, computed by `nj` processes, in the order they are finished.

    The longest utterances come first: no process is left with a long batch at the end. With one
    process the work is done in this one. The entry of an utterance that cannot be read says why;
    raises InputError for an error that concerns all utterances.
    """
    nj = min(nj, len(batches))
    loader = DataLoader(
        cast("Dataset[list[dict[str, Any]] | InputError]", batches),  # which asks for no more
        batch_size=None,
        sampler=range(len(batches) - 1, -1, -1),
        num_workers=nj if nj > 1 else 0,
        prefetch_factor=1 if nj > 1 else None,
        in_order=False,
        worker_init_fn=_start_worker if nj > 1 else None,
        # The model is passed on unchanged: reordered weights cannot be sent.
        multiprocessing_context="fork" if nj > 1 else None,
    )
    for entries in loader:
        if isinstance(entries, InputError):
            raise entries
        yield entries


def _start_worker(_: int) -> None:
    torch.set_num_threads(1)
    parallel.start_worker()


def check_has_sound(utterances: Iterable[Utterance]) -> None:
    """Raise InputError for an utterance that has neither features nor audio."""
    for utterance in utterances:
        if utterance.feats is None and utterance.wav is None:
            raise InputError(
                f"utterance {utterance.id} has neither features (feats.scp) nor audio (wav.scp)"
            )
