"""What a decoding does, batch by batch: utterances of like length, one process for each core.

A process that decodes uses one core well and two badly: most of its products are small. What the
number of processes changes is which utterances are a batch, and so the last digits of scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from atat.base import parallel
from atat.base.errors import InputError
from atat.datadir import contents
from atat.datadir.tables import Utterance
from atat.engine.batching import batch_slices
from atat.scoring import decoded_dir
from atat.speech import audio
from atat.speech.fbank import num_frames
from atat.systems.joint.tasks import TASKS

if TYPE_CHECKING:
    from atat.systems.joint.recognizer import Recognition, Recognizer

SMALLEST = 8  # utterances; smaller batches would lose what sharing them out gains
FEW = 4  # batches for each process; when there are more, nobody waits long for the last one


@dataclass(frozen=True)
class Item:
    """An utterance, how long its source is (frames or tokens), and the source if it is a text."""

    utterance: Utterance
    length: int
    tokens: np.ndarray | None = None


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
        self.audio = TASKS[task].source == "audio"
        items = sorted(map(self._item, utterances), key=lambda item: item.length)
        self.batches = cut(items, budget, nj)

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
                source = item.tokens
                if source is None:
                    source = _features(self.recognizer, item.utterance)
            except InputError as error:
                nbest = decoded_dir.unread(str(error))
                lost.append({"utt": item.utterance.id, "nbest": nbest})
                continue
            if item.tokens is None:
                _check_bins(self.recognizer, item.utterance, source)
            names.append(item.utterance.id)
            sources.append(source)
        found = self.recognizer.recognize(sources, self.task) if sources else []
        return [*map(_entry, names, found), *lost]

    def _item(self, utterance: Utterance) -> Item:
        if not self.audio:
            tokens = self.recognizer.text_source(utterance.text or "")
            return Item(utterance, len(tokens), tokens)
        if utterance.num_frames is not None:
            return Item(utterance, utterance.num_frames)
        if utterance.duration is not None:
            return Item(utterance, int(utterance.duration * 100))
        try:
            if utterance.feats is None and utterance.wav is not None:
                return Item(utterance, num_frames(audio.probe(utterance.wav).num_samples))
            return Item(utterance, len(_features(self.recognizer, utterance)))
        except InputError:
            return Item(utterance, 1)  # what is wrong with it is told where it is read


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


def decoded(batches: DecodeBatches, nj: int) -> Iterator[list[dict[str, Any]]]:
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


def _features(recognizer: Recognizer, utterance: Utterance) -> np.ndarray:
    """(T, F); InputError, naming the utterance, for features or audio at fault."""
    if utterance.feats is not None:
        features = contents.read_features(utterance)
    else:
        features = recognizer.features(contents.read_recording(utterance))
    if len(features) == 0:
        raise InputError(
            f"utterance {utterance.id} is shorter than one frame (25 ms); leave it out "
            "(atat datadir repair)"
        )
    return features


def _check_bins(recognizer: Recognizer, utterance: Utterance, features: np.ndarray) -> None:
    """Raise InputError for features of another kind than the model's, which all will be."""
    if features.shape[1:] != (recognizer.mel_bins,):
        raise InputError(
            f"utterance {utterance.id} has features of {features.shape[-1]} mel bins, the model "
            f"expects {recognizer.mel_bins}; make them with: atat features --num_mels "
            f"{recognizer.mel_bins}"
        )


def _entry(name: str, found: Recognition) -> dict[str, Any]:
    nbest = [
        {"text": o.text, "score": o.score, "length": o.length}
        | ({"at_limit": True} if o.at_limit else {})
        for o in found.nbest
    ]
    return {"utt": name, "nbest": nbest}
