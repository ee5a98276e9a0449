"""Assembles a run of one stage: the model to start from or a BERT, data, and what is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from atat.base.errors import InputError
from atat.datadir import cmvn
from atat.engine import model_folder
from atat.engine.contract import Group, Parts
from atat.engine.settings import SourceSettings
from atat.nn.segment_autoencoder import SegmentDecoder, SegmentEncoder
from atat.nn.word_bert import WordBert
from atat.speech import frontend
from atat.speech.frontend import Frontend, Mfcc
from atat.systems.speechbert.data import Paragraphs, SpokenWords
from atat.systems.speechbert.mlm import Masked, Masking
from atat.systems.speechbert.model import SpeechBert, parts_of, stage_of
from atat.systems.speechbert.packed import Limits, SpeechBertPacked
from atat.systems.speechbert.qa import Questions
from atat.systems.speechbert.settings import QA, TEXT, WORDS, SpeechBertSettings
from atat.systems.speechbert.vectors import Vectors
from atat.systems.speechbert.words import FIRST, Words
from atat.text import bert_files
from atat.text.word_pieces import SPECIALS

Data = Masked | SpokenWords | Questions
STORED = ".vectors"  # in a data dir
MOST = 500  # utterances whose frames are normalised to mean 0 and variance 1


def build(settings: SpeechBertSettings) -> Parts:
    """Everything the engine needs for the run. Raises InputError for invalid settings or data."""
    start = _start(settings)
    heard = _frontend(settings, start)
    train = [_source(one, settings, heard) for one in settings.train]
    valid = [_source(one, settings, heard) for one in settings.valid.sources]
    packed = _packed(settings, start, heard, train)
    if settings.max_length > packed.model.network.longest:
        raise InputError(
            f"max_length is {settings.max_length}, but this BERT knows "
            f"{packed.model.network.longest} positions"
        )
    _prepare(settings, packed, (*train, *valid))
    return Parts(
        packed=packed,
        train=list(train),
        valid=list(valid),
        groups=[Group(packed.model.trained())],
        width=packed.model.network.width,
        identity=packed.identity(),
    )


def _start(settings: SpeechBertSettings) -> SpeechBertPacked | None:
    """The model to start from; InputError if it is not one that the stage can start from."""
    stage = stage_of(tuple(one.task for one in settings.train))
    if settings.init.model is None:
        if stage == TEXT:
            return None
        raise InputError(
            f"init.model is missing: task {stage} starts from a model that was trained on {TEXT}"
            + ("" if stage == WORDS else f" and then, to read speech, on {WORDS}")
        )
    start = model_folder.load_start(SpeechBertPacked, settings.init.model)
    if settings.bert is not None:
        raise InputError(
            f"bert is {settings.bert}, but the model to start from ({settings.init.model}) has its "
            "own; leave it out"
        )
    model, before = start.model, stage_of(start.tasks)
    if stage != QA and model.network.transform is None:
        raise InputError(
            f"{settings.init.model}: a model that answers questions, which no longer predicts "
            f"masked words; start from one that was trained on {before} before that"
        )
    if settings.hears and stage != WORDS and model.encoder is None:
        raise InputError(
            f"{settings.init.model}: a model of {before} that reads text alone; task {stage} on "
            f"speech starts from one that was trained on {WORDS}, or, with `reads: text`, reads "
            "text"
        )
    return start


def _frontend(settings: SpeechBertSettings, start: SpeechBertPacked | None) -> Frontend | None:
    """What makes the features that are read; None: only text is read."""
    if not settings.hears:
        return None
    if start is not None and start.frontend is not None:
        if settings.encoder not in (None, start.frontend.origin and start.frontend.origin.argument):
            raise InputError(
                f"encoder is {settings.encoder}, but the model to start from reads "
                f"{start.frontend.kind}; leave it out"
            )
        return start.frontend
    return Mfcc() if settings.encoder is None else frontend.find(settings.encoder)


def _source(source: SourceSettings, settings: SpeechBertSettings, heard: Frontend | None) -> Data:
    lost = settings.max_lost
    if source.task == WORDS:
        assert heard is not None
        return SpokenWords(source, heard, lost)
    if source.task == QA:
        return Questions(
            source,
            heard,
            lost,
            longest=settings.max_length,
            stride=settings.stride,
            lost_questions=settings.lost_questions,
        )
    return Masked(
        source,
        None if source.task == TEXT else heard,
        lost,
        longest=settings.max_length,
        masking=Masking(settings.masked, settings.mask_random, settings.mask_kept),
        with_questions=source.task == TEXT and settings.questions,
        lost_questions=settings.lost_questions,
    )


def _packed(
    settings: SpeechBertSettings,
    start: SpeechBertPacked | None,
    heard: Frontend | None,
    train: Sequence[Paragraphs],
) -> SpeechBertPacked:
    """The model of the stage, with what the one to start from has of it."""
    tasks = tuple(dict.fromkeys(source.task for source in train))
    parts = parts_of(tasks, settings.hears)
    if start is None:
        texts = (text for source in train for text in source.texts())
        words = Words.of_texts(texts, settings.min_count)
        network = _bert(settings, words)
        before = SpeechBert(network)
    else:
        words, before = start.words, start.model
        network = before.network
    if not parts["head"]:
        network.trim()
    encoder, decoder = before.encoder, before.decoder
    if not parts["encoder"]:
        encoder = None
    elif encoder is None:
        assert heard is not None
        encoder = SegmentEncoder(heard.dim, settings.autoencoder.hidden, network.width)
        _normalise(encoder, train)
    if not parts["decoder"]:
        decoder = None
    elif decoder is None:
        assert encoder is not None
        decoder = SegmentDecoder(encoder.inputs, network.width)
    model = SpeechBert(
        network, encoder, decoder, answers=parts["answers"], l1=settings.autoencoder.l1
    )
    if model.answers is not None and before.answers is not None:
        model.answers = before.answers
    limits = Limits(settings.max_length, settings.stride, settings.max_answer)
    return SpeechBertPacked(
        model, tasks, words=words, frontend=heard, limits=limits, asr=settings.asr
    )


def _bert(settings: SpeechBertSettings, words: Words) -> WordBert:
    """A BERT for the settings, with a table of the words."""
    sizes, name = settings.scratch, settings.bert
    masked: Any
    if name is None:
        if settings.embeddings == "pieces":
            raise InputError("embeddings: pieces are those of a BERT; name one by the key `bert`")
        masked = bert_files.scratch(
            sizes.width, sizes.layers, sizes.heads, len(words), sizes.dropout, sizes.spread
        )
    else:
        masked = bert_files.pretrained_masked(name, "bert")
    of_pieces = masked.bert.embeddings.word_embeddings.weight.detach()
    network = WordBert(masked.bert, masked.cls.predictions, len(words))
    if name is not None and settings.embeddings == "pieces":
        _begin_with_pieces(network, of_pieces, words, name)
    return network


def _begin_with_pieces(network: WordBert, of_pieces: torch.Tensor, words: Words, name: str) -> None:
    """Every word begins with the mean embedding of its pieces, every mark with its own."""
    tokenizer = bert_files.pretrained_tokenizer(name, "bert")
    with torch.no_grad():
        for number, word in enumerate(words.names):
            if number < FIRST:
                found = tokenizer.token_to_id(SPECIALS[number])
                ids = [] if found is None else [found]
            else:
                ids = tokenizer.encode(word, add_special_tokens=False).ids
            if ids:
                network.table[number] = of_pieces[ids].mean(0)


def _normalise(encoder: SegmentEncoder, train: Sequence[Paragraphs]) -> None:
    """Mean and variance of the frames of spoken words, of some utterances spread evenly."""
    spoken = [
        (source.spoken, one)
        for source in train
        if source.spoken is not None
        for one in source.utterances
    ]
    some = spoken[:: max(len(spoken) // MOST, 1)]
    stats = cmvn.accumulate(words.read(one).frames for words, one in some)
    mean, scale = cmvn.to_mean_and_scale(stats)
    encoder.cmvn.mean.copy_(torch.from_numpy(mean))
    encoder.cmvn.inverse_std.copy_(torch.from_numpy(scale))


def _prepare(
    settings: SpeechBertSettings, packed: SpeechBertPacked, sources: Sequence[Data]
) -> None:
    """Give every source the words, and its vectors, on a GPU if there is one."""
    encoder = packed.model.encoder
    if encoder is not None and torch.cuda.is_available():
        encoder.cuda()
    for source in sources:
        source.words = packed.words
        if isinstance(source, SpokenWords):
            source.width = packed.model.network.width
        elif source.spoken is not None:
            assert encoder is not None
            folder = Path(settings.stored or Path(source.data) / STORED)
            source.heard(Vectors(encoder, folder, source.spoken))
    if encoder is not None:
        encoder.cpu()
