"""An audio encoder of ESPnet2, named in YAML, with weights from an ESPnet checkpoint.

The only module that imports espnet, and only when a configuration asks for it: importing its
encoders takes over a second. ESPnet's Conformer family normalises over the batch (BatchNorm), so
the law "padding changes nothing" does not hold for it while training.
"""

from __future__ import annotations

import importlib
import pickle

import torch
from torch import Tensor, nn

from atat.base import extras
from atat.base.errors import InputError
from atat.nn.attention import length_mask
from atat.nn.settings import AudioEncoderSettings

ENCODERS = {
    "transformer": ("espnet2.asr.encoder.transformer_encoder", "TransformerEncoder"),
    "conformer": ("espnet2.asr.encoder.conformer_encoder", "ConformerEncoder"),
    "e_branchformer": ("espnet2.asr.encoder.e_branchformer_encoder", "EBranchformerEncoder"),
}


class EspnetEncoder(nn.Module):
    """Wraps one of ENCODERS so that it looks like atat.nn.audio_encoder.AudioEncoder.

    `espnet_options` go to its constructor unchanged and override settings of the same name.
    """

    def __init__(self, settings: AudioEncoderSettings, width: int) -> None:
        super().__init__()
        options = {
            "num_blocks": settings.layers,
            "attention_heads": settings.heads,
            "linear_units": settings.feed_forward,
            "dropout_rate": settings.dropout,
            **settings.espnet_options,
        }
        cls = _import(str(settings.espnet_name))
        try:
            self.encoder = cls(input_size=settings.mel_bins, output_size=width, **options)
        except TypeError as error:
            raise InputError(
                f"audio_encoder.espnet_options: {settings.espnet_name}: {error}; expected the "
                f"arguments of {cls.__module__}.{cls.__name__}"
            ) from None
        if settings.espnet_weights:
            load_weights(self.encoder, settings.espnet_weights)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """features (B, T, F), lengths (B,) -> memory (B, T', D), lengths (B,)."""
        # Its convolutions reach over the end: what they find there must not depend on the batch.
        features = features * length_mask(lengths, features.shape[1])[..., None]
        memory, lengths, _ = self.encoder(features, lengths)
        return memory, lengths


def load_weights(encoder: nn.Module, path: str) -> None:
    """Load the `encoder.` part of an ESPnet2 model file (.pth) into an encoder, strictly.

    Nothing in the file is run. Raises InputError for a missing file, one that holds more than
    tensors, a file without an encoder, and weights of other sizes.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"audio_encoder.espnet_weights: {path}: no such file") from None
    except (OSError, RuntimeError, EOFError, LookupError, ValueError, TypeError,
            AttributeError, pickle.UnpicklingError):  # fmt: skip
        raise InputError(
            f"audio_encoder.espnet_weights: {path}: not a file of tensors that torch can read "
            "without running code in it; expected an ESPnet2 ASR, SLU or ST model file, such as "
            "exp/asr_train/valid.acc.ave.pth"
        ) from None
    state = state.get("model", state) if isinstance(state, dict) else {}
    found = {
        str(name).removeprefix("encoder."): value
        for name, value in state.items()
        if str(name).startswith("encoder.")
    }
    if not found:
        raise InputError(
            f"audio_encoder.espnet_weights: {path}: no weights named `encoder.*`; expected an "
            "ESPnet2 ASR, SLU or ST model file, such as exp/asr_train/valid.acc.ave.pth"
        )
    try:
        encoder.load_state_dict(found)
    except RuntimeError as error:
        raise InputError(
            f"audio_encoder.espnet_weights: {path} does not fit `espnet_name` and "
            f"`espnet_options`: {error}"
        ) from None


def _import(name: str) -> type[nn.Module]:
    if name not in ENCODERS:
        raise InputError(
            f"audio_encoder.espnet_name: `{name}` is unknown; known: {', '.join(ENCODERS)}"
        )
    module, cls = ENCODERS[name]
    with extras.needed("espnet", by="audio_encoder.kind espnet"):
        return getattr(importlib.import_module(module), cls)
