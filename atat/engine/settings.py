"""Every setting of a training run, with its meaning: what the keys of `conf/*.yaml` are.

Only values live here; what they do is in the modules named in the comments. The defaults are
the paper's (AT-AT, "Experimental Details") wherever it gives one, but for the text encoder: BERT
has to be asked for, since it may come from the network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Optional

from atat.base.errors import InputError
from atat.systems.joint.tasks import TASKS


def _at_least(smallest: int, **values: int) -> None:
    for name, value in values.items():
        if value < smallest:
            raise InputError(f"{name} is {value}; expected at least {smallest}")


def _share(**values: float) -> None:
    """Dropout rates and the like."""
    for name, value in values.items():
        if not 0 <= value < 1:
            raise InputError(f"{name} is {value}; expected at least 0 and below 1")


# Of ESPnet's layers `input_layer` that shorten; the others (linear, none) leave the length alone.
ESPNET_SUBSAMPLING = {
    "conv1d2": 2,
    "conv1d3": 3,
    "conv2d": 4,
    "conv2d2": 2,
    "conv2d6": 6,
    "conv2d8": 8,
}


@dataclass(frozen=True)
class AudioEncoderSettings:
    """atat/nn/audio_encoder.py, or an ESPnet2 encoder by name (atat/nn/espnet_encoder.py)."""

    kind: Literal["transformer", "espnet"] = "transformer"
    mel_bins: int = 80
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
        _at_least(1, mel_bins=self.mel_bins, layers=self.layers, heads=self.heads)
        _at_least(1, feed_forward=self.feed_forward)
        _share(dropout=self.dropout)
        if self.kind == "espnet" and not self.espnet_name:
            raise InputError(
                "kind espnet needs espnet_name: transformer, conformer, e_branchformer"
            )


@dataclass(frozen=True)
class TextEncoderSettings:
    """atat/nn/text_encoder.py: BERT from `transformers`, or a small transformer from scratch."""

    kind: Literal["bert", "small"] = "small"
    bert: Optional[str] = None  # kind bert: a folder, or a name on the hub, as bert-base-uncased
    layers: int = 4  # the rest: kind small only
    heads: int = 4
    feed_forward: int = 1024
    dropout: float = 0.1
    word_dropout: float = 0.0  # share of source tokens hidden in training

    def __post_init__(self) -> None:
        _at_least(1, layers=self.layers, heads=self.heads, feed_forward=self.feed_forward)
        _share(dropout=self.dropout, word_dropout=self.word_dropout)
        if self.kind == "bert" and not self.bert:
            raise InputError(
                "kind bert needs the key `bert`: a folder with a BERT saved by `transformers`, or "
                "a name on its hub, such as bert-base-uncased, which is downloaded"
            )


@dataclass(frozen=True)
class DecoderSettings:
    """atat/nn/decoder.py."""

    layers: int = 6
    heads: int = 4
    feed_forward: int = 2048
    dropout: float = 0.1

    def __post_init__(self) -> None:
        _at_least(1, layers=self.layers, heads=self.heads, feed_forward=self.feed_forward)
        _share(dropout=self.dropout)


@dataclass(frozen=True)
class CtcSettings:
    """An additional CTC loss on the audio encoder, on the words only (atat/nn/ctc.py)."""

    weight: float = 0.0  # 0: no CTC head
    units: Literal["characters", "pieces"] = "characters"


@dataclass(frozen=True)
class ModelSettings:
    """atat/systems/joint/model.py."""

    width: int = 256
    audio_encoder: Optional[AudioEncoderSettings] = field(default_factory=AudioEncoderSettings)
    text_encoder: Optional[TextEncoderSettings] = field(default_factory=TextEncoderSettings)
    decoder: DecoderSettings = field(default_factory=DecoderSettings)
    ctc: CtcSettings = field(default_factory=CtcSettings)

    def __post_init__(self) -> None:
        heads = {"decoder": self.decoder.heads}
        if self.audio_encoder is not None and self.audio_encoder.kind == "transformer":
            heads["audio_encoder"] = self.audio_encoder.heads
        if self.text_encoder is not None and self.text_encoder.kind == "small":
            heads["text_encoder"] = self.text_encoder.heads
        for part, number in heads.items():
            if self.width < 2 or self.width % 2 or self.width % number:
                raise InputError(
                    f"width is {self.width}; expected an even number that {part}.heads "
                    f"({number}) divides"
                )


@dataclass(frozen=True)
class Source:
    """One line of the mix: which data dir, for which task, how often (atat/engine/sampler.py)."""

    data: str
    task: str
    weight: float = 1.0  # expected share of examples, relative to the other sources
    loss_weight: float = 1.0  # of every target token, so that long targets don't drown short ones

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise InputError(f"task `{self.task}` is unknown; known tasks: {', '.join(TASKS)}")
        if self.weight <= 0:
            raise InputError(f"weight of {self.data} ({self.task}) is {self.weight}; expected > 0")
        if self.loss_weight <= 0:
            raise InputError(
                f"loss_weight of {self.data} ({self.task}) is {self.loss_weight}; expected > 0"
            )


@dataclass(frozen=True)
class AugmentSettings:
    """atat/speech/augment.py; drawn freshly for every example and epoch. All off by default."""

    time_masks: int = 0  # SpecAugment: how many, and how wide at most (frames of 10 ms, mel bins)
    time_mask_width: int = 20
    freq_masks: int = 0
    freq_mask_width: int = 16
    speeds: tuple[float, ...] = ()  # e.g. [0.9, 1.0, 1.1]; needs features: wav
    noise: tuple[str, ...] = ()  # audio files or folders of them; needs features: wav
    noise_probability: float = 0.5
    noise_snr: tuple[float, ...] = (5.0, 25.0)  # dB, from .. to
    white_noise: bool = False  # stationary noise of random colour, where no recordings are at hand
    reverb_probability: float = 0.0  # a synthetic room; needs features: wav
    filter_probability: float = 0.0  # a random tilt of the spectrum; needs features: wav

    def __post_init__(self) -> None:
        for name in ("noise_probability", "reverb_probability", "filter_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}; expected 0 to 1")
        _at_least(0, time_masks=self.time_masks, time_mask_width=self.time_mask_width)
        _at_least(0, freq_masks=self.freq_masks, freq_mask_width=self.freq_mask_width)
        if len(self.noise_snr) != 2:
            raise InputError(f"noise_snr has {len(self.noise_snr)} values; expected from and to")

    @property
    def needs_waveform(self) -> bool:
        return bool(
            self.speeds
            or self.noise
            or self.white_noise
            or self.reverb_probability
            or self.filter_probability
        )


@dataclass(frozen=True)
class BatchSettings:
    """atat/engine/sampler.py. Data that alone exceeds a budget counts as lost (`max_lost`)."""

    examples: int = 64  # mean number in an optimizer step, all sources and all ranks together
    max_frames: int = 40000  # padded audio frames in one forward pass; more is accumulated
    max_tokens: int = 8000  # padded words of source text in one forward pass
    # Padded target tokens in one forward pass; U tokens count U + U**2 / 1000
    # (atat/engine/batching.py), so that 100 targets of 70 tokens fill it, or one of 2,300
    max_targets: int = 8000
    block: int = 50  # steps whose examples are drawn together and sorted by length
    short_first_steps: int = 0  # curriculum: the longest utterance allowed grows until this step
    short_first_seconds: float = 2.0  # ... starting from here

    def __post_init__(self) -> None:
        _at_least(1, examples=self.examples, block=self.block)
        _at_least(1, max_frames=self.max_frames, max_tokens=self.max_tokens)
        _at_least(1, max_targets=self.max_targets)


@dataclass(frozen=True)
class OptimSettings:
    """atat/engine/optim.py."""

    schedule: Literal["noam", "linear", "cosine", "constant"] = "noam"
    factor: float = 1.0  # noam's factor
    peak: float = 1.0e-3  # peak learning rate of the other schedules
    warmup: int = 4000
    betas: tuple[float, ...] = (0.9, 0.98)
    eps: float = 1.0e-9
    weight_decay: float = 0.0
    clip: float = 5.0  # gradient norm
    bert_multiplier: float = 0.02  # noam's peak of 1e-3 destroys a pretrained BERT
    label_smoothing: float = 0.1

    def __post_init__(self) -> None:
        _at_least(0, warmup=self.warmup)
        _share(label_smoothing=self.label_smoothing)
        if len(self.betas) != 2:
            raise InputError(f"betas has {len(self.betas)} values; expected two")
        if self.clip <= 0:
            raise InputError(f"clip is {self.clip}; expected > 0 (a large one to switch it off)")


@dataclass(frozen=True)
class InitSettings:
    """Starting from a packed model, with the paper's gradual unfreezing (atat/engine/optim.py)."""

    model: Optional[str] = None  # packed model folder; --init on the command line wins
    part: Literal["all", "audio_encoder"] = "all"
    # [steps, multiplier of the learning rate of what is pretrained], one after the other; 1 after
    unfreeze: tuple[tuple[float, ...], ...] = ((500, 0.0), (100, 0.2), (100, 0.5), (100, 0.7))
    always_unfreeze: bool = False  # also when no parameter is new; then phases at 0 are left out

    def __post_init__(self) -> None:
        if any(len(phase) != 2 for phase in self.unfreeze):
            raise InputError("unfreeze: expected pairs [steps, multiplier]")


