"""The graphs of an exported model in onnxruntime: encoders, and the decoder a step at a time.

Each graph is opened when it is first needed. Everything is about one utterance.

Shapes: T frames, F values of a frame, S states, D width, U units, V vocabulary, K hypotheses, E
entries of the decoder's cache, which all hypotheses share (`atat.nn.decoder_cache`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from atat.base import extras
from atat.runtime import description
from atat.runtime.description import OF_MEMORY, PAST, PRESENT, Description
from atat.speech.moonshine import session

NEVER = np.float32(-np.inf)
ROOM = 32  # steps for which the history is allocated at a time

KeysValues = Mapping[str, Any]  # name -> OrtValue


class Graphs:
    """The graphs of a folder."""

    def __init__(self, folder: Path, about: Description, threads: int = 1) -> None:
        self.folder, self.about = folder, about
        with extras.needed("encoders", by="an exported model"):
            import onnxruntime
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads
        self._options.inter_op_num_threads = 1
        self._value = onnxruntime.OrtValue.ortvalue_from_numpy

    def audio(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """frames (T, F) -> memory (S, D), log probabilities (S, U) of a CTC head."""
        found = self._audio.run(None, {"frames": frames[None], "lengths": _length(frames)})
        return found[0][0], found[2][0] if len(found) > 2 else None

    def text(self, embedded: np.ndarray) -> np.ndarray:
        """embedded (S, D) -> memory (S, D)."""
        inputs = {"embedded": embedded[None], "lengths": _length(embedded)}
        return self._text.run(None, inputs)[0][0]

    def command(self, samples: np.ndarray) -> np.ndarray:
        """samples (T,) float32 -> log probabilities (values,) of those of all fields."""
        found: np.ndarray = self._command.run(None, {"samples": samples[None]})[0][0]
        return found

    def keys_values(self, memory: np.ndarray) -> KeysValues:
        """memory (S, D) -> what the decoder attends to."""
        found = self._memory.run_with_ort_values(None, {"memory": self._value(memory[None])})
        return dict(zip(self.about.entries(OF_MEMORY), found))

    def decoding(self, memory: np.ndarray, beam: int) -> Decoding:
        """The decoder over memory (S, D), before its first step."""
        return Decoding(self._step, self.about, self.keys_values(memory), beam, self._value)

    @cached_property
    def _audio(self) -> Any:
        return self._open(description.AUDIO)

    @cached_property
    def _command(self) -> Any:
        return self._open(description.COMMANDS)

    @cached_property
    def _text(self) -> Any:
        return self._open(description.TEXT)

    @cached_property
    def units(self) -> np.ndarray:
        """The embedding of the text encoder's units (U, D)."""
        return np.load(self.folder / description.UNITS, allow_pickle=False)

    @cached_property
    def _memory(self) -> Any:
        return self._open(description.MEMORY)

    @cached_property
    def _step(self) -> Any:
        return self._open(description.STEP)

    def _open(self, name: str) -> Any:
        fix = "copy the folder again, or export the model again"
        return session(self.folder / name, self._options, name, fix)


class Decoding:
    """The decoder and its cache: what `atat.runtime.search` asks for the next tokens."""

    def __init__(
        self, step: Any, about: Description, memory: KeysValues, beam: int, value: Any
    ) -> None:
        """step: the graph; value: makes an OrtValue of an array."""
        self._session, self._memory, self.beam, self._value = step, memory, beam, value
        self._past_names = about.entries(PAST)
        self._outputs = ["log_probs", *about.entries(PRESENT)]
        empty = np.zeros((1, about.heads, 0, about.width), np.float32)
        self._past: Sequence[Any] = [value(empty) for _ in self._past_names]
        self._position = 0
        # (K, entries): 0 if an entry is in a hypothesis' history, else -inf
        self._history = np.full((beam, 0), NEVER)

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """Last tokens (K,) int64 -> log probabilities of the next (K, V) float32."""
        first = self._position * self.beam
        entries = first + self.beam
        if first == self._history.shape[1]:
            more = np.full((self.beam, ROOM * self.beam), NEVER)
            self._history = np.concatenate([self._history, more], axis=1)
        np.fill_diagonal(self._history[:, first:entries], 0.0)
        inputs = {
            "tokens": self._value(tokens),
            "position": self._value(np.array([self._position], np.int64)),
            "history": self._value(np.ascontiguousarray(self._history[:, :entries])),
            **self._memory,
            **dict(zip(self._past_names, self._past)),
        }
        log_probs, *self._past = self._session.run_with_ort_values(self._outputs, inputs)
        self._position += 1
        found: np.ndarray = log_probs.numpy()
        return found

    def reorder(self, hypotheses: np.ndarray) -> None:
        """Row i continues the former row hypotheses[i]; (K,)."""
        self._history = self._history[hypotheses]


def _length(rows: np.ndarray) -> np.ndarray:
    return np.array([len(rows)], np.int64)
