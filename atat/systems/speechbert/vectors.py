"""Vectors of spoken words by the frozen encoder, computed once and kept (`engine.stored`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from atat.datadir.kaldi_dir import Utterance
from atat.engine.stored import Stored
from atat.nn.segment_autoencoder import SegmentEncoder
from atat.systems.speechbert.spoken import Frames, Spoken


class Vectors(Stored):
    """Those of one encoder, (W, H) float32 for the W words of each utterance."""

    what, key = "vectors of spoken words", "stored"

    def __init__(self, encoder: SegmentEncoder, folder: Path, spoken: Spoken) -> None:
        super().__init__(encoder, folder)
        self.encoder, self.spoken = encoder, spoken

    def names(self, data: str, utterances: Sequence[Utterance]) -> dict[str, str]:
        """Utterance id -> the name of its words' frames."""
        return {one.id: self.spoken.name(one) for one in utterances}

    def frames(self, utterance: Utterance) -> int:
        """Of its words."""
        return self.spoken.length(utterance)

    def made(self, utterances: Sequence[Utterance]) -> list[np.ndarray]:
        """The vectors of each."""
        return encoded(self.encoder, [self.spoken.read(one) for one in utterances])


def encoded(encoder: SegmentEncoder, given: Sequence[Frames]) -> list[np.ndarray]:
    """The vectors (W, H) of the words of each utterance."""
    device = next(encoder.parameters()).device
    frames = torch.from_numpy(np.concatenate([one.frames for one in given]))
    sizes = torch.from_numpy(np.concatenate([one.sizes for one in given]))
    with torch.inference_mode():
        found = encoder(frames.to(device), sizes.to(device)).float().cpu().numpy()
    ends = np.cumsum([len(one.sizes) for one in given])[:-1]
    return [np.ascontiguousarray(rows) for rows in np.split(found, ends)]
