"""Assembles a run: the frozen acoustic model, BERT or the model to start from, and data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from atat.base.errors import InputError
from atat.datadir import kaldi_dir
from atat.engine import model_folder
from atat.engine.acoustic_start import acoustic_of
from atat.engine.contract import Group, Parts
from atat.engine.settings import SourceSettings
from atat.nn.phoneme_posteriors import PhonemePosteriors
from atat.nn.speech_text_bert import Marks, SpeechTextBert
from atat.systems.stbert.classes import Classes
from atat.systems.stbert.curriculum import Curriculum
from atat.systems.stbert.data import Commands, Pairs, Speech
from atat.systems.stbert.model import StBert
from atat.systems.stbert.packed import StbertPacked
from atat.systems.stbert.posteriors import Posteriors
from atat.systems.stbert.settings import PRETRAIN, StbertSettings
from atat.text import bert_files, word_pieces
from atat.text.phones import LABELS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NAMES = (word_pieces.PAD, word_pieces.CLS, word_pieces.SEP, word_pieces.MASK)  # of Marks
POSTERIORS = ".posteriors"  # in a data dir


def build(settings: StbertSettings) -> Parts:
    """Everything the engine needs for the run. Raises InputError for invalid settings or data."""
    start = _start(settings)
    if settings.max_length > start.network.longest:
        raise InputError(
            f"max_length is {settings.max_length}, but this BERT knows {start.network.longest} "
            "positions"
        )
    return _pretraining(settings, start) if settings.task == PRETRAIN else _intents(settings, start)


class _Start(NamedTuple):
    """What a run begins with."""

    listener: PhonemePosteriors
    network: SpeechTextBert
    tokenizer: Tokenizer | None  # None: of a finetuned model


def _pretraining(settings: StbertSettings, start: _Start) -> Parts:
    assert start.tokenizer is not None
    train = [_pairs(one, settings, start) for one in settings.train]
    valid = [_pairs(one, settings, start) for one in settings.valid.sources]
    for source in train:
        source.curriculum = Curriculum(
            settings.seed, settings.steps, settings.mlm_first, settings.objectives
        )
    return _parts(settings, start, Classes(), train, valid)


def _intents(settings: StbertSettings, start: _Start) -> Parts:
    length, lost = settings.max_length, settings.max_lost
    train = [Commands(one, length, lost) for one in settings.train]
    valid = [Commands(one, length, lost) for one in settings.valid.sources]
    trees = (tree for source in train for tree in source.trees())
    classes = Classes.of_trees(trees, settings.classes)
    for source in (*train, *valid):
        source.classes = classes
    start.network.trim()
    return _parts(settings, start._replace(tokenizer=None), classes, train, valid)


def _parts(
    settings: StbertSettings,
    start: _Start,
    classes: Classes,
    train: Sequence[Commands | Pairs],
    valid: Sequence[Commands | Pairs],
) -> Parts:
    """The parts of a run whose data has been read; all but the acoustic model trains."""
    _listen(settings, start.listener, (*train, *valid))
    model = StBert(start.listener, start.network, len(classes.names))
    packed = StbertPacked(
        model,
        (settings.task,),
        tokenizer=start.tokenizer,
        classes=classes,
        max_length=settings.max_length,
    )
    training = [p for name, p in model.named_parameters() if not name.startswith("listener.")]
    return Parts(
        packed=packed,
        train=list(train),
        valid=list(valid),
        groups=[Group(training)],
        width=start.network.width,
        identity=packed.identity(),
    )


def _start(settings: StbertSettings) -> _Start:
    """The acoustic model, BERT and its pieces: of the model to start from, or each from its own."""
    if settings.init.model is None:
        return _Start(_acoustic(settings), *_bert(settings))
    for name in ("acoustic", "bert"):
        if getattr(settings, name) is not None:
            raise InputError(
                f"{name} is {getattr(settings, name)}, but the model to start from "
                f"({settings.init.model}) has its own; leave it out"
            )
    start = model_folder.load_start(StbertPacked, settings.init.model)
    network = start.model.network
    if settings.task == PRETRAIN and start.tokenizer is None:
        raise InputError(
            f"{settings.init.model}: a finetuned model, which no longer knows any text; start from "
            f"one that was trained on {PRETRAIN}"
        )
    if settings.positions != network.positions:
        raise InputError(
            f"positions is {settings.positions}, but {settings.init.model} was trained with "
            f"{network.positions}; write positions: {network.positions}"
        )
    return _Start(start.model.listener, network, start.tokenizer)


def _acoustic(settings: StbertSettings) -> PhonemePosteriors:
    if settings.acoustic is None:
        raise InputError(
            "key `acoustic` is missing: name a packed model that tells phones (system lugosch, "
            "task acoustic), or start from a model of this system (--init)"
        )
    phonemes = acoustic_of(settings.acoustic).phonemes
    if phonemes.head is None:
        raise InputError(
            f"{settings.acoustic}: a model of intents, without what tells phones; expected one "
            "that was trained on acoustic"
        )
    return PhonemePosteriors(phonemes)


def _bert(settings: StbertSettings) -> tuple[SpeechTextBert, Tokenizer]:
    """A BERT for the settings, and its word pieces."""
    masked: Any
    if settings.bert is None:
        texts = (u.text or "" for one in settings.train for u in kaldi_dir.load(one.data))
        sizes = settings.scratch
        tokenizer = word_pieces.of_texts(texts, sizes.pieces)
        count = tokenizer.get_vocab_size()
        masked = bert_files.scratch(sizes.width, sizes.layers, sizes.heads, count)
    else:
        name = settings.bert
        tokenizer = bert_files.pretrained_tokenizer(name, "bert")
        masked = bert_files.pretrained_masked(name, "bert")
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    for mark in NAMES:
        if mark not in vocabulary:
            raise InputError(f"bert: the word pieces of `{settings.bert}` lack {mark}")
    pad, cls, sep, mask = (vocabulary[mark] for mark in NAMES)
    marks, head = Marks(pad, cls, sep, mask), masked.cls.predictions
    network = SpeechTextBert(masked.bert, head, marks, len(LABELS), settings.positions)
    return network, tokenizer


def _pairs(source: SourceSettings, settings: StbertSettings, start: _Start) -> Pairs:
    tokenizer = start.tokenizer
    assert tokenizer is not None

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    return Pairs(
        source,
        settings.max_length,
        settings.max_lost,
        encode=encode if settings.text else None,
        mask=start.network.marks.mask,
        share=settings.masked,
        objectives=settings.objectives,
    )


def _listen(
    settings: StbertSettings, listener: PhonemePosteriors, sources: Sequence[Speech]
) -> None:
    """Give every source its posteriors, on a GPU if there is one."""
    if torch.cuda.is_available():
        listener.cuda()
    for source in sources:
        folder = Path(settings.posteriors or Path(source.data) / POSTERIORS)
        source.heard(Posteriors(listener, folder))
    listener.cpu()
