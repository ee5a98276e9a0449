"""Forced alignment with a packed model of ours: audio and text in, words with times out.

Loads the model, makes its features, runs its CTC head and leaves the path to `align_ctc`. Knows
nothing of data dirs; `python -m atat.align --backend ctc` brings the utterances.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from atat import packed
from atat.align_ctc import align_ctc
from atat.alignment import NotAligned, Word
from atat.errors import InputError
from atat.lfb import Options, lfb


class ModelAligner:
    """A packed model that has a CTC head."""

    def __init__(self, folder: str | Path, device: str = "cpu") -> None:
        """Raises InputError for a folder that is no packed model, and for one without the head."""
        found = packed.load(folder, device)
        if found.units is None:
            raise InputError(
                f"{folder}: the model has no CTC head; train one with ctc.weight above 0"
            )
        self._model = found.model
        self._units = found.units
        self._device = device
        self._options = Options(num_mels=found.model.cmvn.mean.numel())

    def align(self, samples: Sequence[np.ndarray], texts: Sequence[str]) -> list[list[Word] | str]:
        """Words of each utterance with their times, or the reason why there are none.

        samples: recordings (T,) float32 at 16 kHz, encoded as one batch; texts: normalised.
        """
        features = [torch.from_numpy(lfb(one, self._options)) for one in samples]
        if not max(map(len, features), default=0):
            return ["the audio is shorter than one frame"] * len(samples)
        lengths = torch.tensor([len(one) for one in features])
        padded = torch.nn.utils.rnn.pad_sequence(features, batch_first=True)
        with torch.inference_mode():
            log_probs, states = self._model.ctc_log_probs(
                padded.to(self._device), lengths.to(self._device)
            )
        # Only the encoder itself knows how many frames it makes one state of.
        frame_seconds = round(int(lengths.max()) / int(states.max())) * self._options.frame_shift
        log_probs = log_probs.float().cpu()
        return [
            self._path(log_probs[row, : int(states[row])], text, frame_seconds)
            for row, text in enumerate(texts)
        ]

    def _path(self, log_probs: torch.Tensor, text: str, frame_seconds: float) -> list[Word] | str:
        """log_probs (T, C) of one utterance."""
        try:
            return align_ctc(
                log_probs, self._units.ids(text), self._units.pieces, frame_seconds, text.split()
            )
        except NotAligned as error:
            return str(error)
