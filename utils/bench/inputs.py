"""Inputs of every system in the benchmark: the paper's sizes and two kinds of utterances.

Sizes: AT-AT, "Experimental Details". Weights and inputs are random: speed does not depend on what
was said. Outputs are forced to a number of steps, so that all systems do the same work.

Shapes: B utterances, T frames, F mel bins, U target tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

MEL_BINS, WIDTH, HEADS, FEED_FORWARD = 80, 256, 4, 2048
ENCODER_LAYERS, DECODER_LAYERS, VOCABULARY, BEAM = 12, 6, 5000, 4
FRAMES_PER_SECOND = 100
PIECES_PER_SECOND = 3  # of the words said


@dataclass(frozen=True)
class Kind:
    """Utterances of a kind: how many, how long, how many tokens come out."""

    name: str
    utterances: int
    seconds: tuple[float, float]
    tokens: int


COMMANDS = Kind("commands, 1 to 6 s", 32, (1.0, 6.0), 25)
LONG = Kind("LibriSpeech-like, 10 to 16 s", 16, (10.0, 16.0), 50)
KINDS = (COMMANDS, LONG)
RECORDINGS = 40  # for front ends
SAMPLE_RATE = 16000


def lengths(kind: Kind, count: int, seed: int = 0) -> Tensor:
    """(count,) frames, drawn evenly from the kind's range."""
    generator = torch.Generator().manual_seed(seed)
    low, high = (int(s * FRAMES_PER_SECOND) for s in kind.seconds)
    return torch.randint(low, high + 1, (count,), generator=generator)


def share(frames: Tensor, part: int, parts: int) -> Tensor:
    """(b,) numbers of the utterances that one of several processes is given: a like share."""
    return frames.argsort()[part::parts]


def pieces(frames: Tensor) -> Tensor:
    """(B,) frames of utterances -> (B,) word pieces of what was said in them."""
    return frames * PIECES_PER_SECOND // FRAMES_PER_SECOND


def features(frames: Tensor, device: torch.device, seed: int = 0) -> Tensor:
    """(B,) lengths -> random LFB (B, T, F), zero beyond them."""
    generator = torch.Generator().manual_seed(seed)
    longest = int(frames.max())
    x = torch.randn(len(frames), longest, MEL_BINS, generator=generator)
    inside = torch.arange(longest)[None] < frames[:, None]
    return (x * inside[:, :, None]).to(device)


def targets(count: int, tokens: int, device: torch.device, seed: int = 0) -> Tensor:
    """(count, tokens) random ids that are no special symbol."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(10, VOCABULARY, (count, tokens), generator=generator).to(device)


def by_length(frames: Tensor, size: int) -> list[Tensor]:
    """Indices (b,) of batches of at most `size` utterances of like length."""
    return list(frames.argsort().split(size))


def recordings() -> list[np.ndarray]:
    """Samples of noise, 1 to 16 s, float32 at 16 kHz."""
    rng = np.random.default_rng(0)
    return [
        (rng.standard_normal(int(seconds * SAMPLE_RATE)) * 0.1).astype(np.float32)
        for seconds in rng.uniform(1, 16, RECORDINGS)
    ]


def recordings_seconds() -> float:
    return sum(len(samples) for samples in recordings()) / SAMPLE_RATE
