"""Detects recordings without speech by their loudness alone.

A model trained on speech only finds words in any recording. Speech, however quiet, comes in
syllables: parts of it are far louder than others. So a recording counts as silence only if it is
quiet against digital full scale *and* even in itself, or so quiet that nothing is left in 16
bits. The model judges everything louder, speech or not.

Decibels are of the root mean square against a full-scale square wave, in blocks of 20 ms with
their mean subtracted.
"""

from __future__ import annotations

import numpy as np

BLOCK = 0.02  # s
SYLLABLE = 5  # blocks: sounds shorter than 0.1 s (a click, a key) are not speech
QUIET = -50.0  # dB: recordings louder than this never count as silence
# dB from the background to the loudest 0.1 s: noise of rooms and devices is below both limits;
# speech is above one of them unless it drowns in noise. The first is for the signal as it is, the
# second for the signal without bass, whose level varies (rumble has 10 dB, without bass 1).
EVEN, EVEN_ABOVE_BASS = 12.0, 3.0
NOTHING = -90.0  # dB: one step of 16 bits
SOUND, RISE, FAINT = 3, 6.0, 45.0  # blocks, dB, dB: where a sound begins


def is_silent(samples: np.ndarray, sample_rate: int) -> bool:
    """Whether samples (T,) in [-1, 1] hold no speech, judged by loudness."""
    loudest, background = _range(_levels(samples, sample_rate))
    if loudest >= QUIET or not len(samples):
        return False
    high, high_background = _range(_levels(np.diff(samples), sample_rate))
    even = loudest - background < EVEN and high - high_background < EVEN_ABOVE_BASS
    return loudest < NOTHING or even


def onset(samples: np.ndarray, sample_rate: int) -> float:
    """Seconds of background before the first sound in samples (T,); 0 if there is no telling.

    A sound lasts for three blocks, each `RISE` louder than the background and not `FAINT` softer
    than the loudest 0.1 s.
    """
    levels = _levels(samples, sample_rate)
    if len(levels) < SOUND:
        return 0.0
    loudest, background = _range(levels)
    loud = levels > max(background + RISE, loudest - FAINT)
    lasting = np.convolve(loud, np.ones(SOUND), "valid") == SOUND
    return float(lasting.argmax()) * BLOCK if lasting.any() else 0.0


def _range(levels: np.ndarray) -> tuple[float, float]:
    """Decibels of the loudest 0.1 s and of the background (nine in ten blocks are louder)."""
    levels = np.sort(levels)
    if not len(levels):
        return -np.inf, -np.inf
    return float(levels[-min(SYLLABLE, len(levels))]), float(levels[len(levels) // 10])


def _levels(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Decibels of each whole block; of all samples if there is no whole block."""
    size = max(1, min(round(BLOCK * sample_rate), len(samples)))
    blocks = samples[: len(samples) // size * size].astype(np.float64).reshape(-1, size)
    return 10 * np.log10(np.maximum(blocks.var(axis=1), 1e-20))
