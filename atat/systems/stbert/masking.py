"""What is masked of a pair of speech and text, and what is to be predicted.

A phoneme lasts several frames, and beside a masked frame its neighbours would tell it: so all
frames of a phoneme are masked or none (Kim et al. 2021, section 3.2.1). Which frames are of one
phoneme the alignment says; where there is none, equal labels side by side do. Each phoneme and each
word piece is masked with the same probability, always by [MASK].

Shapes: N frames, U word pieces.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from atat.systems.stbert.curriculum import MLM, TO_SPEECH, TO_TEXT
from atat.text.labels import UNKNOWN

IGNORED = UNKNOWN  # a target that is not predicted


class Masks(NamedTuple):
    """True: masked, and to be predicted."""

    frames: np.ndarray  # (N,)
    pieces: np.ndarray  # (U,)


def spans(labels: np.ndarray, aligned: np.ndarray) -> np.ndarray:
    """The number (N,) of the phoneme that each frame is of, from 0 on.

    aligned: (N,) the number of the aligned phone that a frame lies in; below 0: in none.
    """
    if not len(labels):
        return np.zeros(0, dtype=np.int64)
    new = np.diff(aligned) != 0
    new |= (np.diff(labels) != 0) & (aligned[1:] < 0)
    return np.concatenate([[0], np.cumsum(new)])


def drawn(phonemes: np.ndarray, pieces: int, share: float, rng: np.random.Generator) -> Masks:
    """Masks of whole phonemes, given by `spans`, and of pieces, a share of each."""
    count = int(phonemes[-1]) + 1 if len(phonemes) else 0
    return Masks((rng.random(count) < share)[phonemes], rng.random(pieces) < share)


def of_objective(objective: str, partly: Masks) -> Masks:
    """The masks of an objective; `partly` are those drawn for `mlm`."""
    frames, pieces = partly
    return {
        MLM: partly,
        TO_TEXT: Masks(np.zeros_like(frames), np.ones_like(pieces)),
        TO_SPEECH: Masks(np.ones_like(frames), np.zeros_like(pieces)),
    }[objective]
