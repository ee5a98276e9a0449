"""Finds where speech begins and ends in a stream of samples, block by block.

    segmenter = Segmenter(EnergyDetector())
    for block in blocks:                       # 512 samples at 16 kHz
        if (speech := segmenter.feed(block)) is not None:
            ...                                # the samples of one utterance

A detector says of each block whether it is speech: by energy, or by the network of silero-vad
(`SileroDetector`, from its ONNX file). `Segmenter` makes utterances of that: short sounds are
none, short pauses do not end one. Needs numpy alone, and onnxruntime for the network.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from atat.base import extras, onnx_files
from atat.base.errors import InputError
from atat.speech.audio import SAMPLE_RATE

BLOCK = 512  # samples, 32 ms: what silero-vad takes


class Detector(Protocol):
    """Judges blocks of a stream in their order."""

    def is_speech(self, block: np.ndarray) -> bool:
        """Whether a block (BLOCK,) is speech."""


class EnergyDetector:
    """Speech is what is well above the background, whose level is followed.

    The background's level falls with the quietest blocks at once, and rises slowly, so that a word
    is not taken for background but a fan that was switched on is, after a few seconds.
    """

    ABOVE = 9.0  # dB over the background
    LEAST = -55.0  # dB of full scale: what is quieter is no speech
    RISE = 3.0  # dB a second
    START = -50.0  # dB: the background is at most this loud until it is known

    def __init__(self) -> None:
        self._background: float | None = None

    def is_speech(self, block: np.ndarray) -> bool:
        level = 10 * np.log10(max(float(np.var(block.astype(np.float64))), 1e-10))
        if self._background is None:
            self._background = min(level, self.START)
        risen = self._background + self.RISE * len(block) / SAMPLE_RATE
        # Half of the way down: a single block that is quieter by chance is not the background.
        self._background = min(risen, (risen + level) / 2) if level < risen else risen
        return level > max(self._background + self.ABOVE, self.LEAST)


class SileroDetector:
    """The network of silero-vad (https://github.com/snakers4/silero-vad, MIT), from its ONNX file.

    Versions 4 (two states) and 5 and later (one state, and the last 64 samples before a block) are
    told apart by the inputs that the file names.
    """

    SPEECH = 0.5  # probability
    CONTEXT = 64  # samples

    def __init__(self, path: str | Path) -> None:
        if not Path(path).is_file():
            raise InputError(
                f"{path}: no such file; expected silero-vad's network (silero_vad.onnx, in the "
                "wheel of the package silero-vad), or leave it out: speech is then found by energy"
            )
        with extras.needed("encoders", by="silero-vad"):
            import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            onnx_files.refuse_other_files(path)
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except InputError:
            raise
        except Exception as error:  # onnxruntime has no class of its own for it
            raise InputError(f"{path}: cannot be read as ONNX ({error}); fetch it again") from None
        names = {one.name for one in self._session.get_inputs()}
        if {"input", "sr", "state"} <= names:
            self._states = {"state": np.zeros((2, 1, 128), np.float32)}
            self._context = np.zeros(self.CONTEXT, np.float32)
        elif {"input", "sr", "h", "c"} <= names:
            self._states = {name: np.zeros((2, 1, 64), np.float32) for name in "hc"}
            self._context = np.zeros(0, np.float32)
        else:
            raise InputError(
                f"{path}: not silero-vad's network (its inputs are {', '.join(sorted(names))}); "
                "expected silero_vad.onnx"
            )

    def is_speech(self, block: np.ndarray) -> bool:
        given = np.concatenate([self._context, block.astype(np.float32)])
        feed: dict[str, Any] = {"input": given[None], "sr": np.array(SAMPLE_RATE, np.int64)}
        said, *states = self._session.run(None, feed | self._states)
        self._states = dict(zip(self._states, states))
        self._context = given[len(given) - len(self._context) :]
        return float(np.ravel(said)[0]) >= self.SPEECH


@dataclass(frozen=True)
class Endpoints:
    """When an utterance begins and ends, in seconds."""

    least: float = 0.2  # speech that begins one: shorter sounds are clicks
    pause: float = 0.7  # without speech that ends it
    before: float = 0.3  # kept before its first speech
    after: float = 0.3  # kept behind its last
    longest: float = 30.0  # it is ended then, whatever is said

    def __post_init__(self) -> None:
        for name in ("least", "pause", "before", "after", "longest"):
            if not 0 <= getattr(self, name) <= 600:
                raise InputError(f"{name} is {getattr(self, name)}; expected seconds, 0 to 600")
        if self.after > self.pause:
            raise InputError(f"after ({self.after}) is more than pause ({self.pause}) s")


class Segmenter:
    """Makes utterances of a stream of blocks."""

    def __init__(self, detector: Detector, endpoints: Endpoints = Endpoints()) -> None:
        self._detector = detector
        self._seconds = endpoints
        waiting = _blocks(endpoints.before) + _blocks(endpoints.least)
        self._before: deque[tuple[np.ndarray, bool]] = deque(maxlen=max(waiting, 1))
        self._kept: list[np.ndarray] = []  # of the utterance that has begun
        self._quiet = 0  # blocks without speech at its end

    @property
    def speaking(self) -> bool:
        """Whether an utterance has begun and not ended."""
        return bool(self._kept)

    def feed(self, block: np.ndarray) -> np.ndarray | None:
        """A block (BLOCK,) -> the samples (T,) of the utterance that it ends, if it ends one."""
        speech = self._detector.is_speech(block)
        if not self._kept:
            self._before.append((block, speech))
            recent = [one for _, one in self._before][-2 * _blocks(self._seconds.least) :]
            if speech and sum(recent) >= _blocks(self._seconds.least):
                self._kept = [one for one, _ in self._before]
                self._before.clear()
                self._quiet = 0
            return None
        self._kept.append(block)
        self._quiet = 0 if speech else self._quiet + 1
        ended = self._quiet >= _blocks(self._seconds.pause)
        too_long = len(self._kept) >= _blocks(self._seconds.longest)
        return self.end() if ended or too_long else None

    def end(self) -> np.ndarray | None:
        """End the utterance now; None if none has begun. The next one has nothing of before."""
        self._before.clear()
        if not self._kept:
            return None
        surplus = self._quiet - _blocks(self._seconds.after)
        kept = self._kept[: len(self._kept) - max(surplus, 0)]
        self._kept, self._quiet = [], 0
        return np.concatenate(kept)


def _blocks(seconds: float) -> int:
    return max(1, round(seconds * SAMPLE_RATE / BLOCK))
