"""An encoder of `transformers` as a torch module: samples in, its hidden states out.

The same module computes the states of a frozen encoder (atat/speech/hub_encoder.py) and is a part
of a model that trains it. Knows no files.

Padding changes nothing: the recordings of a batch share a call only if that leaves each one's
states as they are (`Shape.padding`), and a norm over time is then that of each one's own frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from atat.base.errors import InputError
from atat.speech import audio, convolutions
from atat.speech.frontend import Layers
from atat.speech.moonshine import CONVOLUTIONS

# Model types that read the waveform through convolutions named in their configuration.
WAVEFORM = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat", "sew")
TYPES = (*WAVEFORM, "whisper", "moonshine")
WHISPER_SHIFT = 320  # samples: hops of 160, halved by a convolution
# Their convolutions over positions, or over pairs of states, reach from a recording's end into its
# padding, whatever the attention mask says.
REACHING = ("data2vec-audio", "sew")
# Scores of one attention (B, H, T, T) that are computed at once where gradients are on a CPU: the
# kernel that takes them in blocks has a backward pass three times as slow in bf16.
LARGEST_SCORES = 2**24


@dataclass(frozen=True)
class Shape:
    """What the configuration of an encoder says of its states."""

    type: str
    values: int  # of the state of one layer
    layers: int  # the input of the first one counts as one, as in s3prl
    convolutions: tuple[tuple[int, int], ...]
    longest: int  # samples; 0: any number
    padding: Literal["free", "masked", "none"]
    # free: every recording is padded to the same length; masked: an attention mask hides padding;
    # none: nothing does
    squeeze: int = 1  # outputs of the convolutions that SEW's transformer reads as one

    @classmethod
    def of(cls, config: Any, name: str) -> Shape:
        """Raises InputError for a model that is no speech encoder, or one not known here."""
        kind, layers = str(config.model_type), "num_hidden_layers"
        if kind not in TYPES:
            raise InputError(
                f"{name}: a model of type {kind}; expected a speech encoder: {', '.join(TYPES)}"
            )
        stack: convolutions.Stack
        if kind in WAVEFORM:
            stack, longest = list(zip(config.conv_kernel, config.conv_stride)), 0
        elif kind == "whisper":
            stack, layers = [(WHISPER_SHIFT, WHISPER_SHIFT)], "encoder_layers"
            longest = int(config.max_source_positions) * WHISPER_SHIFT
        else:
            stack, layers, longest = CONVOLUTIONS, "encoder_num_hidden_layers", 0
        return cls(
            type=kind,
            values=int(config.hidden_size),
            layers=int(getattr(config, layers)) + 1,
            convolutions=tuple((int(kernel), int(stride)) for kernel, stride in stack),
            longest=longest,
            padding="free" if kind == "whisper" else "none" if kind in REACHING else "masked",
            squeeze=int(config.squeeze_factor) if kind == "sew" else 1,
        )

    @property
    def frame_shift(self) -> float:
        """Seconds from one state to the next."""
        return convolutions.shift(self.convolutions) / audio.SAMPLE_RATE

    @property
    def shortest(self) -> int:
        """The fewest samples that give a state."""
        # Whisper's features are padded: a last state may cover less than its hop.
        if self.type == "whisper":
            return 1
        more = (self.squeeze - 1) * convolutions.shift(self.convolutions)
        return convolutions.shortest(self.convolutions) + more

    def num_frames(self, num_samples: int) -> int:
        """States of a recording."""
        if self.type == "whisper":
            return -(-num_samples // WHISPER_SHIFT)
        if num_samples < self.shortest:
            return 0
        return convolutions.outputs(self.convolutions, num_samples)

    def check(self, num_samples: int) -> None:
        """Raise InputError for a recording longer than the encoder takes."""
        if 0 < self.longest < num_samples:
            raise InputError(
                f"lasts {num_samples / audio.SAMPLE_RATE:.1f} s, the encoder takes at most "
                f"{self.longest / audio.SAMPLE_RATE:.0f} s; cut it"
            )

    def heard_by_mask(self, num_samples: int) -> int:
        """Samples that an attention mask must leave for the states of a recording to be seen."""
        # Of Moonshine's mask every 384th value counts, from the first one on.
        if self.type == "moonshine":
            return self.num_frames(num_samples) * convolutions.shift(self.convolutions)
        return num_samples

    def read(self, layers: Layers) -> int:
        """How many layers that are."""
        return self.layers if layers == "all" else 1

    def dim(self, layers: Layers) -> int:
        """Values of a frame: the state of the last layer, or of all of them side by side."""
        return self.values * self.read(layers)


class OwnGroupNorm(nn.GroupNorm):
    """A group norm over time, of each recording's own frames where others follow."""

    frames: Sequence[int] = ()  # of each recording of the batch; empty: all are its own

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, T) -> (B, C, T), zero beyond a recording's frames."""
        if not self.frames:
            return super().forward(x)
        rows = [
            super(OwnGroupNorm, self).forward(row[None, :, :n]) for row, n in zip(x, self.frames)
        ]
        return torch.cat([F.pad(row, (0, x.shape[2] - row.shape[2])) for row in rows])