@dataclass(frozen=True)
class ValidSettings:
    """What is looked at while training, and which checkpoint is kept as the best."""

    sources: tuple[Source, ...] = ()
    every: int = 1000  # steps
    decode: int = 100  # utterances of each source that are decoded, greedily, for exact match
    select: Literal["loss", "exact_match"] = "loss"  # loss: cross entropy, without CTC
    keep_last: int = 3
    average: int = 0  # the packed model is the mean of the last N checkpoints; 0: the best one

    def __post_init__(self) -> None:
        _at_least(1, every=self.every, keep_last=self.keep_last)
        _at_least(0, decode=self.decode, average=self.average)
        if self.select == "exact_match" and self.decode < 1:
            raise InputError("select: exact_match needs decode of at least 1")


@dataclass(frozen=True)
class TrainSettings:
    """A whole training run: the top level of conf/*.yaml."""

    tokenizer: str
    train: tuple[Source, ...]
    steps: int
    cmvn: Optional[str] = None  # needed as soon as a source is audio
    features: Literal["ark", "wav"] = "ark"
    seed: int = 1
    zero_shot: bool = False  # demand a start that knows audio and text (see atat/engine/train.py)
    model: ModelSettings = field(default_factory=ModelSettings)  # ignored when started from --init
    valid: ValidSettings = field(default_factory=ValidSettings)
    batch: BatchSettings = field(default_factory=BatchSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    optim: OptimSettings = field(default_factory=OptimSettings)
    init: InitSettings = field(default_factory=InitSettings)
    # Of products: auto is bf16 where the hardware has it, fp32 elsewhere (atat/base/precision.py).
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    mask_words: float = 0.15  # share of words whose audio is masked for task mlm
    checkpoint_every: int = 500  # steps; what an interruption can cost at most
    log_every: int = 20
    workers: int = 1  # processes that prepare batches
    max_lost: float = 0.01  # share of examples that may be unusable before the run is refused

    def __post_init__(self) -> None:
        _at_least(1, steps=self.steps, checkpoint_every=self.checkpoint_every)
        _at_least(1, log_every=self.log_every)
        _at_least(0, workers=self.workers)
        if not 0 < self.mask_words <= 1:
            raise InputError(f"mask_words is {self.mask_words}; expected above 0, at most 1")
        if not self.train:
            raise InputError("key `train` is empty; list at least one {data, task}")
        if self.augment.needs_waveform and self.features != "wav":
            raise InputError("speeds, noise, reverb and filter work on audio: set `features: wav`")

    def model_of_mix(self) -> ModelSettings:
        """The model without an encoder that no task of the mix reads with."""
        sources = {TASKS[source.task].source for source in self.train}
        model = self.model
        if "text" not in sources:
            model = replace(model, text_encoder=None)
        if "audio" not in sources:
            model = replace(model, audio_encoder=None)
        return model
