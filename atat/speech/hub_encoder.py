"""Speech encoders of `transformers`: wav2vec 2.0 and its kin, Whisper, Moonshine.

By folder or hub name: frozen (`HubEncoder`, on the CPU), or to be trained as a part of a model
(`load`, and `packed` from the model's folder). Nothing is downloaded: a hub name must be in the
hub's cache, where `atat encoder get NAME` puts it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from atat.base import digests, extras
from atat.base.encoder_files import ORIGIN, PUBLISHED, Origin, read_origin
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.base.json_file import read_object
from atat.speech.frontend import Layers
from atat.speech.hub_states import TYPES, WAVEFORM, HubStates, Shape
from atat.text.bert_files import CODE, COPY_AGAIN, IGNORED

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
CONFIG, EXTRACTOR = "config.json", "preprocessor_config.json"
# What is random in training beside dropout: it would draw from generators that no run stores, or
# leave out layers that are read.
SWITCHED_OFF = {"apply_spec_augment": False, "layerdrop": 0.0, "encoder_layerdrop": 0.0}


@dataclass
class _FrontEnd:
    """What frozen encoders and those that train have in common, as `atat.speech.frontend` asks."""

    shape: Shape
    layers: Layers
    origin: Origin  # of the weights that it has, or began with

    @property
    def kind(self) -> str:
        return self.origin.kind_of(self.layers)

    @property
    def num_layers(self) -> int:
        return self.shape.read(self.layers)

    @property
    def dim(self) -> int:
        return self.shape.dim(self.layers)

    @property
    def frame_shift(self) -> float:
        return self.shape.frame_shift

    @property
    def shortest(self) -> int:
        return self.shape.shortest

    @property
    def longest(self) -> int:
        return self.shape.longest

    def num_frames(self, num_samples: int) -> int:
        """States of a recording."""
        return self.shape.num_frames(num_samples)


class HubEncoder(_FrontEnd):
    """A `atat.speech.frontend.Frontend` that runs a frozen encoder of `transformers`."""

    within = False

    def __init__(self, name: str, layers: Layers = "last") -> None:
        """Raises InputError for what is no speech encoder, or is not on this machine."""
        self._states = load(name, layers).eval()
        super().__init__(self._states.shape, layers, origin_of(name))

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Samples (T',) -> states (T, F); InputError for a recording longer than it takes."""
        if len(samples) < self.shortest:
            return np.zeros((0, self.dim), np.float32)
        self.shape.check(len(samples))
        heard = torch.from_numpy(np.ascontiguousarray(samples, np.float32))
        with torch.inference_mode():
            states, _ = self._states(heard[None], torch.tensor([len(samples)]))
        found: np.ndarray = states[0].numpy()
        return found


