"""What the CTC head hears, as the text encoder reads it: the bridge of `atat.nn.bridge`, in numpy.

Shapes: T states, U units of the head, S units heard, D width.
"""

from __future__ import annotations

import numpy as np

from atat.text.ctc_labels import BLANK
from atat.text.encoder_ids import OwnIds


def heard(log_probs: np.ndarray) -> np.ndarray:
    """log_probs (T, U) -> posteriors (S, U) of each unit heard.

    A unit is heard at neighbouring states where it is likeliest of all; its posteriors are their
    mean, without the blank.
    """
    best = log_probs.argmax(axis=1)
    said = best != BLANK
    begins = said & (best != np.concatenate([[BLANK], best[:-1]]))
    numbers = np.cumsum(begins) - 1  # of the unit, where one is said
    units = np.exp(log_probs)
    units[:, BLANK] = 0.0
    sums = np.zeros((int(begins.sum()), log_probs.shape[1]), log_probs.dtype)
    np.add.at(sums, numbers[said], units[said])
    return sums / np.maximum(sums.sum(axis=1, keepdims=True), 1e-6)


def embedded(log_probs: np.ndarray, table: np.ndarray, ids: OwnIds) -> np.ndarray:
    """log_probs (T, U), the embedding of the text encoder -> what it reads (S + 2, D)."""
    words = heard(log_probs) @ table[ids.of_units]
    return np.concatenate([table[ids.cls_id][None], words, table[ids.sep_id][None]])
