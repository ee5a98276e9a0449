"""Speech encoders of `transformers`: wav2vec 2.0 and its kin, Whisper, Moonshine.

By folder or hub name. The last hidden state of the encoder, frozen, computed by torch on the CPU.
Nothing is downloaded: a hub name must be in the hub's cache, where `atat encoder get NAME` puts it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from atat.base import digests, extras
from atat.base.encoder_files import Origin
from atat.base.errors import InputError
from atat.speech import audio, convolutions
from atat.speech.moonshine import CONVOLUTIONS

# Model types that read the waveform through convolutions named in their configuration.
WAVEFORM = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat", "sew")
WHISPER_SHIFT = 320  # samples: hops of 160, halved by a convolution
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


class HubEncoder:
    """A `atat.speech.frontend.Frontend` that runs an encoder of `transformers`."""

    def __init__(self, name: str) -> None:
        """Raises InputError for what is no speech encoder, or is not on this machine."""
        with extras.needed("bert", by=f"the encoder {name}"):
            import transformers
        config = _load(transformers.AutoConfig, name)
        self._type = str(config.model_type)
        if self._type not in (*WAVEFORM, "whisper", "moonshine"):
            raise InputError(
                f"{name}: a model of type {self._type}; expected a speech encoder: "
                f"{', '.join((*WAVEFORM, 'whisper', 'moonshine'))}"
            )
        model = _load(transformers.AutoModel, name).eval()
        self._model = model if self._type in WAVEFORM else model.get_encoder()
        self.dim = int(config.hidden_size)
        self._convolutions: convolutions.Stack = CONVOLUTIONS  # Moonshine's
        self.longest = 0
        if self._type in WAVEFORM:
            self._convolutions = list(zip(config.conv_kernel, config.conv_stride))
        elif self._type == "whisper":
            self._convolutions = [(WHISPER_SHIFT, WHISPER_SHIFT)]
            self.longest = int(config.max_source_positions) * WHISPER_SHIFT
        self._extract = None
        if self._type != "moonshine":
            self._extract = _load(transformers.AutoFeatureExtractor, name)
        self.origin = _origin(name)
        self.kind = self.origin.kind

    @property
    def frame_shift(self) -> float:
        return convolutions.shift(self._convolutions) / audio.SAMPLE_RATE

    @property
    def shortest(self) -> int:
        # Whisper's features are padded: a last state may cover less than its hop.
        return 1 if self._type == "whisper" else convolutions.shortest(self._convolutions)

    def num_frames(self, num_samples: int) -> int:
        """States of a recording."""
        if self._type == "whisper":
            return -(-num_samples // WHISPER_SHIFT)
        return convolutions.outputs(self._convolutions, num_samples)

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Samples (T',) -> states (T, F); InputError for a recording longer than it takes."""
        import torch

        if len(samples) < self.shortest:
            return np.zeros((0, self.dim), np.float32)
        if self.longest and len(samples) > self.longest:
            raise InputError(
                f"lasts {len(samples) / audio.SAMPLE_RATE:.1f} s, the encoder takes at most "
                f"{self.longest / audio.SAMPLE_RATE:.0f} s; cut it"
            )
        if self._extract is None:
            inputs = torch.from_numpy(np.ascontiguousarray(samples))[None]
        else:
            made = self._extract(samples, sampling_rate=audio.SAMPLE_RATE, return_tensors="pt")
            inputs = made["input_features" if self._type == "whisper" else "input_values"]
        with torch.inference_mode():
            states = self._model(inputs).last_hidden_state[0]
        return states[: self.num_frames(len(samples))].float().numpy()


def _load(kind: Any, name: str) -> Any:
    try:
        return kind.from_pretrained(name, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{name}: no speech encoder that transformers can load here "
            f"({str(error).splitlines()[0]}); expected a folder that it saved, or a name on its "
            f"hub, fetched before: atat encoder get {name}"
        ) from None


def files_of(name: str) -> list[Path]:
    """The files that an encoder needs, of a folder or a hub name."""
    wanted = ("config.json", "preprocessor_config.json", *WEIGHTS)
    found = {file: path for file in wanted if (path := _file(name, file)) is not None}
    if WEIGHTS[0] in found:
        found.pop(WEIGHTS[1], None)
    return list(found.values())


def _file(name: str, file: str) -> Path | None:
    """A file of a folder or of the hub's cache; None if it is not there."""
    from transformers.utils import cached_file

    if Path(name).is_dir():
        return path if (path := Path(name) / file).is_file() else None
    found = cached_file(
        name, file, local_files_only=True, _raise_exceptions_for_missing_entries=False
    )
    return Path(found) if found else None


def _origin(name: str) -> Origin:
    """The digest of the weights; the licence of a hub's model is on its page."""
    for file in WEIGHTS:
        path = _file(name, file)
        if path is not None:
            short = Path(name).resolve().name if Path(name).is_dir() else name
            return Origin(short, name, digests.of_file(path), "see its model card")
    raise InputError(f"{name}: none of {', '.join(WEIGHTS)} is there")
