"""Fits a training conf to the states of a pretrained speech encoder in place of filterbanks.

Command line: `atat conf_copy --encoder NAME`. What a conf says in frames of 10 ms must then be said
in states, which last longer (24 ms of Moonshine, 20 ms of wav2vec 2.0).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from atat.base import config
from atat.base.errors import InputError
from atat.base.yaml_file import Content
from atat.engine import registry
from atat.nn.settings import BridgeSettings, CtcSettings
from atat.speech import frontend
from atat.speech.fbank import Options
from atat.speech.settings import AugmentSettings

T = TypeVar("T")


def changes(conf: Content, encoder: str) -> list[str]:
    """What to set in a conf, KEY=VALUE, so that its model reads the states of an encoder.

    Nothing in that of another system than AT-AT, and of a model that only reads; else the audio
    encoder's kind, the units of CTC where they are characters, and the width of time masks. Raises
    InputError for a conf whose keys are not such, and if the encoder is not on this machine.
    """
    if conf.values.get("system", registry.DEFAULT) != registry.DEFAULT:
        return []
    model = _below(conf, conf.values, "model")
    if "audio_encoder" in model and model["audio_encoder"] is None:
        return []
    found = [
        "model.audio_encoder.kind=pretrained",
        f"model.audio_encoder.pretrained={json.dumps(encoder)}",
    ]
    # An input of the transformer is two states side by side: too long for a character.
    if _settings(conf, model, "model.ctc", CtcSettings).units == "characters":
        found.append("model.ctc.units=pieces")
        # Whose two sides have the same units.
        if _settings(conf, model, "model.bridge", BridgeSettings).share:
            found.append("model.text_encoder.units=pieces")
    augment = _settings(conf, conf.values, "augment", AugmentSettings)
    if augment.time_masks:
        # Time masks hide as many seconds as before. Masks of mel bins stay as they are: the
        # dimensions of a state have no order, so a mask of some is a mild dropout.
        shift = frontend.find(encoder).frame_shift
        states = max(1, round(augment.time_mask_width * Options.frame_shift / shift))
        found.append(f"augment.time_mask_width={states}")
    return found


def _settings(conf: Content, values: Mapping[str, Any], key: str, cls: type[T]) -> T:
    """What a conf has below a key, among the values beside it."""
    return config.from_dict(_below(conf, values, key), cls, conf.source_of, f"{key}.")


def _below(conf: Content, values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The same as it stands there; nothing where the key is missing."""
    found = values.get(key.rpartition(".")[2])
    if found is not None and not isinstance(found, Mapping):
        raise InputError(f"{conf.source_of(key)}: key `{key}` is {found!r}; expected further keys")
    return found or {}
