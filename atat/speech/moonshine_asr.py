"""Moonshine's own recogniser: the words that its decoder writes for the encoder's states.

Greedy, with cached keys and values, and at most 6.5 tokens for a second of audio, so that it ends
in noise too (Jeffries et al. 2024). It writes as people do, with capitals, figures and
punctuation.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from atat.base.encoder_files import checked
from atat.base.errors import InputError
from atat.speech import audio, convolutions
from atat.speech.moonshine import CONVOLUTIONS, Moonshine, open_session

FILE, VOCABULARY = "decoder_model_merged.ort", "tokenizer.bin"
BOS, EOS = 1, 2
LAYERS, HEADS, WIDTH = 6, 8, 36
TOKENS_PER_SECOND = 6.5
SHIFT = convolutions.shift(CONVOLUTIONS)  # samples of a state


class Written(NamedTuple):
    """What the decoder wrote."""

    tokens: list[int]  # without start and end
    log_prob: float  # of the tokens and, if it came to it, the end
    at_limit: bool  # the limit on the length ended it, not the decoder

    @property
    def mean(self) -> float:
        """Log probability of a token, the end included."""
        return self.log_prob / max(1, len(self.tokens) + (not self.at_limit))


class MoonshineRecognizer:
    """Samples -> words, from the files fetched with an encoder."""

    def __init__(self, name: str, threads: int = 1) -> None:
        """name: of the encoder. Raises InputError for files that are missing or cannot be read."""
        folder = checked(name)
        self.encoder = Moonshine(name, folder, threads)
        self._session = open_session(folder / FILE, threads, name)
        self._pieces = read_vocabulary(folder / VOCABULARY)

    def __call__(self, samples: np.ndarray) -> Written:
        """Samples (T,) float32 at 16 kHz -> tokens; none for less than one state."""
        states = self.encoder(samples)
        if not len(states):
            return Written([], 0.0, at_limit=False)
        most = int(np.ceil(len(samples) / audio.SAMPLE_RATE * TOKENS_PER_SECOND)) + 1
        return self._decode(states, most)

    def text_of(self, tokens: list[int]) -> str:
        """Tokens as text: pieces are bytes, a low line above the base line is a blank."""
        joined = b"".join(self._pieces[token] for token in tokens)
        return joined.decode("utf-8", errors="replace").replace("\u2581", " ").strip()

    def _decode(self, states: np.ndarray, most: int) -> Written:
        empty = np.zeros((1, HEADS, 0, WIDTH), np.float32)
        past = {
            f"past_key_values.{layer}.{part}.{kind}": empty
            for layer in range(LAYERS)
            for part in ("decoder", "encoder")
            for kind in ("key", "value")
        }
        names = ["logits", *(name.replace("past_key_values", "present") for name in past)]
        fixed = {
            "encoder_hidden_states": states[None],
            # The graph takes every 384th of it, as of a mask over samples.
            "encoder_attention_mask": np.ones((1, len(states) * SHIFT), np.int64),
        }
        tokens: list[int] = []
        score, token = 0.0, BOS
        for step in range(most):
            inputs = {
                **fixed,
                **past,
                "input_ids": np.array([[token]], np.int64),
                "use_cache_branch": np.array([step > 0]),
            }
            logits, *present = self._session.run(names, inputs)
            for name, value in zip(past, present):
                if ".decoder." in name or step == 0:  # those of the encoder stay as they are
                    past[name] = value
            last = logits[0, -1].astype(np.float64)
            token = int(last.argmax())
            score += float(last[token] - last.max() - np.log(np.exp(last - last.max()).sum()))
            if token == EOS:
                return Written(tokens, score, at_limit=False)
            tokens.append(token)
        return Written(tokens, score, at_limit=True)


def read_vocabulary(path: Path) -> list[bytes]:
    """The pieces of tokenizer.bin: each a length (one byte below 128, else two) and its bytes."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    pieces, at = [], 0
    while at < len(data):
        length, at = data[at], at + 1
        if length >= 128 and at < len(data):
            length, at = (length - 128) + data[at] * 128, at + 1
        if at + length > len(data):
            raise InputError(f"{path}: torn at byte {at}; get the encoder again")
        pieces.append(data[at : at + length])
        at += length
    return pieces
