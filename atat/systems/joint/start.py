"""The model at step 0: from settings, from a packed model, or with a packed audio encoder.

AT-AT, "Pretraining Phase" and "Finetuning Phase". Knows nothing of data.
"""

from __future__ import annotations

from dataclasses import replace

from atat.base.errors import InputError
from atat.engine import model_folder
from atat.speech import frontend
from atat.speech.frontend import Frontend
from atat.systems.joint.model import TRAINED_ENCODER, build_model
from atat.systems.joint.packed import Packed
from atat.systems.joint.settings import ModelSettings, TrainSettings
from atat.text.encoder_ids import PieceIds, build_encoder_ids
from atat.text.tasks import TASKS
from atat.text.tokenizer import Tokenizer


def start_model(settings: TrainSettings) -> tuple[Packed, set[str]]:
    """The model at step 0, and the names of its parameters that are pretrained."""
    tokenizer = Tokenizer.load(settings.tokenizer)
    tasks = tuple(dict.fromkeys(source.task for source in settings.train))
    _check_zero_shot(settings)
    _check_fixed(settings)
    if settings.init.model is not None and settings.init.part == "all":
        packed = _load_start(settings)
        _extend(packed, tokenizer, settings)
        loaded = {name for name, _ in packed.model.named_parameters()}
        loaded.discard("decoder.embedding.extension")
        packed.tasks = tuple(dict.fromkeys((*packed.tasks, *tasks)))
        for task in tasks:
            if not packed.model.accepts(task):
                raise InputError(
                    f"task {task} needs a model with a {TASKS[task].source} encoder; "
                    f"{settings.init.model} has none"
                )
        return packed, loaded
    model_settings, pretrained = _with_encoder(settings.model_of_mix())
    model, units = build_model(model_settings, tokenizer)
    text = model_settings.text_encoder
    packed = Packed(
        model,
        tokenizer,
        model_settings,
        units,
        build_encoder_ids(text.bert_or_none, tokenizer, units=text.units) if text else None,
        set(),
        tasks,
        pretrained=pretrained,
    )
    loaded = {name for name, _ in model.named_parameters() if name.startswith(TRAINED_ENCODER)}
    if settings.init.model:
        loaded |= _load_audio_encoder(packed, settings)
    if any(TASKS[task].source == "audio" for task in tasks):
        if settings.cmvn is None and settings.init.model is None and pretrained is None:
            raise InputError(
                "key `cmvn` is missing, but a task reads audio; make the file with: atat cmvn"
            )
    return packed, loaded


def _with_encoder(settings: ModelSettings) -> tuple[ModelSettings, Frontend | None]:
    """The settings with the sizes of the pretrained speech encoder's states, and that encoder."""
    audio = settings.audio_encoder
    if audio is None or audio.kind != "pretrained":
        return settings, None
    found = frontend.find(str(audio.pretrained), layers=audio.layers_read, trained=audio.trained)
    sizes = replace(audio, mel_bins=found.dim, pretrained_layers=found.num_layers)
    return replace(settings, audio_encoder=sizes), found


def _load_start(settings: TrainSettings) -> Packed:
    """The packed model to start from."""
    return model_folder.load_start(Packed, str(settings.init.model))


def _load_audio_encoder(packed: Packed, settings: TrainSettings) -> set[str]:
    """Copy CMVN, audio encoder and CTC head from a packed model; returns their parameter names."""
    base = _load_start(settings)
    own, state = packed.settings, base.model.state_dict()
    if not _hears_alike(base, packed):
        raise InputError(
            f"{settings.init.model}: its audio encoder has other settings than model.audio_encoder "
            "and model.width of this configuration, or reads other features "
            f"({base.frontend.kind}, here {packed.frontend.kind}); make them equal"
        )
    prefixes = ["audio_encoder.", "cmvn."]
    if base.settings.ctc.units == own.ctc.units and base.units and packed.units:
        if base.units.pieces == packed.units.pieces:
            prefixes.append("ctc.")
    chosen = {name: value for name, value in state.items() if name.startswith(tuple(prefixes))}
    packed.model.load_state_dict(chosen, strict=False)
    return set(chosen)


def _hears_alike(base: Packed, own: Packed) -> bool:
    """Whether two audio encoders are of one size and read the same; a speech encoder's folder may
    have moved."""
    one, other = base.settings.audio_encoder, own.settings.audio_encoder
    if one is not None and other is not None and one.kind == other.kind == "pretrained":
        one = replace(one, pretrained=other.pretrained)
    same = one == other and base.settings.width == own.settings.width
    return same and frontend.alike(base.frontend.kind, own.frontend.kind)


def _extend(packed: Packed, tokenizer: Tokenizer, settings: TrainSettings) -> None:
    """Give the pretrained model the tokenizer of this run, which may have more tags."""
    base = packed.tokenizer
    if not tokenizer.extends(base):
        raise InputError(
            f"{settings.tokenizer}: not an extension of the tokenizer of {settings.init.model} "
            "(other word pieces, or tags in another order), so its ids mean other tokens. Make one "
            f"with: atat tokenizer extend --tokenizer {settings.init.model}/tokenizer "
            f"--data DIR --out {settings.tokenizer}"
        )
    packed.model.extend(tokenizer.vocab_size - base.vocab_size)
    packed.tokenizer = tokenizer
    if isinstance(packed.source_text, PieceIds):
        packed.source_text = PieceIds(tokenizer)


def _check_fixed(settings: TrainSettings) -> None:
    """A part that is the start's, or never trains, has to come from somewhere."""
    init = settings.init
    if init.part != "all" and init.model is None:
        raise InputError(
            f"init.part: {init.part}: this part is that of the start model, and there is none; "
            "give --init or the key init.model, or remove the key"
        )
    if not init.fixed:
        return
    if init.model is None:
        raise InputError(
            f"init.fixed: {', '.join(init.fixed)}: these parts stay as those of the start model, "
            "and there is none; give --init or the key init.model, or remove the key"
        )
    if init.part == "audio_encoder" and "text_encoder" in init.fixed:
        raise InputError(
            "init.fixed: text_encoder: only the audio encoder is taken from the start model "
            "(init.part), so the text encoder would stay as random as it is; remove it from the key"
        )


def _check_zero_shot(settings: TrainSettings) -> None:
    """Only a model that knows audio and text can learn a new domain from text alone."""
    if not settings.zero_shot:
        return
    if settings.init.part != "all":
        raise InputError("zero_shot needs the whole pretrained model: set init.part to all")
    if settings.init.model is None:
        raise InputError("zero_shot needs a pretrained model: give --init or the key init.model")
    tasks = _load_start(settings).tasks
    missing = {"audio", "text"} - {TASKS[task].source for task in tasks}
    if missing:
        raise InputError(
            f"{settings.init.model} was trained on {', '.join(tasks)}, on no {missing.pop()} task; "
            "zero-shot learning needs a model pretrained on at least one audio and one text task "
            '(AT-AT, "Pretraining Phase"), such as slu, asr and nlu'
        )
