"""The front end of an audio encoder: what turns samples into the frames that it reads.

`Lfb` computes filterbanks; the others are pretrained speech encoders, whose hidden states (one
every 20 ms or so) take the filterbanks' place: `find("moonshine-tiny")`. Everything that counts
frames (masks, alignments, budgets, seconds) asks the front end for them.

T' samples, T frames, F values of a frame. A front end encodes one recording at a time, so that
what it gives does not depend on a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from atat.base.encoder_files import PUBLISHED, Origin, folder_of, read_origin
from atat.base.errors import InputError
from atat.base.json_file import read_object
from atat.speech import audio, fbank

LFB = "lfb"


class Frontend(Protocol):
    """Samples (T',) float32 at 16 kHz -> frames (T, F) float32."""

    @property
    def kind(self) -> str:
        """Its name and what it was made of, in one word: the `feats_type` of a data dir."""

    @property
    def dim(self) -> int:
        """F."""

    @property
    def frame_shift(self) -> float:
        """Seconds from one frame to the next."""

    @property
    def shortest(self) -> int:
        """The fewest samples that give a frame."""

    @property
    def origin(self) -> Origin | None:
        """Where its weights come from; None: it has none."""

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Frames (T, F); (0, F) if the recording is too short."""

    def num_frames(self, num_samples: int) -> int:
        """T of so many samples."""


@dataclass(frozen=True)
class Lfb:
    """Log-mel filterbanks (atat/speech/fbank.py)."""

    dim: int = 80

    kind = LFB
    frame_shift = fbank.Options.frame_shift
    shortest = fbank.Options().length
    origin = None

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        return fbank.lfb(samples, num_mels=self.dim)

    def num_frames(self, num_samples: int) -> int:
        return fbank.num_frames(num_samples)


@lru_cache(maxsize=2)
def find(name: str, threads: int = 1) -> Frontend:
    """The pretrained speech encoder of a name, loaded.

    name: a speech encoder of `encoder_files.PUBLISHED`, fetched with `atat encoder get NAME`; a
    folder in which `transformers` saved a speech encoder; or the name of one on its hub, as far
    as that is already in the hub's cache on this machine: nothing is downloaded here. threads: of a
    CPU.
    Raises InputError for an encoder that is missing, damaged or of an unknown kind.
    """
    if name in PUBLISHED and PUBLISHED[name].reads == "speech":
        from atat.speech.moonshine import Moonshine

        folder = folder_of(name)
        return Moonshine(folder, read_origin(name, folder), threads)
    from atat.speech.hub_encoder import HubEncoder

    return HubEncoder(name)


def features_option(frontend: Frontend) -> str:
    """The option of `atat features` that makes what this front end makes."""
    if frontend.origin is None:
        return f"--num_mels {frontend.dim}"
    return f"--encoder {frontend.origin.argument}"


@dataclass(frozen=True)
class Stored:
    """The encoder that a packed model names: loaded when it is first needed to encode something."""

    kind: str
    dim: int
    frame_shift: float
    shortest: int
    origin: Origin

    @classmethod
    def read(cls, path: Path) -> Stored:
        """What `describe` wrote into a model's folder; InputError if it is torn."""
        fix = "copy the packed model again, or pack it again from its training"
        found = read_object(path, fix)
        try:
            return cls(**{**found, "origin": Origin(**found["origin"])})
        except (TypeError, KeyError):
            raise InputError(f"{path}: expected what `atat train` wrote; {fix}") from None

    def num_frames(self, num_samples: int) -> int:
        """About T, for budgets: exactly only the encoder itself knows. 0 only if T is."""
        if num_samples < self.shortest:
            return 0
        return max(1, int((num_samples / audio.SAMPLE_RATE) / self.frame_shift))

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        return self._encoder()(samples)

    def _encoder(self) -> Frontend:
        name = self.origin.argument
        found = find(name)
        if found.kind != self.kind:
            raise InputError(
                f"the model was trained on the states of {self.kind} ({self.origin.source}), the "
                f"encoder here is {found.kind}; get that one: atat encoder get {name} --again"
            )
        return found


def describe(frontend: Frontend) -> dict[str, Any]:
    """What a model's folder says of the front end that it was trained with."""
    origin = frontend.origin
    return {
        "kind": frontend.kind,
        "dim": frontend.dim,
        "frame_shift": frontend.frame_shift,
        "shortest": frontend.shortest,
        **({} if origin is None else {"origin": origin._asdict()}),
    }
