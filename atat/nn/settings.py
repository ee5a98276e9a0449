"""Sizes of the layers: the keys of `model:` in a conf. Only values; needs no torch.

The defaults are the paper's (AT-AT, "Experimental Details") if it gives them, except for the text
encoder: BERT must be requested, since it may come from the network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, Optional

from atat.base.errors import InputError
from atat.base.limits import at_least, below_one

# ESPnet's `input_layer` values that shorten; the others (linear, none) keep the length.
ESPNET_SUBSAMPLING = {
    "conv1d2": 2,
    "conv1d3": 3,
    "conv2d": 4,
    "conv2d2": 2,
    "conv2d6": 6,
    "conv2d8": 8,
}


@dataclass(frozen=True)
class ScratchBertSettings:
    """A BERT without pretrained weights (`atat.text.bert_files.scratch`)."""

    width: int = 128
    layers: int = 2
    heads: int = 2

    def __post_init__(self) -> None:
        at_least(1, width=self.width, layers=self.layers, heads=self.heads)
        if self.width % self.heads:
            raise InputError(f"width is {self.width}; expected a multiple of heads ({self.heads})")


@dataclass(frozen=True)
class AudioEncoderSettings:
    """atat/nn/audio_encoder.py, or an ESPnet2 encoder by name (atat/nn/espnet_encoder.py)."""

    # pretrained: a transformer over the states of a speech encoder (atat/speech/frontend.py)
    kind: Literal["transformer", "espnet", "pretrained"] = "transformer"
    mel_bins: int = 80  # kind pretrained: the values of a state; the encoder says how many
    pretrained: Optional[str] = None  # moonshine-tiny, or a folder or hub name of `transformers`
    stack: int = 2  # kind pretrained: states side by side in one input of the transformer
    # kind pretrained: all: the sum of all layers' states, with learned weights (as in SUPERB)
    layers_read: Literal["last", "all"] = "last"
    layer_norm: bool = False  # layers_read all: each layer's states are normalised before the sum
    pretrained_layers: int = 1  # layers_read all: how many; the encoder says it
    # kind pretrained: the encoder trains as well (optim.encoder_multiplier, init.unfreeze)
    trained: bool = False
    conv_channels: tuple[int, ...] = (64, 64)  # one 3x3 convolution each
    time_stride: tuple[int, ...] = (1, 1)  # of each convolution; far cheaper than pooling after it
    freq_stride: tuple[int, ...] = (1, 1)
    time_pool: tuple[int, ...] = (2, 2)  # max-pool after each convolution, 1 = none
    freq_pool: tuple[int, ...] = (2, 2)
    layers: int = 12
    heads: int = 4
    feed_forward: int = 2048
    dropout: float = 0.1
    espnet_name: Optional[str] = None  # transformer, conformer, e_branchformer
    espnet_options: dict[str, Any] = field(default_factory=dict)  # its constructor's arguments
    espnet_weights: Optional[str] = None  # an ESPnet checkpoint (.pth) to start from

    @property
    def subsampling(self) -> int:
        """Frames to one encoder state; ESPnet's encoders have 4 unless their options differ."""
        if self.kind == "pretrained":
            return self.stack
        if self.kind == "espnet":
            return ESPNET_SUBSAMPLING.get(self.espnet_options.get("input_layer", "conv2d"), 1)
        return math.prod((*self.time_stride, *self.time_pool))

    def __post_init__(self) -> None:
        lists = (self.time_stride, self.freq_stride, self.time_pool, self.freq_pool)
        if any(len(values) != len(self.conv_channels) for values in lists):
            raise InputError(
                "time_stride, freq_stride, time_pool and freq_pool need one value for each of "
                f"conv_channels ({len(self.conv_channels)})"
            )
        at_least(1, mel_bins=self.mel_bins, layers=self.layers, heads=self.heads, stack=self.stack)
        at_least(1, feed_forward=self.feed_forward)
        below_one(dropout=self.dropout)
        if self.kind == "espnet" and not self.espnet_name:
            raise InputError(
                "kind espnet needs espnet_name: transformer, conformer, e_branchformer"
            )
        if self.kind == "pretrained" and not self.pretrained:
            raise InputError(
                "kind pretrained needs the key `pretrained`: moonshine-tiny, or a folder or hub "
                "name of a speech encoder of `transformers`"
            )
        if self.layer_norm and self.layers_read != "all":
            raise InputError(
                f"layer_norm is for the sum of all layers, layers_read is {self.layers_read}; set "
                "layers_read to all, or remove layer_norm"
            )
        of_pretrained = self.pretrained or self.trained or self.layers_read != "last"
        if self.kind != "pretrained" and of_pretrained:
            raise InputError(
                "pretrained, trained and layers_read are of a pretrained speech encoder, kind is "
                f"{self.kind}; set kind to pretrained, or remove them"
            )
        of_espnet = self.espnet_name or self.espnet_options or self.espnet_weights
        if self.kind != "espnet" and of_espnet:
            raise InputError(
                "espnet_name, espnet_options and espnet_weights are of an encoder of ESPnet, kind "
                f"is {self.kind}; set kind to espnet, or remove them"
            )


@dataclass(frozen=True)
class TextEncoderSettings:
    """atat/nn/text_encoder.py: BERT from `transformers`, or a small transformer from scratch."""

    kind: Literal["bert", "small"] = "small"
    bert: Optional[str] = None  # kind bert: a folder, minilm-l6, or a name on the hub
    layers: int = 4  # the rest: kind small only
    heads: int = 4
    feed_forward: int = 1024
    dropout: float = 0.1
    word_dropout: float = 0.0  # share of source tokens hidden in training
    units: Literal["pieces", "characters", "phones"] = "pieces"  # what it reads

    def __post_init__(self) -> None:
        at_least(1, layers=self.layers, heads=self.heads, feed_forward=self.feed_forward)
        below_one(dropout=self.dropout, word_dropout=self.word_dropout)
        if self.kind == "bert" and not self.bert:
            raise InputError(
                "kind bert needs the key `bert`: a folder with a BERT saved by `transformers`, or "
                "a name on its hub, such as bert-base-uncased, which is downloaded"
            )

    @property
    def bert_or_none(self) -> str | None:
        """The BERT to read with; None: a small encoder of our own."""
        return self.bert if self.kind == "bert" else None


@dataclass(frozen=True)
class DecoderSettings:
    """atat/nn/decoder.py."""

    layers: int = 6
    heads: int = 4
    feed_forward: int = 2048
    dropout: float = 0.1

    def __post_init__(self) -> None:
        at_least(1, layers=self.layers, heads=self.heads, feed_forward=self.feed_forward)
        below_one(dropout=self.dropout)


@dataclass(frozen=True)
class CtcSettings:
    """An additional CTC loss on the audio encoder, on the words only (atat/nn/ctc.py)."""

    weight: float = 0.0  # 0: no CTC head
    units: Literal["characters", "pieces", "phones"] = "characters"

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise InputError(f"ctc.weight is {self.weight:g}; expected a number of at least 0")


@dataclass(frozen=True)
class BridgeSettings:
    """Audio that reaches the decoder as text does: through the text encoder (atat/nn/bridge.py)."""

    share: float = 0.0  # of the recordings in training; 0: no bridge

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise InputError(f"bridge.share is {self.share:g}; expected 0 to 1")
