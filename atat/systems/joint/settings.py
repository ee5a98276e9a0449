"""Settings of an AT-AT training: the keys of `conf/*.yaml` besides those of every run
(`atat.engine.settings`) and the sizes of layers (`atat.nn.settings`).

This module holds only values; what they do is in the modules named in the comments.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Optional

from atat.base import config
from atat.base.errors import InputError
from atat.base.limits import below_one
from atat.engine import settings as engine
from atat.nn.settings import (
    AudioEncoderSettings,
    BridgeSettings,
    CtcSettings,
    DecoderSettings,
    TextEncoderSettings,
)
from atat.speech.settings import AugmentSettings
from atat.text.tasks import TASKS


def hears_waveform(features: str, *, masked: bool, encoded: bool) -> bool:
    """Whether examples of audio are made of samples: mlm masks words before a speech encoder."""
    return features == "wav" or (masked and encoded)


@dataclass(frozen=True)
class ModelSettings:
    """atat/systems/joint/model.py."""

    width: int = 256
    audio_encoder: Optional[AudioEncoderSettings] = field(default_factory=AudioEncoderSettings)
    text_encoder: Optional[TextEncoderSettings] = field(default_factory=TextEncoderSettings)
    decoder: DecoderSettings = field(default_factory=DecoderSettings)
    ctc: CtcSettings = field(default_factory=CtcSettings)
    bridge: BridgeSettings = field(default_factory=BridgeSettings)

    def __post_init__(self) -> None:
        self._check_bridge()
        heads = {"decoder": self.decoder.heads}
        if self.audio_encoder is not None and self.audio_encoder.kind != "espnet":
            heads["audio_encoder"] = self.audio_encoder.heads
        if self.text_encoder is not None and self.text_encoder.kind == "small":
            heads["text_encoder"] = self.text_encoder.heads
        for part, number in heads.items():
            if self.width < 2 or self.width % 2 or self.width % number:
                raise InputError(
                    f"width is {self.width}; expected an even number that {part}.heads "
                    f"({number}) divides"
                )

    def _check_bridge(self) -> None:
        """A bridge joins a CTC head and a small text encoder of the same units."""
        text = self.text_encoder
        if self.bridge.share == 0 or text is None or self.audio_encoder is None:
            return  # where one of the encoders is not used, neither is the bridge
        if text.kind != "small":
            raise InputError(
                "bridge.share: the bridge leads to a text encoder of kind small, not to BERT; set "
                "text_encoder.kind to small, or bridge.share to 0"
            )
        if self.ctc.weight == 0 or self.ctc.units != text.units:
            raise InputError(
                "bridge.share: the bridge needs a CTC head (ctc.weight above 0) whose units are "
                f"those of the text encoder; ctc.units is {self.ctc.units}, text_encoder.units is "
                f"{text.units}"
            )


@dataclass(frozen=True)
class OptimSettings(engine.OptimSettings):
    """The settings of every run, and four of this model."""

    bert_multiplier: float = 0.02  # noam's peak of 1e-3 destroys a pretrained BERT
    # Of a speech encoder that trains: 3e-5 at that peak, as fairseq finetunes wav2vec 2.0 on 100 h.
    encoder_multiplier: float = 0.03
    label_smoothing: float = 0.1
    # Weight of the divergence of what the decoder says of a recording from what it says of its
    # transcript; for a model with a bridge.
    consistency: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        below_one(label_smoothing=self.label_smoothing)
        if not 0 <= self.consistency < math.inf:
            raise InputError(f"consistency is {self.consistency}; expected at least 0")


@dataclass(frozen=True)
class InitSettings(engine.InitSettings):
    """The settings of every run, and which part of the start model is used."""

    part: Literal["all", "audio_encoder"] = "all"
    # Parts of the start model that stay as they are.
    fixed: tuple[Literal["audio_encoder", "text_encoder", "ctc"], ...] = ()


@dataclass(frozen=True, kw_only=True)
class TrainSettings(engine.RunSettings):
    """A whole training run of AT-AT: the top level of conf/*.yaml."""

    tokenizer: str
    cmvn: Optional[str] = None  # needed if a source is audio; a start model has its own
    features: Literal["ark", "wav"] = "ark"
    zero_shot: bool = False  # require a start model that knows audio and text (joint/start.py)
    model: ModelSettings = field(default_factory=ModelSettings)  # ignored with --init
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    optim: OptimSettings = field(default_factory=OptimSettings)
    init: InitSettings = field(default_factory=InitSettings)
    mask_words: float = 0.15  # share of words whose audio is masked for task mlm
    # Share of phones or letters of source texts, where a task reads text (text/mishearing.py).
    misheard: float = 0.0
    confusions: Optional[str] = None  # which phones for which: a file of `atat confusions`

    def __post_init__(self) -> None:
        super().__post_init__()
        for source in (*self.train, *self.valid.sources):
            if source.task not in TASKS:
                raise InputError(
                    f"task `{source.task}` is unknown; known tasks: {', '.join(TASKS)}"
                )
        if self.valid.select == "exact_match" and self.valid.decode < 1:
            raise InputError(
                "valid.select: exact_match needs valid.decode of at least 1, now "
                f"{self.valid.decode}"
            )
        if not 0 < self.mask_words <= 1:
            raise InputError(f"mask_words is {self.mask_words}; expected above 0, at most 1")
        below_one(misheard=self.misheard)
        if self.confusions is not None and self.misheard == 0:
            raise InputError(
                f"confusions: {self.confusions} is of no use, since misheard is 0; set it to the "
                "share of the phones that is misheard, such as 0.2"
            )
        if self.augment.needs_waveform and self.features != "wav":
            raise InputError("speeds, noise, reverb and filter work on audio: set `features: wav`")

    def model_of_mix(self) -> ModelSettings:
        """The model settings without an encoder that no task of the mix uses."""
        sources = {TASKS[source.task].source for source in self.train}
        model = self.model
        if "text" not in sources:
            model = replace(model, text_encoder=None)
        if "audio" not in sources:
            model = replace(model, audio_encoder=None)
        return model

    def compared(self) -> dict[str, Any]:
        """Settings that must not change within a run; of the model's, only those that are used."""
        if self.init.model is not None and self.init.part == "all":
            model = ModelSettings()  # it is the start's
        else:
            model = self.model_of_mix()
        return config.to_dict(replace(self, model=model))

    def _sounds(self, sources: Iterable[engine.SourceSettings]) -> Iterator[tuple[str, str]]:
        """Data dirs whose sound is read, and of which kind: mlm masks it before an encoder."""
        from atat.speech import frontend

        if self.init.model is not None:
            encoded = (Path(self.init.model) / frontend.DESCRIPTION).is_file()
        else:
            audio = self.model.audio_encoder
            encoded = audio is not None and audio.kind == "pretrained"
        for source in sources:
            task = TASKS[source.task]
            if task.source == "audio":
                samples = hears_waveform(self.features, masked=task.masked, encoded=encoded)
                yield source.data, "wav" if samples else "feats"

    def digests(self) -> dict[str, str]:
        """Digests of data, recordings, noise, tokenizer, start, and what a new model begins with:
        BERT, an encoder of speech, the CMVN."""
        from atat.datadir import fingerprint

        sources = (*self.train, *self.valid.sources)
        found = fingerprint.of_data(dict.fromkeys(source.data for source in sources))
        for folder, kind in dict.fromkeys(self._sounds(sources)):
            found |= fingerprint.of_sound(folder, kind)
        # It contains the fingerprint of the word pieces.
        found |= fingerprint.of_file(Path(self.tokenizer) / "tokenizer.json")
        if self.confusions is not None:
            found |= fingerprint.of_file(self.confusions)
        found |= fingerprint.of_noise(self.augment.noise)
        if self.init.model is not None:
            found |= fingerprint.of_model(self.init.model)
            if self.init.part == "all":
                return found
        elif self.cmvn:
            found |= fingerprint.of_file(self.cmvn)
        model = self.model_of_mix()
        text = model.text_encoder
        found |= fingerprint.of_bert(text.bert_or_none if text else None)
        audio = model.audio_encoder
        if audio is not None and audio.kind == "pretrained":
            found |= fingerprint.of_encoder(str(audio.pretrained), audio.layers_read, audio.trained)
        if audio is not None and audio.espnet_weights and self.init.model is None:
            found |= fingerprint.of_file(audio.espnet_weights)  # a start's encoder replaces it
        return found
