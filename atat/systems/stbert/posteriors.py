"""Posteriors of recordings by the frozen phoneme module, computed once and kept in arks.

    FOLDER/0a4c19be77d1/5e0c2f91a1d40c38.ark     posteriors (N, 42) float32 of some minutes of audio
    FOLDER/0a4c19be77d1/5e0c2f91a1d40c38.scp     which recordings these are, by their contents

The first name is of the phoneme module's weights. Recordings are named by their contents and the
times of the segment, so data dirs with the same recordings share them, a changed recording gets new
ones, and an interruption costs a few minutes of audio.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from atat.base import digests
from atat.base.errors import InputError
from atat.datadir import ark, contents, tables
from atat.datadir.kaldi_dir import Utterance
from atat.engine import distributed
from atat.engine.batching import batch_slices
from atat.engine.plain_recordings import FRAME, num_samples
from atat.nn.phoneme_posteriors import PhonemePosteriors

ARK = 30 * 6000  # frames of 10 ms in an ark, half an hour
BATCH = 2 * 6000  # ... in a batch, padded


class Posteriors:
    """Those of one phoneme module."""

    def __init__(self, listener: PhonemePosteriors, folder: Path) -> None:
        """folder: theirs, for all phoneme modules."""
        self.listener = listener
        self.folder = folder / _digest(listener)

    def of(self, data: str, utterances: Sequence[Utterance]) -> dict[str, str]:
        """Where those of each utterance are (`atat.datadir.ark.read`), made if they are not there.

        All utterances have a recording that can be read. Raises InputError for a folder that
        cannot be written.
        """
        names = _names(data, utterances)
        there = self._there()
        missing = {names[one.id]: one for one in utterances if names[one.id] not in there}
        if missing and distributed.rank() == 0:
            try:
                self._make(missing, f"phoneme posteriors of {data}")
            except OSError as error:
                raise InputError(
                    f"{self.folder}: the posteriors of {data} cannot be written here "
                    f"({error.strerror}); name another folder by the key `posteriors`"
                ) from None
        distributed.barrier()  # the first rank makes them for all
        there = self._there()
        return {utterance: there[name] for utterance, name in names.items()}

    def _there(self) -> dict[str, str]:
        """Specifiers by the names of recordings; the arks may have been moved with the folder."""
        found = {}
        for scp in sorted(self.folder.glob("*.scp")):
            for name, specifier in tables.read_table(scp).items():
                found[name] = f"{scp.with_suffix('.ark')}:{specifier.rpartition(':')[2]}"
        return found

    def _make(self, missing: Mapping[str, Utterance], title: str) -> None:
        lengths = {name: -(-num_samples(one) // FRAME) for name, one in missing.items()}
        ordered = sorted(missing, key=lambda name: (lengths[name], name))
        batches = [
            ordered[part] for part in batch_slices([lengths[name] for name in ordered], BATCH)
        ]
        with tqdm(total=len(ordered), desc=title, unit="utt", disable=None) as progress:
            while batches:
                together: list[list[str]] = []
                frames = 0
                while batches and frames < ARK:
                    frames += sum(lengths[name] for name in batches[0])
                    together.append(batches.pop(0))
                stem = self.folder / digests.of_text(" ".join(sum(together, [])))[: digests.SHORT]
                with ark.Writer(stem.with_suffix(".ark"), stem.with_suffix(".scp")) as write:
                    for batch in together:
                        for name, rows in zip(batch, self._heard([missing[n] for n in batch])):
                            write(name, rows)
                        progress.update(len(batch))

    def _heard(self, utterances: Sequence[Utterance]) -> list[np.ndarray]:
        device = next(self.listener.parameters()).device
        samples = [torch.from_numpy(contents.read_recording(one)).float() for one in utterances]
        lengths = torch.tensor([len(one) for one in samples])
        padded = pad_sequence(samples, batch_first=True)
        found, frames = self.listener(padded.to(device), lengths.to(device))
        return [rows[:size].cpu().numpy() for rows, size in zip(found, frames.tolist())]


def _digest(listener: PhonemePosteriors) -> str:
    """Of the weights."""
    sha = hashlib.sha256()
    for _, value in sorted(listener.state_dict().items()):
        sha.update(value.cpu().numpy().tobytes())
    return sha.hexdigest()[:12]


def _names(data: str, utterances: Sequence[Utterance]) -> dict[str, str]:
    """Utterance id -> the name of its recording and segment, without blanks."""
    found = contents.look(data, "wav")
    names = {}
    for one in utterances:
        name = found[one.recording or one.id].digest
        if one.start is not None:
            name += f"_{one.start:.4f}_{one.end or 0:.4f}"
        names[one.id] = name
    return names
