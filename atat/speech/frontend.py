"""The front end of an audio encoder: what turns samples into the frames that it reads.

`Lfb` computes filterbanks, `Mfcc` cepstra; the others are pretrained speech encoders, whose hidden
states (one every 20 ms or so) take the filterbanks' place: `find("moonshine-tiny")`. Everything
that counts frames (masks, alignments, budgets, seconds) asks the front end for them.

T' samples, T frames, F values of a frame. A front end encodes one recording at a time, so that
what it gives does not depend on a batch.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NoReturn, Protocol

import numpy as np

from atat.base import folders
from atat.base.encoder_files import ORIGIN, PUBLISHED, Origin, folder_of, refuse_mistyped
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.json_file import read_object, read_object_or_none
from atat.speech import audio, fbank, mfcc

if TYPE_CHECKING:  # it imports torch
    from atat.speech.hub_encoder import Within

Layers = Literal["last", "all"]
LFB: Final = "lfb"
MFCC: Final = "mfcc"
DESCRIPTION, CONTAINED = "frontend.json", "encoder"  # in the folder of a packed model


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
    def longest(self) -> int:
        """The most samples that it takes; 0: any number."""

    @property
    def origin(self) -> Origin | None:
        """Where its weights come from; None: it has none."""

    @property
    def num_layers(self) -> int:
        """Layers of an encoder whose states make a frame, side by side; 1: its last one alone."""

    @property
    def within(self) -> bool:
        """Whether the encoder is a part of the model: what is made of samples is samples (T',)."""

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Frames (T, F); (0, F) if the recording is too short."""

    def num_frames(self, num_samples: int) -> int:
        """T of so many samples."""


class _KaldiFrames:
    """Frames of 25 ms every 10 ms, as Kaldi cuts them, without weights."""

    frame_shift = fbank.Options.frame_shift
    shortest = fbank.Options().length
    longest = 0
    origin = None
    num_layers = 1
    within = False

    def num_frames(self, num_samples: int) -> int:
        return fbank.num_frames(num_samples)


@dataclass(frozen=True)
class Lfb(_KaldiFrames):
    """Log-mel filterbanks (atat/speech/fbank.py)."""

    dim: int = 80

    kind = LFB

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        return fbank.lfb(samples, num_mels=self.dim)


@dataclass(frozen=True)
class Mfcc(_KaldiFrames):
    """13 cepstra with their first and second differences (atat/speech/mfcc.py)."""

    kind = MFCC
    dim = mfcc.DIM

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        return mfcc.mfcc39(samples)


def find(name: str, threads: int = 1, layers: Layers = "last", trained: bool = False) -> Frontend:
    """The pretrained speech encoder of a name, loaded; or what a model reads that trains it.

    name: a speech encoder of `encoder_files.PUBLISHED`, fetched with `atat encoder get NAME`; a
    folder in which `transformers` saved a speech encoder; or the name of one on its hub, as far
    as that is already in the hub's cache on this machine: nothing is downloaded here. threads: of a
    CPU. layers: whose states make a frame. trained: the encoder is to be a part of the model.
    Raises InputError for an encoder that is missing, damaged or of an unknown kind, and for layers
    that it does not give.
    """
    refuse_mistyped(name, "speech encoder")
    if trained:
        return _trained(name, layers)
    return load(name, str(folder_of(name)) if is_published(name) else name, threads, layers)


@lru_cache(maxsize=2)
def load(name: str, where: str, threads: int = 1, layers: Layers = "last") -> Frontend:
    """The encoder of a name, from a folder (of `transformers`, its hub's names too)."""
    if is_published(name):
        from atat.speech.moonshine import Moonshine

        if layers != "last":
            _refuse_published(name, "all layers")
        return Moonshine(name, Path(where), threads)
    from atat.speech.hub_encoder import HubEncoder

    return HubEncoder(where, layers)


def _trained(name: str, layers: Layers) -> Frontend:
    if is_published(name):
        _refuse_published(name, "training")
    from atat.speech.hub_encoder import within

    return within(name, layers)


def _refuse_published(name: str, what: str) -> NoReturn:
    raise InputError(
        f"{name} runs in onnxruntime, which gives the states of its last layer and cannot train "
        f"it; for {what} take the same weights in torch: atat encoder torch {name} --out FOLDER, "
        f"and name FOLDER instead of {name}"
    )


def is_published(name: str) -> bool:
    """Whether a name is that of a speech encoder that onnxruntime runs."""
    return name in PUBLISHED and PUBLISHED[name].use == "speech encoder"


def alike(kind: str, other: str) -> bool:
    """Whether two kinds are of the same weights, whatever folder these lie in."""
    return kind.rpartition("@")[2] == other.rpartition("@")[2]


def features_option(frontend: Frontend) -> str:
    """The option of `atat features` that makes what this front end makes."""
    if frontend.kind == MFCC:
        return f"--kind {MFCC}"
    if frontend.origin is None:
        return f"--num_mels {frontend.dim}"
    layers = " --layers all" if frontend.num_layers > 1 else ""
    return f"--encoder {frontend.origin.argument}{layers}"


@dataclass(frozen=True)
class Stored:
    """The encoder that a packed model names: loaded when it is first needed to encode something."""

    kind: str
    dim: int
    frame_shift: float
    shortest: int
    longest: int
    origin: Origin
    num_layers: int = 1
    folder: Path | None = None  # that holds its files, where the model contains it
    threads: int = 1  # of a CPU

    within = False

    @property
    def layers(self) -> Layers:
        """Whose states make a frame."""
        return "all" if self.num_layers > 1 else "last"

    def num_frames(self, num_samples: int) -> int:
        """About T, for budgets: exactly only the encoder itself knows. 0 only if T is."""
        if num_samples < self.shortest:
            return 0
        return max(1, int((num_samples / audio.SAMPLE_RATE) / self.frame_shift))

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        return self._encoder()(samples)

    def _encoder(self) -> Frontend:
        name = self.origin.argument
        if self.folder is None:
            found = self._found(name)
        else:
            found = load(self.origin.name, str(self.folder), self.threads, self.layers)
        if found.origin is None or found.origin.sha256 != self.origin.sha256:
            raise InputError(
                f"the model was trained on the states of {self.kind} ({self.origin.source}), the "
                f"encoder here is {found.kind}; get that one: atat encoder get {name} --again"
            )
        return found

    def _found(self, name: str) -> Frontend:
        """The encoder on this machine."""
        try:
            return find(name, self.threads, self.layers)
        except InputError as error:
            raise InputError(
                f"the model reads the states of {self.kind}, from {self.origin.source}, which "
                f"cannot be had here: {error}"
            ) from None


def read(model: Path, threads: int = 1) -> Stored | Within:
    """What `write` left in a model's folder; InputError if it is torn. threads: of a CPU, for an
    encoder that onnxruntime runs."""
    path, folder = model / DESCRIPTION, model / CONTAINED
    fix = "copy the packed model again, or pack it again from its training"
    found = read_object(path, fix)
    try:
        stored = Stored(
            kind=str(found["kind"]),
            dim=int(found["dim"]),
            frame_shift=float(found["frame_shift"]),
            shortest=int(found["shortest"]),
            longest=int(found["longest"]),
            origin=Origin(**found["origin"]),
            num_layers=int(found.get("num_layers", 1)),  # older ones do not say it
            folder=folder if folder.is_dir() else None,
            threads=threads,
        )
    except (TypeError, KeyError, ValueError):
        raise InputError(f"{path}: expected what `atat train` wrote; {fix}") from None
    if not found.get("trained"):
        return stored
    from atat.speech.hub_encoder import packed_within

    return packed_within(folder, stored.layers, stored.origin)


def is_within(model: Path) -> bool:
    """Whether a packed model has trained its encoder, and so reads samples."""
    found = read_object_or_none(model / DESCRIPTION)
    return bool(found and found.get("trained"))


def write(frontend: Frontend, model: Path) -> None:
    """Say in a model's folder which encoder it reads the states of; one that the model contained
    before it was written again comes along."""
    origin = frontend.origin
    assert origin is not None, "only a pretrained encoder is written down"
    names = ("kind", "dim", "frame_shift", "shortest", "longest", "num_layers")
    about = {name: getattr(frontend, name) for name in names} | {"trained": frontend.within}
    with atomic_write(model / DESCRIPTION) as stream:
        json.dump({**about, "origin": origin._asdict()}, stream, indent=1)
    if isinstance(frontend, Stored) and frontend.folder is not None:
        shutil.copytree(frontend.folder, model / CONTAINED)


def contain(model: Path) -> list[str]:
    """Copy the encoder that a model reads the states of into the model's folder; names its files.

    One that the model contains already stays. Raises InputError for a model that reads filterbanks,
    and if the encoder is not on this machine or is another.
    """
    if not (model / DESCRIPTION).is_file():
        raise InputError(f"{model}: the model reads filterbanks, or the folder is no packed model")
    stored = read(model)
    if not isinstance(stored, Stored):
        raise InputError(
            f"{model}: the encoder was trained with the model and is in its weights; the folder "
            "needs nothing else"
        )
    if not _is_contained(stored):
        replace(stored, folder=None)._encoder()  # it is here, and it is the right one
        fresh = model / f"{CONTAINED}.tmp"
        shutil.rmtree(fresh, ignore_errors=True)  # left by a killed process
        fresh.mkdir()
        for path in files_of(stored.origin):
            shutil.copyfile(path, fresh / path.name)
        folders.replace(fresh, model / CONTAINED)
    return sorted(path.name for path in (model / CONTAINED).iterdir())


def _is_contained(stored: Stored) -> bool:
    """Whether the encoder in a model's folder is whole, and the right one."""
    if stored.folder is None:
        return False
    try:
        stored._encoder()
    except InputError:
        return False
    return True


def files_of(origin: Origin) -> list[Path]:
    """The files that an encoder needs, on this machine."""
    if is_published(origin.name):
        from atat.speech.moonshine import FILE

        return [folder_of(origin.name) / name for name in (FILE, ORIGIN)]
    from atat.speech import hub_encoder

    return hub_encoder.files_of(origin.source)
