"""Posteriors of recordings by the frozen phoneme module, computed once and kept (`engine.stored`).

Recordings are named by their contents and the times of the segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from atat.datadir import contents
from atat.datadir.kaldi_dir import Utterance
from atat.engine.plain_recordings import FRAME, num_samples
from atat.engine.stored import Stored
from atat.nn.phoneme_posteriors import PhonemePosteriors


class Posteriors(Stored):
    """Those of one phoneme module, (N, 42) float32 of each utterance with a recording."""

    what, key = "phoneme posteriors", "posteriors"

    def __init__(self, listener: PhonemePosteriors, folder: Path) -> None:
        super().__init__(listener, folder)
        self.listener = listener

    def names(self, data: str, utterances: Sequence[Utterance]) -> dict[str, str]:
        """Utterance id -> the name of its recording and segment."""
        found = contents.look(data, "wav")
        names = {}
        for one in utterances:
            name = found[one.recording or one.id].digest
            if one.start is not None:
                name += f"_{one.start:.4f}_{one.end or 0:.4f}"
            names[one.id] = name
        return names

    def frames(self, utterance: Utterance) -> int:
        """Of 10 ms."""
        return -(-num_samples(utterance) // FRAME)

    def made(self, utterances: Sequence[Utterance]) -> list[np.ndarray]:
        """The posteriors of each."""
        device = next(self.listener.parameters()).device
        samples = [torch.from_numpy(contents.read_recording(one)).float() for one in utterances]
        lengths = torch.tensor([len(one) for one in samples])
        padded = pad_sequence(samples, batch_first=True)
        found, frames = self.listener(padded.to(device), lengths.to(device))
        return [rows[:size].cpu().numpy() for rows, size in zip(found, frames.tolist())]
