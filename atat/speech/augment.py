"""Augmentation of waveforms and features: speed, noise, rooms, filters, SpecAugment.

Pure functions: all randomness comes from the caller's generator, and nothing is changed in
place. Knows no files and no settings. Samples are float (T,) at 16 kHz, features (T, F).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

SAMPLE_RATE = 16000
# Blocks that separate speech from pauses when its power is measured.
_BLOCK = SAMPLE_RATE // 50
_ACTIVE_RANGE = 1e-3  # a block 30 dB below the loudest ones is a pause


def speed_perturb(samples: np.ndarray, factor: float) -> np.ndarray:
    """Play `factor` times as fast: tempo and pitch change, (T,) becomes (T / factor,).

    Source: Ko et al., "Audio Augmentation for Speech Recognition", 2015, section 2.
    """
    if factor == 1.0:
        return samples
    import soxr

    return soxr.resample(samples, SAMPLE_RATE * factor, SAMPLE_RATE, quality="MQ")


def active_power(samples: np.ndarray) -> float:
    """Mean power of the parts of a recording that are not pauses; 0.0 for digital silence."""
    whole = len(samples) // _BLOCK * _BLOCK
    blocks = samples[:whole].reshape(-1, _BLOCK) if whole else samples[None]
    power = np.einsum("bn,bn->b", blocks, blocks, dtype=np.float64) / blocks.shape[1]
    loud = np.quantile(power, 0.95)
    # The mean over all is 0 if fewer than one block in twenty has any sound.
    return float(power[power >= loud * _ACTIVE_RANGE].mean())


def add_noise(samples: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Samples plus noise (T,) of the same length, scaled to the wanted signal-to-noise ratio.

    The ratio is the power of the speech outside its pauses to the mean power of the noise. If
    either is digital silence, there is no ratio and the samples are returned unchanged.
    """
    assert samples.shape == noise.shape, (samples.shape, noise.shape)
    signal = active_power(samples)
    power = float(np.mean(np.square(noise, dtype=np.float64)))
    if signal == 0.0 or power == 0.0:
        return samples
    scale = np.sqrt(signal / power * 10 ** (-snr_db / 10))
    return samples + noise * samples.dtype.type(scale)


def random_noise(
    rng: np.random.Generator, noises: Sequence[np.ndarray], num_samples: int
) -> np.ndarray:
    """A random piece (num_samples,) of one of the recordings; a short one is repeated."""
    noise = noises[int(rng.integers(len(noises)))]
    start = int(rng.integers(len(noise)))
    if start + num_samples <= len(noise):
        return noise[start : start + num_samples]
    return np.resize(np.roll(noise, -start), num_samples)


