"""Chunks of a stream in, answers out: whenever speech has ended it is decoded.

    listener = recognizer.listen(rate=48000)
    for chunk in microphone:                   # samples (T,), floats in [-1, 1] or integers
        for found in listener.feed(chunk):
            print(found.text)
    for found in listener.finish(): ...        # what was being said when the stream ended

The times of an answer count from the first of its own samples.

Knows nothing of models: it is given what answers to the samples of one utterance.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from atat.base.errors import InputError
from atat.speech import audio
from atat.speech.endpoint import BLOCK, Endpoints, EnergyDetector, Segmenter, SileroDetector
from atat.speech.given import samples_of
from atat.text.understanding import Understanding


class Listener:
    """One stream; not for several threads at once."""

    def __init__(
        self,
        answer: Callable[[np.ndarray], Understanding],
        *,
        rate: float = audio.SAMPLE_RATE,
        vad: str | Path | None = None,
        **endpoints: Any,
    ) -> None:
        """answer: of samples (T,) at 16 kHz; rate (Hz): of the chunks; vad: silero-vad's ONNX file;
        endpoints: fields of `atat.speech.endpoint.Endpoints`."""
        detector = EnergyDetector() if vad is None else SileroDetector(vad)
        try:
            seconds = Endpoints(**endpoints)
        except TypeError as error:
            raise InputError(f"listen: {error}; expected {', '.join(_FIELDS)}") from None
        self._segmenter = Segmenter(detector, seconds)
        self._answer = answer
        self._rate = rate
        self._rest = np.zeros(0, np.float32)  # samples that do not fill a block yet
        self._found: list[Understanding] = []  # answers that nobody has got yet
        self._resampler: Any = None
        if rate != audio.SAMPLE_RATE:
            import soxr

            samples_of(np.zeros(1, np.float32), rate=rate)  # a rate that is none is refused
            # One for the stream: resampling each chunk by itself would click at every seam.
            self._resampler = soxr.ResampleStream(rate, audio.SAMPLE_RATE, 1, quality="HQ")

    @property
    def speaking(self) -> bool:
        """Whether someone has begun to speak and not ended."""
        return self._segmenter.speaking

    def feed(self, chunk: np.ndarray, *, channel: int | None = None) -> list[Understanding]:
        """Answers to the utterances that end within this chunk; mostly none.

        chunk: samples (T,) or (T, channels), of any length. Raises InputError for what are no
        samples; the stream can go on, also after an answer that fails: the rest of its chunk is
        taken with the next one.
        """
        samples = samples_of(chunk, rate=audio.SAMPLE_RATE, channel=channel)
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
        self._take(samples)
        return self._answers()

    def finish(self) -> list[Understanding]:
        """Answers to what was being said when the stream ended; then it may begin anew."""
        if self._resampler is not None:
            last = self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)
            self._resampler.clear()
            self._take(last)
        self._take(np.zeros(-len(self._rest) % BLOCK, np.float32))
        speech = self._segmenter.end()
        if speech is not None:
            self._found.append(self._answer(speech))
        return self._answers()

    def _take(self, samples: np.ndarray) -> None:
        self._rest = np.concatenate([self._rest, samples])
        while len(self._rest) >= BLOCK:
            block, self._rest = self._rest[:BLOCK], self._rest[BLOCK:]
            speech = self._segmenter.feed(block)
            if speech is not None:
                self._found.append(self._answer(speech))

    def _answers(self) -> list[Understanding]:
        found, self._found = self._found, []
        return found


_FIELDS = tuple(Endpoints.__dataclass_fields__)
