"""A system without learning, for what works with any of them: tones are understood by their pitch.

A tone above 1 kHz is [IN:HIGH [SL:TONE beep ] ], one below [IN:LOW [SL:TONE hum ] ]; the noisier it
is, the lower the score, and the oftener another answer is given. Sentences are understood by their
words. `save` writes a packed model of it, `tone` makes a recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from atat.datadir import contents
from atat.datadir.kaldi_dir import Utterance
from atat.engine import model_folder, plain, registry
from atat.speech import audio
from atat.text.tasks import Task

HIGH, LOW = "[IN:HIGH [SL:TONE beep ] ]", "[IN:LOW [SL:TONE hum ] ]"
SAID = {HIGH: "beep", LOW: "hum"}


class EchoRecognizer(plain.PlainRecognizer):
    def source(self, given: np.ndarray | str) -> np.ndarray:
        if isinstance(given, str):
            return np.array([ord(letter) for letter in given])
        return super().source(given)

    def read(self, utterance: Utterance, task: str) -> np.ndarray:
        return contents.read_recording(utterance)

    def hypotheses(self, sources: Sequence[np.ndarray], task: str) -> list[list[dict[str, Any]]]:
        return [self._answer(one, task) for one in sources]

    def _answer(self, source: np.ndarray, task: str) -> list[dict[str, Any]]:
        if task == "read":
            best, noise = (HIGH if "beep" in "".join(map(chr, source)) else LOW), 0.0
        else:
            loud = source[np.abs(source) > 0.05]
            crossings = np.diff(np.signbit(loud)).mean() * audio.SAMPLE_RATE / 2
            noise = float(np.abs(np.diff(source, 2)).mean() / np.abs(source).mean())
            best = HIGH if crossings > 1000 else LOW
        other = LOW if best == HIGH else HIGH
        texts = [SAID[best], SAID[other]] if task == "write" else [best, other]
        return [
            {"text": text, "score": score, "length": 4}
            for text, score in zip(texts, (-0.1 - noise, -1.0 - noise))
        ]


class Echo:
    name, files, optional_files = "echo", (), ()
    tasks = {
        one.name: one
        for one in (
            Task("listen", source="audio", target="semantics", masked=False),
            Task("write", source="audio", target="text", masked=False),
            Task("read", source="text", target="semantics", masked=False),
        )
    }
    recognizer = EchoRecognizer

    def load(self, folder: Path, about: dict[str, Any], device: torch.device) -> plain.PlainPacked:
        return packed(tuple(about["tasks"]))

    def hears(self, folder: Path) -> Literal["feats", "wav"]:
        return "wav"


def packed(tasks: tuple[str, ...] = ("listen", "write", "read")) -> plain.PlainPacked:
    return plain.PlainPacked(torch.nn.Linear(1, 1), tasks, system="echo")


def save(folder: Path, tasks: tuple[str, ...] = ("listen", "write", "read")) -> Path:
    """A packed model, of the tasks."""
    registry.register(Echo())  # type: ignore[arg-type]
    model_folder.save(folder, packed(tasks))
    return folder


def tone(hertz: float, seconds: float = 0.4, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Samples (T,) at 16 kHz."""
    time = np.arange(round(seconds * audio.SAMPLE_RATE)) / audio.SAMPLE_RATE
    rng = np.random.default_rng(seed)
    found = 0.3 * np.sin(2 * np.pi * hertz * time) + noise * rng.standard_normal(len(time))
    return found.astype(np.float32)
