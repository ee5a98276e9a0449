"""Forced alignment with a packed model of ours: audio and text in, words with times out.

Loads the model, makes its features and runs its CTC head; `atat.nn.forced_alignment` finds the
path. Knows nothing of data dirs; `atat align --backend ctc` gives the utterances.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from atat.base.errors import InputError
from atat.datadir.ctm import NotAligned, Word
from atat.engine import model_folder
from atat.engine.contract import Encoded, Encodes, Recognizer
from atat.nn.forced_alignment import align_ctc
from atat.speech.frontend import Frontend

# Frames that all of ESPnet's encoders accept; with less, some raise an error of their own.
ESPNET_SHORTEST = 16


def has_ctc(packed: Any) -> bool:
    """Whether a packed model has a CTC head, which can align."""
    return getattr(packed, "units", None) is not None


class ModelAligner:
    """A packed model that has a CTC head."""

    def __init__(self, folder: str | Path, device: str = "cpu", packed: Any = None) -> None:
        """packed: the model of the folder, if it is loaded already.

        Raises InputError for a folder that is not a packed model, or one without the head.
        """
        found: Any = packed or model_folder.load(folder, device)
        if not has_ctc(found):
            raise InputError(
                f"{folder}: the model has no CTC head; train one with ctc.weight above 0"
            )
        self._model = found.model
        self._units = found.units
        self._device = device
        self._frontend: Frontend = found.frontend
        audio = found.settings.audio_encoder
        assert audio is not None, "a model with a CTC head has an audio encoder"
        # ESPnet's shortening layers give short recordings of a batch states of the padding, too.
        self._batched = audio.kind != "espnet"
        self._shortest = 1 if self._batched else ESPNET_SHORTEST
        # From the settings: the last state of a recording may cover fewer frames, and the ratio of
        # the numbers of frames and states would stretch the times of short recordings.
        self._frame_seconds = audio.subsampling * self._frontend.frame_shift

    def align(self, samples: Sequence[np.ndarray], texts: Sequence[str]) -> list[list[Word] | str]:
        """Words of each utterance with their times, or the reason why there are none.

        samples: recordings (T,) float32 at 16 kHz, encoded as one batch if the encoder allows it;
        texts: normalised.
        """
        return self.align_features([self._frontend(one) for one in samples], texts)

    def align_features(
        self, sources: Sequence[np.ndarray], texts: Sequence[str], encoded: Encoded | None = None
    ) -> list[list[Word] | str]:
        """As `align`, for features (T, F) of the model's own kind in the place of samples.

        encoded: what the model's encoder has already made of them, which saves the time where it
        is what would be made here.
        """
        alike = encoded is not None and encoded.precision == "fp32"
        if encoded is not None and alike and (self._batched or len(sources) == 1):
            read = self._heard(encoded.memory, encoded.lengths)
            return [self._path(*one) for one in zip(read, texts)]
        features = [torch.from_numpy(one) for one in sources]
        found: list[list[Word] | str] = [self._too_short(len(one)) for one in features]
        kept = [row for row, one in enumerate(features) if len(one) >= self._shortest]
        for rows in [kept] if self._batched else [[row] for row in kept]:
            for row, log_probs in zip(rows, self._log_probs([features[row] for row in rows])):
                found[row] = self._path(log_probs, texts[row])
        return found

    def _log_probs(self, features: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """(T', C) of each utterance, from features (T, F) encoded as one batch."""
        if not features:
            return []
        lengths = torch.tensor([len(one) for one in features])
        padded = torch.nn.utils.rnn.pad_sequence(list(features), batch_first=True)
        with torch.inference_mode():
            memory, states = self._model.encode(
                True, padded.to(self._device), lengths.to(self._device)
            )
        return self._heard(memory, states)

    def _heard(self, memory: torch.Tensor, lengths: torch.Tensor) -> list[torch.Tensor]:
        """memory (B, T', D), lengths (B,) -> log probabilities (T', C) of each."""
        with torch.inference_mode():
            log_probs = self._model.ctc.log_probs(memory).cpu()
        return [one[:length] for one, length in zip(log_probs, lengths.tolist())]

    def _too_short(self, frames: int) -> str:
        if not frames:
            return "the audio is shorter than one frame"
        return f"the audio has {frames} frames, the encoder takes {self._shortest} or more"

    def _path(self, log_probs: torch.Tensor, text: str) -> list[Word] | str:
        """log_probs (T, C) of one utterance."""
        try:
            return align_ctc(
                log_probs.numpy(),
                self._units.ids(text),
                self._units.pieces,
                self._frame_seconds,
                text.split(),
            )
        except NotAligned as error:
            return str(error)


class Heard:
    """Sources of a recognizer, encoded once for all that is searched in them and for the times."""

    def __init__(self, recognizer: Recognizer, sources: Sequence[np.ndarray], task: str) -> None:
        """task: one that reads sources of this kind. A system that cannot share its encoder's work
        (`Encodes`) does it again for each search."""
        self._sources = sources
        self._encoded: Encoded | None = None
        self._search = partial(recognizer.hypotheses, sources)
        if isinstance(recognizer, Encodes):
            self._encoded = recognizer.encode(sources, task)
            self._search = partial(recognizer.hypotheses, self._encoded)

    def hypotheses(self, task: str) -> list[list[dict[str, Any]]]:
        """Those of a task for each source, best first."""
        return self._search(task)

    def words(self, aligner: ModelAligner, texts: Sequence[str]) -> list[list[Word] | str]:
        """As `ModelAligner.align`; the aligner is one of the recognizer's model."""
        return aligner.align_features(self._sources, texts, self._encoded)
