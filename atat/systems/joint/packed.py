"""A packed model of AT-AT, and the files in its folder besides config.yaml and weights.

tokenizer/    word pieces and tags
trees.json    parent-child pairs of the training trees, for well-formed decoding
bert/         BERT's configuration and word pieces, if the text encoder is BERT
frontend.json which speech encoder's states the audio encoder reads, if it does
encoder/      that encoder itself, after `atat encoder put`; of one that was trained, whose weights
              are among the model's, its configuration
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from atat.base import config
from atat.base.files import atomic_write
from atat.engine import model_folder
from atat.nn.audio_encoder import save_encoder_files
from atat.nn.text_encoder import save_bert_files
from atat.speech import frontend
from atat.speech.frontend import Frontend, Lfb
from atat.systems.joint.model import Atat, build_model
from atat.systems.joint.settings import ModelSettings
from atat.text.constraint import Pair, read_pairs
from atat.text.ctc_labels import Units
from atat.text.encoder_ids import EncoderIds, build_encoder_ids
from atat.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class PackedConfig:
    """config.yaml of a packed model, without the keys that every system has."""

    tasks: tuple[str, ...]  # tasks it was trained on, pretraining included
    model: ModelSettings
    weights: Literal["float32", "int8"] = "float32"


@dataclass
class Packed:
    """A model with everything needed for its inputs and outputs."""

    model: Atat
    tokenizer: Tokenizer
    settings: ModelSettings
    units: Units | None
    source_text: EncoderIds | None
    pairs: set[Pair]
    tasks: tuple[str, ...]
    weights: Literal["float32", "int8"] = "float32"  # of linear layers (atat/nn/int8.py)
    system: str = "joint"
    pretrained: Frontend | None = None  # the speech encoder whose states it reads

    @property
    def frontend(self) -> Frontend:
        """What makes features of samples."""
        return self.pretrained or Lfb(self.model.cmvn.mean.numel())

    def about(self) -> dict[str, Any]:
        """Values for config.yaml."""
        return config.to_dict(PackedConfig(self.tasks, self.settings, self.weights))

    def write(self, folder: Path) -> None:
        """Write tokenizer, pairs of tags, BERT's files, and which speech encoder it needs."""
        self.tokenizer.save(folder / "tokenizer")
        with atomic_write(folder / "trees.json") as stream:
            json.dump(sorted(self.pairs), stream, indent=0)
        if self.source_text is not None and self.model.text_encoder is not None:
            save_bert_files(self.model.text_encoder, self.source_text, folder / "bert")
        if self.pretrained is not None:
            frontend.write(self.pretrained, folder)
            save_encoder_files(self.model.audio_encoder, folder / frontend.CONTAINED)

    def stored(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """New tags become ordinary rows: a run that starts here counts them as pretrained."""
        base, extension = "decoder.embedding.base", "decoder.embedding.extension"
        rows = torch.cat([state[base], state[extension]])
        return state | {base: rows, extension: state[extension][:0].clone()}


def read(folder: str | Path, device: str | torch.device = "cpu") -> Packed:
    """A packed model of AT-AT; InputError if it is one of another system."""
    return model_folder.load_as(Packed, folder, device)


def load(folder: Path, about: dict[str, Any], device: torch.device) -> Packed:
    """A packed model without its weights."""
    values = config.from_dict(about, PackedConfig, str(folder / "config.yaml"))
    settings = values.model
    if settings.text_encoder is not None and settings.text_encoder.kind == "bert":
        bert = replace(settings.text_encoder, bert=str(folder / "bert"))
        settings = replace(settings, text_encoder=bert)
    if settings.audio_encoder is not None and settings.audio_encoder.trained:
        own = replace(settings.audio_encoder, pretrained=str(folder / frontend.CONTAINED))
        settings = replace(settings, audio_encoder=own)
    tokenizer = Tokenizer.load(folder / "tokenizer")
    model, units = build_model(settings, tokenizer, pretrained=False)
    source = None
    text = settings.text_encoder
    if text is not None:
        source = build_encoder_ids(text.bert_or_none, tokenizer, False, text.units)
    pairs = read_pairs(folder / "trees.json")
    audio = settings.audio_encoder
    pretrained: Frontend | None = None
    if audio is not None and audio.kind == "pretrained":
        pretrained = frontend.read(folder)
    return Packed(
        model,
        tokenizer,
        values.model,
        units,
        source,
        pairs,
        values.tasks,
        values.weights,
        pretrained=pretrained,
    )