def coloured_noise(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Stationary noise (num_samples,) float32 of unit power, of a random colour white to brown."""
    size = 1 << max(1, num_samples - 1).bit_length()
    spectrum = np.fft.rfft(rng.standard_normal(size, dtype=np.float32))
    exponent = rng.uniform(0.0, 2.0)
    # Below 20 Hz nothing is audible, but most of the power of brown noise would be there.
    frequency = np.maximum(np.fft.rfftfreq(size, 1 / SAMPLE_RATE), 20.0)
    noise = np.fft.irfft(spectrum * frequency ** (-exponent / 2), size)[:num_samples]
    return (noise / np.sqrt(np.mean(noise**2))).astype(np.float32)


def lively_noise(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Noise (num_samples,) float32 of unit power as in a room where people work.

    `coloured_noise` that swells and ebbs by up to 10 dB within seconds, and in it things that
    clatter: up to six times a second two to five tones of 500 to 7,000 Hz that die away within 20
    to 250 ms, as struck dishes do; their peaks are up to 30 dB above the noise.
    """
    time = np.arange(num_samples) / SAMPLE_RATE
    knots = np.arange(0.0, num_samples / SAMPLE_RATE + 1.0, 0.5)
    level_db = np.interp(time, knots, rng.uniform(-10.0, 0.0, len(knots)))
    noise = coloured_noise(rng, num_samples) * 10 ** (level_db / 20)
    loudest = rng.uniform(10.0, 30.0)
    for _ in range(rng.poisson(rng.uniform(0.0, 6.0) * num_samples / SAMPLE_RATE)):
        start = int(rng.integers(num_samples))
        decay = rng.uniform(0.02, 0.25)  # s until it is 60 dB softer
        after = time[: min(num_samples - start, int(decay * SAMPLE_RATE))]
        struck = np.zeros(len(after))
        for _ in range(int(rng.integers(2, 6))):
            frequency = np.exp(rng.uniform(np.log(500.0), np.log(7000.0)))
            struck += np.sin(2 * np.pi * (frequency * after + rng.random()))
        level = 10 ** (rng.uniform(0.0, loudest) / 20)
        noise[start : start + len(after)] += (
            level * struck * np.exp(-np.log(1000.0) * after / decay)
        )
    return (noise / np.sqrt(np.mean(noise**2))).astype(np.float32)


def reverberate(
    samples: np.ndarray,
    rng: np.random.Generator,
    *,
    decay: tuple[float, float] = (0.1, 0.6),
    direct_db: tuple[float, float] = (0.0, 15.0),
) -> np.ndarray:
    """The recording in a room: (T,) to (T,), of the same power, not delayed.

    The room is noise under an exponential (Polack's model of late reverberation, 1988): `decay` is
    the range of its RT60 (s), `direct_db` that of the ratio of direct to reverberant energy (dB).
    """
    rt60 = rng.uniform(*decay)
    times = np.arange(1, int(rt60 * SAMPLE_RATE) + 1) / SAMPLE_RATE
    tail = rng.standard_normal(len(times)) * np.exp(-np.log(1000.0) * times / rt60)
    tail *= 10 ** (-rng.uniform(*direct_db) / 20) / np.sqrt(np.sum(tail**2))
    response = np.concatenate([[1.0], tail])
    size = 1 << (len(samples) + len(response) - 1).bit_length()
    product = np.fft.rfft(samples, size) * np.fft.rfft(response.astype(np.float32), size)
    return _with_power_of(samples, np.fft.irfft(product, size)[: len(samples)])


def random_filter(
    samples: np.ndarray,
    rng: np.random.Generator,
    *,
    max_db: float = 8.0,
    band_limit: float = 0.3,
) -> np.ndarray:
    """Another microphone: (T,) to (T,) through a smooth random response, of the same power.

    Up to `max_db` up or down at seven frequencies, straight lines in between on a logarithmic
    scale; with probability `band_limit` also only the band of a poor microphone or a telephone.
    """
    knots = np.geomspace(60.0, SAMPLE_RATE / 2, 7)
    gains = rng.uniform(-max_db, max_db, len(knots))
    limited = rng.random() < band_limit
    low, high = rng.uniform(80.0, 400.0), rng.uniform(3000.0, 7000.0)
    # The padding holds what a zero-phase filter spreads beyond the ends.
    size = 1 << (len(samples) + 1024 - 1).bit_length()
    frequency = np.maximum(np.fft.rfftfreq(size, 1 / SAMPLE_RATE), 1.0)
    response_db = np.interp(np.log(frequency), np.log(knots), gains)
    if limited:
        # 24 dB an octave outside the band, as a simple analogue filter has it.
        outside = np.maximum(np.log2(low / frequency), np.log2(frequency / high))
        response_db -= 24.0 * np.maximum(outside, 0.0)
    response = 10 ** (np.maximum(response_db, -100.0) / 20)
    spectrum = np.fft.rfft(samples, size) * response.astype(np.float32)
    return _with_power_of(samples, np.fft.irfft(spectrum, size)[: len(samples)])


def random_gain(
    samples: np.ndarray, rng: np.random.Generator, *, decibel: tuple[float, float] = (-12.0, 6.0)
) -> np.ndarray:
    """The recording (T,) made louder or softer, never clipped."""
    gain = 10 ** (rng.uniform(*decibel) / 20)
    peak = float(np.abs(samples).max(initial=0.0))
    return samples * samples.dtype.type(min(gain, max(1.0, 1.0 / peak)) if peak else gain)


def spec_augment(
    features: np.ndarray,
    rng: np.random.Generator,
    *,
    time_masks: int = 0,
    time_width: int = 20,
    freq_masks: int = 0,
    freq_width: int = 16,
    max_time_share: float = 0.2,
) -> np.ndarray:
    """Features (T, F) with random bands of frames and of mel bins set to the bins' means.

    Each mask is 0 to `time_width` frames (`freq_width` bins) wide; a mask in time covers at most
    `max_time_share` of the utterance. Without time warping.
    Source: Park et al., "SpecAugment", 2019, section 2.
    """
    frames, bins = features.shape
    masked = features.copy()
    if not frames:
        return masked
    means = features.mean(axis=0)
    for _ in range(time_masks):
        start, end = _band(rng, frames, min(time_width, int(max_time_share * frames)))
        masked[start:end] = means
    for _ in range(freq_masks):
        start, end = _band(rng, bins, min(freq_width, bins))
        masked[:, start:end] = means[start:end]
    return masked


def mask_frames(features: np.ndarray, spans: Iterable[tuple[int, int]], value: float) -> np.ndarray:
    """Features (T, F) with the frames of some spans (first, one after the last) set to `value`."""
    masked = features.copy()
    for first, last in spans:
        masked[first:last] = value
    return masked


def _band(rng: np.random.Generator, size: int, max_width: int) -> tuple[int, int]:
    """A random stretch of at most `max_width` within `size`, as (start, end)."""
    width = int(rng.integers(max_width + 1))
    start = int(rng.integers(size - width + 1))
    return start, start + width


def _with_power_of(samples: np.ndarray, changed: np.ndarray) -> np.ndarray:
    before = np.mean(np.square(samples, dtype=np.float64))
    after = np.mean(np.square(changed, dtype=np.float64))
    scale = np.sqrt(before / after) if after > 0 else 1.0
    return (changed * scale).astype(samples.dtype)
