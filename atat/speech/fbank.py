"""Log-mel filterbank features (LFB) from samples, number for number as Kaldi computes them.

Source: Kaldi's `compute-fbank-feats` without dither: int16 scale, DC removal, pre-emphasis and
window frame by frame, power spectrum, mel triangles, logarithm with a floor. numpy only; knows
nothing of files, and draws nothing at random. `lfb(samples)` gives (T, 80).

T frames, F mel bins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

# Kaldi raises every mel energy to this before the logarithm.
ENERGY_FLOOR = np.finfo(np.float32).eps
# Every bin of a frame of digital silence.
LOG_FLOOR = float(np.log(ENERGY_FLOOR))
# Frames per FFT call: their spectra fit into the processor's cache.
BLOCK = 256
INT16_SCALE = 32768.0


@dataclass(frozen=True)
class Options:
    """Options of the features; the defaults are Kaldi's except for 80 bins and no dither."""

    sample_rate: int = 16000
    num_mels: int = 80
    frame_length: float = 0.025  # seconds
    frame_shift: float = 0.010  # seconds
    low_freq: float = 20.0  # Hz
    high_freq: float = 0.0  # Hz; 0 or less counts down from half the sample rate
    preemphasis: float = 0.97
    remove_dc: bool = True
    window: str = "povey"  # or hamming, hanning, rectangular
    snip_edges: bool = True  # only frames that fit inside; else T = T' / shift, edges mirrored
    use_energy: bool = False  # one more column, first: log energy of the frame
    htk_compat: bool = False  # the energy column comes last
    htk_mel: bool = False  # HTK leaves out the lowest FFT bin if low_freq > 0
    vtln_warp: float = 1.0  # vocal tract length: frequencies are warped by it
    vtln_low: float = 100.0  # Hz, below it the warp returns to the identity
    vtln_high: float = -500.0  # Hz, above it likewise; counts down like high_freq

    @property
    def length(self) -> int:
        """Length of a frame in samples."""
        return int(self.sample_rate * self.frame_length)

    @property
    def shift(self) -> int:
        """Samples from one frame to the next."""
        return int(self.sample_rate * self.frame_shift)

    @property
    def dim(self) -> int:
        """Columns of the features."""
        return self.num_mels + int(self.use_energy)


def lfb(samples: np.ndarray, options: Options = Options(), **changes: Any) -> np.ndarray:
    """Features (T, F) of samples (T',) in [-1, 1]; (0, F) when they are shorter than one frame.

    Computed and returned in the precision of the samples, float32 or float64. `changes` are
    fields of Options by name: lfb(samples, num_mels=40).
    """
    options = _changed(options, changes)
    assert samples.ndim == 1 and samples.dtype in (np.float32, np.float64), samples.dtype
    features = np.empty((num_frames(len(samples), options), options.dim), samples.dtype)
    frames = _frames(samples * samples.dtype.type(INT16_SCALE), options)
    # One buffer for all blocks: the zeros after the samples of a frame stay zero.
    padded = np.zeros((min(BLOCK, len(features)), _fft_size(options)), samples.dtype)
    for start in range(0, len(features), BLOCK):
        stop = start + BLOCK
        _lfb_block(frames[start:stop], options, padded, features[start:stop])
    return features


