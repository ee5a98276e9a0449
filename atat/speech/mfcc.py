"""Mel-frequency cepstral coefficients (MFCC) with their first and second differences, as Kaldi's.

Source: `compute-mfcc-feats` and `add-deltas` without dither: 23 log-mel energies of
`atat.speech.fbank`, orthonormal DCT, 13 coefficients, liftering, then the log energy of the frame
in the place of C0 (`use_energy`, Kaldi's default; its recipes switch it off). The differences are
weighted sums over 5 and 9 frames in which the first and last frame are repeated beyond the edges.
numpy only; knows nothing of files. `mfcc39(samples)` gives (T, 39).

T frames.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from atat.speech import fbank

NUM_MELS = 23
NUM_CEPS = 13
LIFTER = 22.0  # Q of 1 + Q / 2 sin(pi n / Q)
WINDOW = 2  # frames on each side of a difference
ORDER = 2  # differences of differences
DIM = NUM_CEPS * (ORDER + 1)


def mfcc(
    samples: np.ndarray, options: fbank.Options | None = None, *, num_ceps: int = NUM_CEPS
) -> np.ndarray:
    """Coefficients (T, num_ceps) of samples (T',) in [-1, 1]; T is 0 below one frame.

    options: of the filterbanks below; None: `default()`. Computed and returned in the precision of
    the samples, float32 or float64.
    """
    options = options or default()
    energies = fbank.lfb(samples, options)
    first = int(options.use_energy and not options.htk_compat)
    mels = energies[:, first : first + options.num_mels]
    found = mels @ _transform(options.num_mels, num_ceps).astype(samples.dtype)
    if options.use_energy:
        found[:, 0] = energies[:, -1 if options.htk_compat else 0]
    return found


def default() -> fbank.Options:
    """Kaldi's options of `compute-mfcc-feats`, without dither."""
    return fbank.Options(num_mels=NUM_MELS, use_energy=True)


def add_deltas(features: np.ndarray, order: int = ORDER, window: int = WINDOW) -> np.ndarray:
    """Features (T, F) with their differences beside them, (T, F * (order + 1))."""
    frames = len(features)
    if not frames:
        return np.tile(features, (1, order + 1))
    columns = [features]
    for kernel in _kernels(order, window)[1:]:
        reach = len(kernel) // 2
        padded = np.pad(features, ((reach, reach), (0, 0)), mode="edge")
        columns.append(
            sum(
                (weight * padded[at : at + frames] for at, weight in enumerate(kernel)),
                start=np.zeros_like(features),
            ).astype(features.dtype)
        )
    return np.concatenate(columns, axis=1)


def mfcc39(samples: np.ndarray) -> np.ndarray:
    """13 coefficients, 13 first and 13 second differences (T, 39) of samples (T',) in [-1, 1]."""
    return add_deltas(mfcc(samples))


@lru_cache(maxsize=4)
def _transform(num_mels: int, num_ceps: int) -> np.ndarray:
    """DCT and lifter in one matrix (num_mels, num_ceps)."""
    n, k = np.arange(num_mels)[:, None], np.arange(num_ceps)[None, :]
    dct = np.sqrt(2.0 / num_mels) * np.cos(np.pi / num_mels * (n + 0.5) * k)
    dct[:, 0] = np.sqrt(1.0 / num_mels)
    lifter = 1.0 + 0.5 * LIFTER * np.sin(np.pi * np.arange(num_ceps) / LIFTER)
    return np.asarray(dct * lifter)


@lru_cache(maxsize=4)
def _kernels(order: int, window: int) -> list[np.ndarray]:
    """Weights of the frames around one, for the features themselves and each difference."""
    slope = np.arange(-window, window + 1) / sum(j * j for j in range(-window, window + 1))
    kernels = [np.ones(1)]
    for _ in range(order):
        # Correlated, not convolved: frames later than the middle count as positive in each.
        kernels.append(np.convolve(kernels[-1], slope))
    return kernels
