"""What a decoding does, batch by batch: utterances of like length, one process for each core.

A process that decodes uses one core well and two badly: most of its products are small. What the
number of processes changes is which utterances are a batch, and so the last digits of scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader, Dataset

from atat.base import parallel
from atat.base.errors import InputError
from atat.datadir.tables import Utterance
from atat.engine.batching import batch_slices
from atat.scoring import decoded_dir

if TYPE_CHECKING:
    from atat.engine.contract import Recognizer

SMALLEST = 8  # utterances; smaller batches would lose what sharing them out gains
FEW = 4  # batches for each process; when there are more, nobody waits long for the last one


@dataclass(frozen=True)
class Item:
    """An utterance, and how long its source is, in units of the budget."""

    utterance: Utterance
    length: int


class DecodeBatches(Dataset["list[dict[str, Any]] | InputError"]):
    """Item number n is what was understood of batch n: an entry of `nbest.jsonl` each."""

    def __init__(
        self,
        recognizer: Recognizer,
        task: str,
        utterances: Sequence[Utterance],
        budget: int,
        nj: int = 1,
    ) -> None:
        """budget: padded frames or tokens of a batch, at most; nj: processes that share them out.

        For a text task every utterance must have a text.
        """
        self.recognizer, self.task = recognizer, task
        items = [Item(one, recognizer.length(one, task)) for one in utterances]
        self.batches = cut(sorted(items, key=lambda item: item.length), budget, nj)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> list[dict[str, Any]] | InputError:
        """The error is handed over, not raised: a worker's would come wrapped in a traceback."""
        try:
            return self._understand(self.batches[number])
        except InputError as error:
            return error

    def _understand(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        """The entries of some items; one whose audio or features are at fault has its reason."""
        names, sources, lost = [], [], []
        for item in items:
            try:
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
    """Cut what grows in length into batches under a budget of padded length.

    Few batches are cut smaller, so that each of `nj` processes has as much to do.
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


def decode_all(batches: DecodeBatches, nj: int) -> Iterator[list[dict[str, Any]]]:
    """The entries of all batches, in the order in which they are finished, by `nj` processes.

    The longest utterances come first: no process is left with a long batch at the end. With one
    process the work is done in this one. An utterance that cannot be read has an entry that says
    why; raises InputError for what is wrong with all.
    """
    nj = min(nj, len(batches))
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=range(len(batches) - 1, -1, -1),
        num_workers=nj if nj > 1 else 0,
        prefetch_factor=1 if nj > 1 else None,
        in_order=False,
        worker_init_fn=_start_worker if nj > 1 else None,
        # The model is handed on as it is: reordered weights can't be sent.
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
    """Raise InputError where there is an utterance without features and audio."""
    for utterance in utterances:
        if utterance.feats is None and utterance.wav is None:
            raise InputError(
                f"utterance {utterance.id} has neither features (feats.scp) nor audio (wav.scp)"
            )
