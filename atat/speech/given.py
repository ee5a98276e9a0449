"""Recordings as callers give them (a path, bytes, an array of any common kind) as samples.

Whatever cannot be taken as it is, is refused in a sentence that says what to do: nothing is
guessed, since a wrong rate or scale is heard as nonsense, not seen as an error.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from atat.base.errors import InputError
from atat.speech import audio

Given = str | Path | bytes | np.ndarray
# Integers that recordings are stored as: their zero, and what full scale is.
_SCALES = {"int16": (0, 32768.0), "int32": (0, 2147483648.0), "uint8": (128, 128.0)}
RATES = (1000.0, 1e6)  # Hz


def samples_of(
    given: Given,
    *,
    rate: float | None = None,
    channel: int | None = None,
    longest: float = 0.0,
    name: str = "the recording",
) -> np.ndarray:
    """Samples (T,) float32 in [-1, 1] at 16 kHz.

    given: the path of a recording, the bytes of one, or samples (T,) or (T, channels) as floats
    in [-1, 1] or as integers of 16, 32 or (unsigned) 8 bits. rate: of samples, in Hz (floats:
    16,000 if not given). channel: which of several, from 0. longest: seconds; 0: any number.
    name: of bytes, for messages. Raises InputError.
    """
    if isinstance(given, (str, Path, bytes)):
        if rate is not None:
            raise InputError("the rate is for samples; a file says its own")
        source = io.BytesIO(given) if isinstance(given, bytes) else given
        title = title_of(given, name)
        if isinstance(source, io.BytesIO):
            if not given:
                raise InputError(f"{name}: is empty (0 bytes); send a wav, flac, ogg or opus")
        info = audio.probe(source, name=title)
        _check_length(title, info.duration, longest)
        return audio.load(source, resample=True, channel=channel, name=title)
    samples, from_rate = _of_array(given, rate, channel)
    _check_length("the recording", len(samples) / from_rate, longest)
    audio.check_samples("samples", samples, int(from_rate))
    if from_rate == audio.SAMPLE_RATE or not len(samples):
        return samples
    return audio.resample(samples, from_rate, audio.SAMPLE_RATE)


def title_of(given: Given, name: str = "the recording") -> str:
    """What messages call a recording: its path, or `name` where it has none."""
    return str(given) if isinstance(given, (str, Path)) else name


def check_longest(seconds: float) -> None:
    """Raise InputError for a limit that is none; 0 is no limit."""
    if not seconds >= 0:  # nor NaN
        raise InputError(f"longest is {seconds:g}; expected seconds, or 0 for any length")


def _check_length(name: str, seconds: float, longest: float) -> None:
    if 0 < longest < seconds:
        raise InputError(
            f"{name}: lasts {seconds:.0f} s, up to {longest:g} s are understood at once; cut it at "
            "its pauses (in Python: recognizer.listen), or raise the limit (longest=, --longest)"
        )


def _of_array(given: Any, rate: float | None, channel: int | None) -> tuple[np.ndarray, float]:
    """Samples (T,) as floats, and their rate."""
    if not isinstance(given, np.ndarray):
        raise InputError(
            "expected the path of a recording, its bytes or a numpy array, found "
            f"{type(given).__name__}; make an array of it: numpy.asarray(samples)"
        )
    found = f"found {given.dtype} {given.shape}"
    scale = _SCALES.get(given.dtype.name)
    if scale is None and not np.issubdtype(given.dtype, np.floating):
        raise InputError(
            f"expected samples in [-1, 1] as floats, or integers of 16, 32 or unsigned 8 bits, "
            f"{found}; convert them: (samples / FULL_SCALE).astype('float32')"
        )
    if scale is not None and rate is None:
        raise InputError(f"integers come without a rate ({found}); give it: rate=44100, say")
    samples = _one_channel(given, channel, found)
    hertz = _rate(rate)
    if scale is None:
        return samples.astype(np.float32, copy=False), hertz
    zero, full = scale
    return ((samples.astype(np.float64) - zero) / full).astype(np.float32), hertz


def _one_channel(given: np.ndarray, channel: int | None, found: str) -> np.ndarray:
    if given.ndim == 1:
        if channel not in (None, 0):
            raise InputError(f"there is no channel {channel}, {found} has one")
        return given
    if given.ndim != 2:
        raise InputError(f"expected samples (T,) or (T, channels), {found}")
    count = given.shape[1]
    if count > 64 and given.shape[0] <= 64:
        raise InputError(f"expected samples (T, channels), {found}; turn it: samples.T")
    if channel is None and count > 1:
        raise InputError(
            f"{found}: {count} channels; choose one, channel=0, or mix them: samples.mean(axis=1)"
        )
    if not 0 <= (channel or 0) < count:
        raise InputError(f"there is no channel {channel}, {found}: they are 0 to {count - 1}")
    return np.ascontiguousarray(given[:, channel or 0])


def _rate(rate: Any) -> float:
    if rate is None:
        return audio.SAMPLE_RATE
    numbers = (int, float, np.integer, np.floating)
    if isinstance(rate, bool) or not isinstance(rate, numbers) or not RATES[0] <= rate <= RATES[1]:
        raise InputError(f"rate is {rate!r}, expected Hz, such as 8000 or 44100")
    return float(rate)