class HubStates(nn.Module):
    """An encoder, and what its feature extractor does before it."""

    filters: Tensor  # of Whisper's features (bins, M)

    def __init__(self, encoder: Any, shape: Shape, extractor: Any, layers: Layers) -> None:
        """extractor: of `transformers`; None for Moonshine, which reads samples as they are.

        Raises InputError for layers that cannot be read side by side.
        """
        super().__init__()
        if layers == "all" and shape.type == "sew":
            raise InputError(
                "the inner layers of SEW have a state where its last one has two, so that they "
                "cannot be read side by side; read the last one: layers_read: last, --layers last"
            )
        self.encoder, self.shape, self.extractor, self.layers = encoder, shape, extractor, layers
        self.normalised = shape.type in WAVEFORM and bool(extractor.do_normalize)
        if shape.type == "whisper":
            filters = torch.from_numpy(extractor.mel_filters).float()
            self.register_buffer("filters", filters, persistent=False)
        if shape.type in WAVEFORM:
            # Fixed in finetuning, too (Baevski et al. 2020, 4.3).
            encoder.feature_extractor._freeze_parameters()
        if shape.type == "whisper":
            encoder.embed_positions.requires_grad_(False)  # sines, as its authors have them
        if shape.type == "wavlm":
            for layer in encoder.encoder.layers:
                layer.attention.keeps_float = True  # for `atat.nn.int8`
        self._attention = str(encoder.config._attn_implementation)
        self._norms = _own_norms(encoder) if shape.padding == "masked" else []
        self.fixed = {name for name, one in self.named_parameters() if not one.requires_grad}

    def forward(self, samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """samples (B, T') in [-1, 1], zero beyond lengths (B,) -> states (B, T, F), lengths (B,).

        F: `Shape.dim`. A recording that is too short for a state has length 0.
        """
        shape, sizes = self.shape, lengths.tolist()
        frames = [shape.num_frames(size) for size in sizes]
        # One that is too short counts as if silence followed; of its states none is kept.
        sizes = [max(size, shape.shortest) for size in sizes]
        samples = F.pad(samples, (0, max(0, max(sizes) - samples.shape[1])))
        self._choose_attention(samples)
        if shape.padding == "free":
            states = self._read(self._log_mel(samples))
        elif len(set(sizes)) == 1:
            states = self._read(self._ready(samples[:, : sizes[0]]))
        elif shape.padding == "masked":
            rows = [self._ready(row[:size]) for row, size in zip(samples, sizes)]
            seen = lengths.new_tensor([shape.heard_by_mask(size) for size in sizes])
            mask = torch.arange(max(sizes), device=samples.device) < seen[:, None]
            with self._norms_of(sizes):
                states = self._read(pad_sequence(rows, batch_first=True), mask.long())
        else:
            alone = [self._read(self._ready(row[None, :n]))[0] for row, n in zip(samples, sizes)]
            states = pad_sequence(alone, batch_first=True)
        return states[:, : max(frames)].float(), lengths.new_tensor(frames)

    def _choose_attention(self, samples: Tensor) -> None:
        """Let transformers compute attention in the way that trains fastest here."""
        if self._attention != "sdpa":
            return  # there is no choice
        wanted = self._attention
        if torch.is_grad_enabled() and samples.device.type == "cpu":
            frames = self.shape.num_frames(self.shape.longest or samples.shape[1])
            heads = self.encoder.config.num_attention_heads
            if len(samples) * heads * frames**2 <= LARGEST_SCORES:
                wanted = "eager"
        if self.encoder.config._attn_implementation != wanted:
            self.encoder.set_attn_implementation(wanted)

    @contextmanager
    def _norms_of(self, sizes: Sequence[int]) -> Iterator[None]:
        """Norms over time see so many samples of each recording."""
        first = self.shape.convolutions[:1]
        for norm in self._norms:
            norm.frames = [convolutions.outputs(first, size) for size in sizes]
        try:
            yield
        finally:
            for norm in self._norms:
                norm.frames = ()

    def _read(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the encoder gives (B, T, F)."""
        every = self.layers == "all"
        masked = {} if mask is None else {"attention_mask": mask}
        found = self.encoder(inputs, output_hidden_states=every, **masked)
        last: Tensor = found.last_hidden_state
        # Some norm the last layer's output once more, which is not among the hidden states.
        return torch.cat([*found.hidden_states[:-1], last], dim=-1) if every else last

    def _ready(self, samples: Tensor) -> Tensor:
        """Samples (..., T') with mean 0 and variance 1, if the encoder was trained on such."""
        if not self.normalised:
            return samples
        variance, mean = torch.var_mean(samples, dim=-1, correction=0, keepdim=True)
        return (samples - mean) / (variance + 1e-7).sqrt()

    def _log_mel(self, samples: Tensor) -> Tensor:
        """Whisper's features (B, M, frames): 8 decades of log-mel energies, padded to its length.

        Radford et al. 2022, 2.2: windows of 25 ms every 10 ms.
        """
        samples = F.pad(samples, (0, self.shape.longest - samples.shape[1])).float()
        with torch.autocast(samples.device.type, enabled=False):
            size = self.extractor.n_fft
            window = torch.hann_window(size, device=samples.device)
            spectrum = torch.stft(
                samples, size, WHISPER_SHIFT // 2, window=window, return_complex=True
            )
            power = spectrum[..., :-1].abs() ** 2
            log = (self.filters.T @ power).clamp(min=1e-10).log10()
            log = torch.maximum(log, log.amax(dim=(1, 2), keepdim=True) - 8)
            return (log + 4) / 4


def _own_norms(encoder: Any) -> list[OwnGroupNorm]:
    """Replace the group norms of an encoder, which follow its first convolution."""
    found = []
    for name, norm in list(encoder.named_modules()):
        if isinstance(norm, nn.GroupNorm):
            own = OwnGroupNorm(norm.num_groups, norm.num_channels, norm.eps)
            own.weight, own.bias = norm.weight, norm.bias
            parent, _, last = name.rpartition(".")
            setattr(encoder.get_submodule(parent), last, own)
            found.append(own)
    return found
