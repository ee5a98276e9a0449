"""Fits a training conf to the states of a pretrained speech encoder in place of filterbanks.

Command line: `atat conf_copy --encoder NAME`. What a conf says in frames of 10 ms must then be said
in states, which last longer (24 ms of Moonshine, 20 ms of wav2vec 2.0).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from atat.engine import registry
from atat.nn.settings import CtcSettings
from atat.speech import frontend
from atat.speech.fbank import Options
from atat.speech.settings import AugmentSettings


def changes(values: Mapping[str, Any], encoder: str) -> list[str]:
    """What to set in a conf, KEY=VALUE, so that its model reads the states of an encoder.

    Nothing in that of another system than AT-AT; else the audio encoder's kind, the units of CTC
    where they are characters, and the width of time masks. Raises InputError if the encoder is not
    on this machine.
    """
    if values.get("system", registry.DEFAULT) != registry.DEFAULT:
        return []
    found = [
        "model.audio_encoder.kind=pretrained",
        f"model.audio_encoder.pretrained={json.dumps(encoder)}",
    ]
    model = values.get("model") or {}
    ctc = model.get("ctc") or {}
    # An input of the transformer is two states side by side: too long for a character.
    if ctc.get("units", CtcSettings.units) == "characters":
        found.append("model.ctc.units=pieces")
        if (model.get("bridge") or {}).get("share"):  # whose two sides have the same units
            found.append("model.text_encoder.units=pieces")
    augment = values.get("augment") or {}
    if augment.get("time_masks", 0):
        # Time masks hide as many seconds as before. Masks of mel bins stay as they are: the
        # dimensions of a state have no order, so a mask of some is a mild dropout.
        width = augment.get("time_mask_width", AugmentSettings.time_mask_width)
        shift = frontend.find(encoder).frame_shift
        states = max(1, round(width * Options.frame_shift / shift))
        found.append(f"augment.time_mask_width={states}")
    return found