def num_frames(num_samples: int, options: Options = Options(), **changes: Any) -> int:
    """Number of frames T of so many samples."""
    options = _changed(options, changes)
    if not options.snip_edges:
        return (num_samples + options.shift // 2) // options.shift
    if num_samples < options.length:
        return 0
    return 1 + (num_samples - options.length) // options.shift


def frames_touching(
    start: float, end: float, options: Options = Options(), **changes: Any
) -> tuple[int, int]:
    """First frame, and the one after the last, whose window overlaps `start` to `end` (s).

    The second may be beyond the end of a recording; slicing cuts it off.
    """
    options = _changed(options, changes)
    # Rounding puts 0.3 s at sample 4800, where floating point gives 4799.999.
    first_sample = int(np.floor(round(start * options.sample_rate, 3)))
    end_sample = int(np.ceil(round(end * options.sample_rate, 3)))
    if end_sample <= first_sample:
        return 0, 0
    offset = _first_start(options)
    first = (first_sample - offset - options.length) // options.shift + 1
    last = -((offset - end_sample) // options.shift)
    return max(0, first), max(0, last)


def _changed(options: Options, changes: dict[str, Any]) -> Options:
    return replace(options, **changes) if changes else options


def _first_start(options: Options) -> int:
    """Sample at which the window of frame 0 starts."""
    return 0 if options.snip_edges else options.shift // 2 - options.length // 2


def _frames(samples: np.ndarray, options: Options) -> np.ndarray:
    """View (T, length) of all frames; without snip_edges the edges are mirrored."""
    if not options.snip_edges:
        before = -_first_start(options)
        needed = (num_frames(len(samples), options) - 1) * options.shift + options.length
        after = max(0, needed - before - len(samples))
        samples = np.pad(samples, (before, after), mode="symmetric") if len(samples) else samples
    if len(samples) < options.length:
        return np.empty((0, options.length), samples.dtype)
    return np.lib.stride_tricks.sliding_window_view(samples, options.length)[:: options.shift]


def _lfb_block(
    frames: np.ndarray, options: Options, padded: np.ndarray, features: np.ndarray
) -> None:
    """Features (t, F) of some frames (t, length), written in place; padded: room for them."""
    try:
        from scipy.fft import rfft  # twice as fast as numpy's for float32; slow to import
    except ImportError:  # on a device
        from numpy.fft import rfft
    kind = frames.dtype.type
    window, mels = _constants(options, kind)  # type: ignore[arg-type]  # a class is hashable
    if options.remove_dc:
        frames = frames - frames.mean(axis=1, keepdims=True)
    padded = padded[: len(frames)]
    inside = padded[:, : options.length]
    # As in Kaldi, the sample before the first is assumed equal to the first.
    np.multiply(frames[:, :-1], -options.preemphasis, out=inside[:, 1:])
    np.multiply(frames[:, 0], -options.preemphasis, out=inside[:, 0])
    inside += frames
    inside *= window
    spectrum = rfft(padded)
    power = np.square(spectrum.real)
    power += np.square(spectrum.imag)
    energies = power[:, :-1].astype(frames.dtype, copy=False) @ mels
    first = int(options.use_energy and not options.htk_compat)
    _log(energies, features[:, first : first + options.num_mels])
    if options.use_energy:
        column = features[:, -1] if options.htk_compat else features[:, 0]
        _log(np.einsum("tn,tn->t", frames, frames), column)


def _log(energies: np.ndarray, out: np.ndarray) -> None:
    np.maximum(energies, energies.dtype.type(ENERGY_FLOOR), out=energies)
    np.log(energies, out=out)


def _fft_size(options: Options) -> int:
    return 1 << (options.length - 1).bit_length()


@lru_cache(maxsize=8)
def _constants(options: Options, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Window (length,) and mel weights (fft size / 2, num_mels)."""
    return _window(options).astype(dtype), _mel_weights(options).astype(dtype)


def _window(options: Options) -> np.ndarray:
    phase = 2 * np.pi * np.arange(options.length) / (options.length - 1)
    hanning = 0.5 - 0.5 * np.cos(phase)
    windows = {
        "povey": hanning**0.85,
        "hanning": hanning,
        "hamming": 0.54 - 0.46 * np.cos(phase),
        "rectangular": np.ones(options.length),
    }
    return windows[options.window]


def _mel_weights(options: Options) -> np.ndarray:
    """Triangles (fft size / 2, num_mels), evenly spaced and straight-sided on the mel scale."""
    size = _fft_size(options)
    low, high = options.low_freq, _from_top(options.high_freq, options)
    corners = np.linspace(_mel(low), _mel(high), options.num_mels + 2)
    if options.vtln_warp != 1.0:
        corners = _mel(_warp(_hertz(corners), options))
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    mel = _mel(np.arange(size // 2) * options.sample_rate / size)[:, None]
    rising, falling = (mel - left) / (centre - left), (right - mel) / (right - centre)
    weights = np.maximum(0.0, np.minimum(rising, falling))
    if options.htk_mel and low > 0:
        weights[np.flatnonzero(weights[:, 0])[0], 0] = 0.0
    return weights


def _from_top(frequency: float, options: Options) -> float:
    return frequency if frequency > 0 else options.sample_rate / 2 + frequency


def _mel(hertz: Any) -> Any:
    return 1127.0 * np.log(1.0 + np.asarray(hertz) / 700.0)


def _hertz(mel: np.ndarray) -> np.ndarray:
    return 700.0 * np.expm1(mel / 1127.0)


def _warp(hertz: np.ndarray, options: Options) -> np.ndarray:
    """Kaldi's VTLN: divide by the factor in the middle, straight lines to fixed outer ends."""
    low, high = options.low_freq, _from_top(options.high_freq, options)
    lower = options.vtln_low * max(1.0, options.vtln_warp)
    upper = _from_top(options.vtln_high, options) * min(1.0, options.vtln_warp)
    ends = [low, lower, upper, high]
    images = [low, lower / options.vtln_warp, upper / options.vtln_warp, high]
    return np.interp(hertz, ends, images)