class Within(_FrontEnd):
    """The front end of a model that trains its encoder, which is a part of it: hands samples on."""

    within = True

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Samples (T',), none if they are too short; InputError if they are too long."""
        if len(samples) < self.shortest:
            return samples[:0]
        self.shape.check(len(samples))
        return samples


def within(name: str, layers: Layers) -> Within:
    """What a model that is to train an encoder of this name hands its samples to."""
    config = _from_pretrained(_transformers(name).AutoConfig, name)
    return Within(Shape.of(config, name), layers, origin_of(name))


def packed_within(folder: Path, layers: Layers, origin: Origin) -> Within:
    """The same of a packed model, from the files of its encoder."""
    _transformers(str(folder))
    return Within(Shape.of(_packed_config(folder), str(folder / CONFIG)), layers, origin)


def load(name: str, layers: Layers = "last") -> HubStates:
    """An encoder with its weights, of a folder or of the hub's cache."""
    transformers = _transformers(name)
    config = _from_pretrained(transformers.AutoConfig, name)
    shape = Shape.of(config, name)
    for key, value in SWITCHED_OFF.items():
        setattr(config, key, value)  # some types obey a key that they do not have
    model = _from_pretrained(transformers.AutoModel, name, config=config)
    extractor = None
    if shape.type != "moonshine":
        extractor = _from_pretrained(transformers.AutoFeatureExtractor, name)
    return HubStates(_encoder_of(model), shape, extractor, layers)


def packed(folder: Path, layers: Layers) -> HubStates:
    """The encoder that a packed model has trained, without its weights; its code is transformers'.

    Raises InputError for files that are missing or invalid.
    """
    transformers = _transformers(str(folder))
    config = _packed_config(folder)
    shape = Shape.of(config, str(folder / CONFIG))
    extractor = None
    if shape.type != "moonshine":
        values = read_object(folder / EXTRACTOR, COPY_AGAIN)
        name = "Whisper" if shape.type == "whisper" else "Wav2Vec2"
        with _refused(folder / EXTRACTOR):
            extractor = getattr(transformers, f"{name}FeatureExtractor").from_dict(values)
    with _refused(folder / CONFIG):
        model = transformers.AutoModel.from_config(config, trust_remote_code=False)
    return HubStates(_encoder_of(model), shape, extractor, layers)


def save(states: HubStates, folder: Path) -> None:
    """Write the files that `packed` reads beside the weights of a packed model."""
    config: Any = states.encoder.config
    values = json.loads(config.to_json_string(use_diff=False))
    values.pop(CODE, None)
    with atomic_write(folder / CONFIG) as stream:
        json.dump(values, stream, indent=2, sort_keys=True)
    if states.extractor is not None:
        with atomic_write(folder / EXTRACTOR) as stream:
            stream.write(states.extractor.to_json_string())


def files_of(name: str) -> list[Path]:
    """The files that an encoder needs, of a folder or a hub name."""
    wanted = (CONFIG, EXTRACTOR, ORIGIN, *WEIGHTS)
    found = {file: path for file in wanted if (path := _file(name, file)) is not None}
    if WEIGHTS[0] in found:
        found.pop(WEIGHTS[1], None)
    return list(found.values())


def origin_of(name: str) -> Origin:
    """The digest of the weights; the licence of a hub's model is on its page, of what
    `atat encoder torch` has written beside it."""
    licence = "see its model card"
    if (Path(name) / ORIGIN).is_file():
        licence = read_origin(name, Path(name)).licence
    for file in WEIGHTS:
        path = _file(name, file)
        if path is not None:
            return Origin(*_named(name), digests.of_file(path), licence)
    raise InputError(f"{name}: none of {', '.join(WEIGHTS)} is there")


def _named(name: str) -> tuple[str, str]:
    """A short name, and where the encoder is found again from any folder.

    A short name of a published encoder would mean that one (`encoder_files.PUBLISHED`).
    """
    if not Path(name).is_dir():
        return name, name
    folder = Path(name).resolve()
    return folder.name + ("-folder" if folder.name in PUBLISHED else ""), str(folder)


def _transformers(name: str) -> Any:
    with extras.needed("bert", by=f"the encoder {name}"):
        import transformers
    return transformers


def _from_pretrained(kind: Any, name: str, **options: Any) -> Any:
    try:
        return kind.from_pretrained(name, local_files_only=True, trust_remote_code=False, **options)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{name}: no speech encoder that transformers can load here "
            f"({str(error).splitlines()[0]}); expected a folder that it saved, or a name on its "
            f"hub, fetched before: atat encoder get {name}"
        ) from None


def _packed_config(folder: Path) -> Any:
    """The configuration in a packed model, which names no code and no other file."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    path = folder / CONFIG
    values = read_object(path, COPY_AGAIN)
    if values.get(CODE) or values.get("model_type") not in TYPES:
        raise InputError(f"{path}: not a speech encoder that atat has written; {COPY_AGAIN}")
    sizes = {k: v for k, v in values.items() if k not in IGNORED and not k.startswith("_")}
    with _refused(path):
        return CONFIG_MAPPING[values["model_type"]].from_dict(sizes)


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # foreign values can raise anything in the library
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(
            f"{path}: no configuration that transformers can build ({first}); {COPY_AGAIN}"
        ) from None


def _encoder_of(model: Any) -> Any:
    """The encoder of a model that may have a decoder, too."""
    return model if model.config.model_type in WAVEFORM else model.get_encoder()


def _file(name: str, file: str) -> Path | None:
    """A file of a folder or of the hub's cache; None if it is not there."""
    from transformers.utils import cached_file

    if Path(name).is_dir():
        return path if (path := Path(name) / file).is_file() else None
    found = cached_file(
        name, file, local_files_only=True, _raise_exceptions_for_missing_entries=False
    )
    return Path(found) if found else None
