"""The augmentation that the settings ask for, drawn again for every example.

Knows when each effect happens; the effects themselves are in `atat.speech.augment`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from atat.base.errors import InputError
from atat.speech import audio, augment
from atat.speech.settings import AugmentSettings


class Augmenter:
    """Applies the augmentation of the settings, in the order of the effects in a real room."""

    def __init__(self, settings: AugmentSettings) -> None:
        self.settings = settings
        self.noises: list[np.ndarray] = [
            audio.load(path, resample=True) for path in audio_files(settings.noise)
        ]

    def waveform(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Speed, spectral tilt, room, noise: (T,) -> (T',)."""
        settings = self.settings
        if settings.speeds:
            samples = augment.speed_perturb(samples, float(rng.choice(settings.speeds)))
        steps: list[tuple[float, Callable[..., np.ndarray]]] = [
            (settings.filter_probability, augment.random_filter),
            (settings.reverb_probability, augment.reverberate),
        ]
        for probability, step in steps:
            if rng.random() < probability:
                samples = step(samples, rng)
        return self._noisy(samples, rng)

    def _noisy(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        settings = self.settings
        if not (self.noises or settings.white_noise) or rng.random() >= settings.noise_probability:
            return samples
        if self.noises and (not settings.white_noise or rng.random() < 0.5):
            noise = augment.random_noise(rng, self.noises, len(samples))
        else:
            noise = augment.coloured_noise(rng, len(samples))
        low, high = settings.noise_snr
        return augment.add_noise(samples, noise, float(rng.uniform(low, high)))

    def features(self, features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """SpecAugment: (T, F) -> (T, F)."""
        settings = self.settings
        if not settings.time_masks and not settings.freq_masks:
            return features
        return augment.spec_augment(
            features,
            rng,
            time_masks=settings.time_masks,
            time_width=settings.time_mask_width,
            freq_masks=settings.freq_masks,
            freq_width=settings.freq_mask_width,
        )


def audio_files(paths: Sequence[str]) -> list[Path]:
    """Audio files given one by one or by their folder; InputError if there is none."""
    files: list[Path] = []
    for path in paths:
        found = audio_below(path)
        if not found:
            raise InputError(
                f"key augment.noise: {path}: no audio file there (wav, flac, opus, ogg)"
            )
        files.extend(found)
    return files


def audio_below(path: str) -> list[Path]:
    """The audio files below a folder; a file itself, if it is called like one."""
    found = sorted(Path(path).rglob("*")) if Path(path).is_dir() else [Path(path)]
    return [file for file in found if file.suffix.lower() in (".wav", ".flac", ".opus", ".ogg")]
