"""The audio encoder: filterbank frames in, a shorter sequence of hidden states out.

A few 2D convolutions, each followed by max-pooling, then a transformer encoder (AT-AT,
"Architecture" and "Experimental Details"; the front end after Mohamed et al. 2019); or, over the
states of a pretrained encoder, a linear layer and the transformer. A pretrained encoder that trains
is a part of this one, which then reads samples. Knows nothing of targets.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atat.nn.attention import length_mask
from atat.nn.settings import AudioEncoderSettings
from atat.nn.transformer import Encoder


class ConvolutionalFrontEnd(nn.Module):
    """3x3 convolutions with ReLU, strided or followed by max-pooling; time and frequency shrink.

    Padding changes nothing: frames beyond an utterance's end are zero at every convolution,
    exactly as the convolution itself pads, and zero never wins a maximum after ReLU.
    """

    def __init__(self, settings: AudioEncoderSettings, width: int) -> None:
        super().__init__()
        channels = (1, *settings.conv_channels)
        strides = zip(settings.time_stride, settings.freq_stride)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, stride=stride)
            for inputs, outputs, stride in zip(channels, channels[1:], strides)
        )
        self.time_strides = settings.time_stride
        self.pools = tuple(zip(settings.time_pool, settings.freq_pool))
        bins = settings.mel_bins
        for factor in (f for pair in zip(settings.freq_stride, settings.freq_pool) for f in pair):
            bins = -(-bins // factor)
        self.projection = nn.Linear(channels[-1] * bins, width)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """features (B, T, F), lengths (B,) -> (B, T', D), lengths (B,)."""
        # (B, C, T, F) with the channels of a position adjacent in memory: convolution is twice as
        # fast, pooling ten times. With one channel, torch sees this only by the stride.
        x = _zero_beyond(features[:, None], lengths)[:, 0, :, :, None].permute(0, 3, 1, 2)
        for convolution, stride, pool in zip(self.convolutions, self.time_strides, self.pools):
            x = F.relu(convolution(x.contiguous(memory_format=torch.channels_last)))
            lengths = shortened(lengths, stride)
            x = _zero_beyond(x, lengths)
            if pool != (1, 1):
                x = F.max_pool2d(x, pool, ceil_mode=True)
                lengths = shortened(lengths, pool[0])
        return self.projection(x.transpose(1, 2).flatten(2)), lengths


def _zero_beyond(x: Tensor, lengths: Tensor) -> Tensor:
    """(B, C, T, F) with zeros where t is not below the utterance's length."""
    # As numbers: torch is slow at converting bool.
    return x * length_mask(lengths, x.shape[2])[:, None, :, None].to(x.dtype)


def shortened(lengths: Tensor, factor: int) -> Tensor:
    """Lengths after a stride, or a pooling that keeps a last, incomplete window."""
    return torch.div(lengths + factor - 1, factor, rounding_mode="floor")


class WeightedLayers(nn.Module):
    """The states of all layers, summed with weights that are the softmax of one scalar each.

    Yang et al. 2021 (SUPERB), as s3prl does it; layer_norm is its upstream_feature_normalize.
    """

    def __init__(self, layers: int, layer_norm: bool) -> None:
        super().__init__()
        self.scalars = nn.Parameter(torch.zeros(layers))
        self.layer_norm = layer_norm

    def weights(self) -> Tensor:
        """(L,), which sum to one."""
        return self.scalars.softmax(dim=0)

    def forward(self, states: Tensor) -> Tensor:
        """states (B, T, L * F), layer after layer -> (B, T, F)."""
        states = states.unflatten(2, (len(self.scalars), -1))
        if self.layer_norm:
            states = F.layer_norm(states, states.shape[-1:])
        return (self.weights()[:, None] * states).sum(dim=2)


class StackedFrontEnd(nn.Module):
    """States of a pretrained encoder: of one layer or a sum of all, each normalised, some side by
    side, projected to the width.

    Padding changes nothing: states beyond an utterance's end are zero after the normalisation.
    """

    def __init__(self, settings: AudioEncoderSettings, width: int) -> None:
        super().__init__()
        self.stack = settings.stack
        values, layers = settings.mel_bins, settings.pretrained_layers
        self.sum: nn.Module = nn.Identity()
        if settings.layers_read == "all":
            self.sum = WeightedLayers(layers, settings.layer_norm)
            values //= layers
        self.norm = nn.LayerNorm(values)
        self.projection = nn.Linear(self.stack * values, width)

    def forward(self, states: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """states (B, T, F), lengths (B,) -> (B, ceil(T / stack), D), lengths (B,).

        Of all layers, the F values are those of each layer, one after the other.
        """
        x = self.norm(self.sum(states))
        x = x * length_mask(lengths, x.shape[1])[:, :, None].to(x.dtype)
        x = F.pad(x, (0, 0, 0, -x.shape[1] % self.stack))
        x = x.unflatten(1, (-1, self.stack)).flatten(2)
        return self.projection(x), shortened(lengths, self.stack)


class AudioEncoder(nn.Module):
    """Front end and transformer, over a pretrained encoder that trains if there is one."""

    def __init__(
        self, settings: AudioEncoderSettings, width: int, pretrained: nn.Module | None = None
    ) -> None:
        super().__init__()
        over_states = settings.kind == "pretrained"
        front_end = StackedFrontEnd if over_states else ConvolutionalFrontEnd
        self.pretrained = pretrained
        self.front_end = front_end(settings, width)
        self.encoder = Encoder(
            width, settings.layers, settings.heads, settings.feed_forward, settings.dropout
        )

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """features (B, T, F), normalised, or samples (B, T) of a pretrained encoder that trains;
        lengths (B,) -> memory (B, T', D), lengths (B,)."""
        if self.pretrained is not None:
            features, lengths = self.pretrained(features, lengths)
        x, lengths = self.front_end(features, lengths)
        return self.encoder(x, lengths), lengths


def build_audio_encoder(
    settings: AudioEncoderSettings, width: int, pretrained: bool = True
) -> nn.Module:
    """Our own audio encoder or one from ESPnet2.

    pretrained False loads no weights of others: it builds the encoder of a packed model, and
    `settings.pretrained` then names the folder with the files of one that was trained. Raises
    InputError if an encoder cannot be loaded.
    """
    if settings.kind == "espnet":
        from atat.nn.espnet_encoder import EspnetEncoder

        return EspnetEncoder(
            settings if pretrained else replace(settings, espnet_weights=None), width
        )
    encoder = None
    if settings.trained:
        from atat.speech import hub_encoder

        assert settings.pretrained is not None
        if pretrained:
            encoder = hub_encoder.load(settings.pretrained, settings.layers_read)
        else:
            encoder = hub_encoder.packed(Path(settings.pretrained), settings.layers_read)
    return AudioEncoder(settings, width, encoder)


def save_encoder_files(model: nn.Module | None, folder: Path) -> None:
    """Write what a packed model needs of an encoder that it trained, besides the weights."""
    if isinstance(model, AudioEncoder) and model.pretrained is not None:
        from atat.speech import hub_encoder

        assert isinstance(model.pretrained, hub_encoder.HubStates)
        folder.mkdir(exist_ok=True)
        hub_encoder.save(model.pretrained, folder)
