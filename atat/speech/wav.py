"""Wav files of 16 bits with nothing but Python's own library, where soundfile is not installed.

The part of `soundfile.SoundFile` that `atat.speech.audio` uses. Knows no other format.
"""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np

from atat.base.errors import InputError

SCALE = 32768.0


class Wav:
    """A wav file of 16 bits, open for reading."""

    subtype = "PCM_16"

    def __init__(self, source: str | Path | io.BytesIO, name: str) -> None:
        """name: for messages. Raises InputError for anything else."""
        try:
            self._stream = wave.open(source if isinstance(source, io.BytesIO) else str(source))
        except (wave.Error, EOFError, RuntimeError) as error:  # the last beyond a chunk's end
            raise InputError(_refusal(name, str(error) or "it ends too early")) from None
        bits = 8 * self._stream.getsampwidth()
        if bits != 16:
            self._stream.close()
            raise InputError(_refusal(name, f"a wav of {bits} bits"))
        self.frames = self._stream.getnframes()
        self.samplerate = self._stream.getframerate()
        self.channels = self._stream.getnchannels()
        if self.samplerate < 1:
            self.close()
            raise InputError(_refusal(name, f"a wav of {self.samplerate} samples a second"))

    def __enter__(self) -> Wav:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def read(self, first: int, last: int) -> np.ndarray:
        """Samples (last - first, channels), fewer if the file ends before, float32 in [-1, 1]."""
        self._stream.setpos(first)
        content = self._stream.readframes(last - first)
        whole = len(content) - len(content) % (2 * self.channels)  # it may end within a frame
        values = np.frombuffer(content[:whole], "<i2")
        return (values / SCALE).astype(np.float32).reshape(-1, self.channels)


def _refusal(name: str, found: str) -> str:
    return (
        f"{name}: {found}; without the package soundfile only wav files of 16 bits can be read: "
        "convert it, or pip install soundfile"
    )
