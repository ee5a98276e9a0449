"""Settings of augmentation: the keys of `augment:` in a conf. Only values."""

from __future__ import annotations

from dataclasses import dataclass

from atat.base.errors import InputError
from atat.base.limits import at_least


@dataclass(frozen=True)
class AugmentSettings:
    """atat/speech/augment.py; drawn again for every example and epoch. All off by default."""

    # SpecAugment: how many masks, and how wide at most, in frames (10 ms; those of a pretrained
    # encoder are longer) and in mel bins.
    time_masks: int = 0
    time_mask_width: int = 20
    freq_masks: int = 0
    freq_mask_width: int = 16
    speeds: tuple[float, ...] = ()  # e.g. [0.9, 1.0, 1.1]; needs features: wav
    noise: tuple[str, ...] = ()  # audio files or folders of them; needs features: wav
    noise_probability: float = 0.5
    noise_snr: tuple[float, ...] = (5.0, 25.0)  # dB, from .. to
    white_noise: bool = False  # stationary noise of random colour, if there are no recordings
    reverb_probability: float = 0.0  # a synthetic room; needs features: wav
    filter_probability: float = 0.0  # a random tilt of the spectrum; needs features: wav

    def __post_init__(self) -> None:
        for name in ("noise_probability", "reverb_probability", "filter_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}; expected 0 to 1")
        at_least(0, time_masks=self.time_masks, time_mask_width=self.time_mask_width)
        at_least(0, freq_masks=self.freq_masks, freq_mask_width=self.freq_mask_width)
        if any(speed <= 0 for speed in self.speeds):
            raise InputError(
                f"speeds are {list(self.speeds)}; expected factors above 0, such as 0.9"
            )
        if len(self.noise_snr) != 2:
            raise InputError(f"noise_snr has {len(self.noise_snr)} values; expected from and to")

    @property
    def needs_waveform(self) -> bool:
        return bool(
            self.speeds
            or self.noise
            or self.white_noise
            or self.reverb_probability
            or self.filter_probability
        )
