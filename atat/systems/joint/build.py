"""Assembles a run of AT-AT: data, model, and which of its parameters train.

AT-AT, "Pretraining Phase": the tasks of the mix decide which encoder trains.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import torch
from torch import nn

from atat.base.errors import InputError
from atat.datadir import cmvn
from atat.engine.contract import Group, Parts
from atat.speech.augmenter import Augmenter
from atat.systems.joint.data import TaskData
from atat.systems.joint.examples import Encoding
from atat.systems.joint.model import BERT, TRAINED_ENCODER, Atat
from atat.systems.joint.packed import Packed
from atat.systems.joint.settings import TrainSettings
from atat.systems.joint.start import start_model
from atat.text.confusions import Confusions
from atat.text.tasks import TASKS

logger = logging.getLogger(__name__)


def build(settings: TrainSettings) -> Parts:
    """Everything the engine needs for the run. Raises InputError for invalid settings or data."""
    packed, loaded = start_model(settings)
    if packed.frontend.within:
        _check_samples(settings)
    encoding = _encoding(settings, packed)
    augmenter = Augmenter(settings.augment)
    lost, batch = settings.max_lost, settings.batch
    data = [TaskData(source, encoding, augmenter, lost, batch) for source in settings.train]
    valid = [TaskData(source, encoding, None, lost, batch) for source in settings.valid.sources]
    for source in data:
        packed.pairs |= source.pairs()
        _warn_of_ctc(source)
    model = packed.model
    model.label_smoothing = settings.optim.label_smoothing
    if settings.optim.consistency:
        _check_consistency(settings, model)
        model.consistency = settings.optim.consistency
    if settings.cmvn and settings.init.model is None:
        mean, inverse_std = cmvn.load(settings.cmvn)
        if len(mean) != len(model.cmvn.mean):
            raise InputError(
                f"{settings.cmvn}: statistics of {len(mean)} values, the model reads features of "
                f"{len(model.cmvn.mean)}; make them of the same features: atat cmvn"
            )
        model.cmvn.mean.copy_(torch.from_numpy(mean))
        model.cmvn.inverse_std.copy_(torch.from_numpy(inverse_std))
    heard, read = any(d.is_audio for d in data), any(not d.is_audio for d in data)
    return Parts(
        packed=packed,
        train=list(data),
        valid=list(valid),
        groups=groups(
            model,
            loaded,
            heard,
            read,
            {
                BERT: settings.optim.bert_multiplier,
                TRAINED_ENCODER: settings.optim.encoder_multiplier,
            },
            settings.init.fixed,
        ),
        width=packed.settings.width,
        identity=packed.tokenizer.fingerprint(),
    )


def _check_consistency(settings: TrainSettings, model: Atat) -> None:
    """Raise InputError if the text encoder does not read the units of transcripts that CTC has."""
    if model.bridge is None and settings.init.model is None and settings.model.bridge.share > 0:
        raise InputError(
            f"optim.consistency is {settings.optim.consistency:g}, but no task of the mix reads "
            "text, so the model has no text encoder; add a source of task nlu, or set it to 0"
        )
    if model.bridge is None:
        raise InputError(
            f"optim.consistency is {settings.optim.consistency:g}, but the model has no bridge, so "
            "its text encoder may read other units than its CTC head; set optim.consistency to 0, "
            "or train a model with model.bridge.share above 0"
        )


def _check_samples(settings: TrainSettings) -> None:
    """Raise InputError for settings that are about frames, where the model makes its own."""
    sources = (*settings.train, *settings.valid.sources)
    if not any(TASKS[source.task].source == "audio" for source in sources):
        return
    trains = "a model that trains its speech encoder (audio_encoder.trained) reads recordings"
    if settings.features != "wav":
        raise InputError(f"features: {settings.features}: {trains}; set `features: wav`")
    if settings.augment.time_masks or settings.augment.freq_masks:
        raise InputError(
            f"augment: time_masks and freq_masks change stored frames, and {trains}; set both to 0 "
            "and use speeds, noise, reverb and filter"
        )
    if settings.cmvn and settings.init.model is None:
        raise InputError(f"cmvn: {settings.cmvn} is of stored frames, and {trains}; remove the key")


def _encoding(settings: TrainSettings, packed: Packed) -> Encoding:
    audio = packed.settings.audio_encoder
    return Encoding(
        tokenizer=packed.tokenizer,
        source_text=packed.source_text,
        units=packed.units,
        subsampling=audio.subsampling if audio else 1,
        mel_bins=audio.mel_bins if audio else 80,
        features=settings.features,
        mask_words=settings.mask_words,
        misheard=settings.misheard,
        ear=_ear(settings, packed),
        pretrained=packed.pretrained,
    )


def _ear(settings: TrainSettings, packed: Packed) -> Confusions | None:
    """Who mishears the texts of training, if the conf says."""
    if settings.confusions is None:
        return None
    text = packed.settings.text_encoder
    if text is None or text.units != "phones":
        raise InputError(
            f"confusions: {settings.confusions} is of phones, which the text encoder does "
            "not read; set text_encoder.units to phones, or remove the key"
        )
    return Confusions.read(settings.confusions)


def groups(
    model: nn.Module,
    loaded: Iterable[str],
    tasks_audio: bool,
    tasks_text: bool,
    multipliers: Mapping[str, float] | None = None,
    fixed: Iterable[str] = (),
) -> list[Group]:
    """The parameters that train: all, except those of an encoder that no task of the mix uses.

    loaded: names of the parameters that are pretrained, for unfreezing. multipliers: of the
    learning rates of parameters whose names begin so. fixed: parts that do not train either.
    """
    loaded, multipliers = set(loaded), multipliers or {}
    unused = ([] if tasks_audio else ["audio_encoder.", "ctc."]) + (
        [] if tasks_text else ["text_encoder."]
    )
    unused += [f"{part}." for part in fixed]
    unused += [
        f"{part}.{name}"
        for part, module in model.named_modules()
        for name in getattr(module, "fixed", ())
    ]
    parameters = {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.numel() and not name.startswith(tuple(unused))
    }
    found = []
    for pretrained in (False, True):
        for prefix in ("", *multipliers):
            chosen = [
                parameter
                for name, parameter in parameters.items()
                if (name in loaded) == pretrained
                if next((p for p in multipliers if name.startswith(p)), "") == prefix
            ]
            found.append(Group(chosen, pretrained, multipliers.get(prefix, 1.0)))
    return [group for group in found if group.parameters]


def _warn_of_ctc(source: TaskData) -> None:
    if source.ctc_too_short:
        logger.warning(
            "%s: %d of %d utterances have fewer encoder states than CTC needs for their words; "
            "their CTC loss is 0",
            source.data,
            source.ctc_too_short,
            len(source),
        )
