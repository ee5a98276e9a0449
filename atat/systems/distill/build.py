"""Assembles a run of either task: data, model, and which of its parameters train."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from atat.base.errors import InputError
from atat.engine import model_folder
from atat.engine.acoustic_start import acoustic_of, begin_as
from atat.engine.contract import Group, Parts
from atat.engine.plain_commands import CommandRecordings
from atat.engine.sampler import steps_of_epoch
from atat.nn.acoustic import STATE
from atat.nn.text_encoder import BertTextEncoder
from atat.systems.distill.data import TaughtRecordings
from atat.systems.distill.packed import StudentPacked, TeacherPacked
from atat.systems.distill.schedules import Calendar
from atat.systems.distill.settings import INTENT, TEACHER, DistillSettings, Kind
from atat.systems.distill.student import Student
from atat.systems.distill.teacher import Sentences, Teacher, logits_of
from atat.text import bert_files
from atat.text.encoder_ids import BertIds
from atat.text.labels import Labels, fields_of

BERT_KEY = "teacher.bert"


def build(settings: DistillSettings) -> Parts:
    """Everything the engine needs for the run. Raises InputError for invalid settings or data."""
    return _teacher(settings) if settings.task == TEACHER else _student(settings)


def _teacher(settings: DistillSettings) -> Parts:
    bert, kind = settings.teacher.bert, settings.teacher.kind
    assert bert is not None  # settings are checked
    ids = BertIds(bert_files.pretrained_tokenizer(bert, BERT_KEY), settings.teacher.max_pieces)
    train = [Sentences(one, ids, settings.max_lost) for one in settings.train]
    valid = [Sentences(one, ids, settings.max_lost) for one in settings.valid.sources]
    labels = Labels(fields=fields_of(tree for source in train for tree in source.trees()))
    for source in (*train, *valid):
        source.labels = labels
    encoder = BertTextEncoder(bert_files.pretrained(bert, BERT_KEY), sum(labels.sizes))
    known = bert_files.positions(encoder.bert.config)
    if ids.longest > known:
        raise InputError(
            f"teacher.max_pieces is {ids.longest}, but {bert} knows {known} positions; set it to "
            f"{known} or less"
        )
    model = Teacher(encoder, labels, kind)
    return Parts(
        packed=TeacherPacked(model=model, tasks=(TEACHER,), labels=labels, ids=ids),
        train=list(train),
        valid=list(valid),
        groups=[Group(list(model.parameters()))],
        width=STATE,
        identity=labels.identity(),
    )


def _student(settings: DistillSettings) -> Parts:
    assert settings.init.model is not None  # settings are checked
    acoustic = acoustic_of(settings.init.model)
    train = [TaughtRecordings(one, settings.max_lost) for one in settings.train]
    valid = [CommandRecordings(one, settings.max_lost) for one in settings.valid.sources]
    # A student begins as a model of `lugosch` would, whoever teaches it.
    with torch.random.fork_rng(devices=[]):
        teachers = {kind: _load(kind, folder) for kind, folder in settings.teachers.items()}
    labels = _labels(settings, teachers, train)
    for source in (*train, *valid):
        source.labels = labels
    for taught in train:
        taught.teach(lambda texts: _lessons(list(teachers.values()), texts))
    model = Student(labels)
    begin_as(model.acoustic, acoustic)
    model.distillation = settings.distill
    model.calendar = Calendar(steps_of_epoch(train, settings.batch.examples), settings.steps)
    return Parts(
        packed=StudentPacked(model, (INTENT,), labels=labels),
        train=list(train),
        valid=list(valid),
        groups=[Group(list(model.intent.parameters()))],
        width=STATE,
        identity=labels.identity(),
    )


def _load(kind: Kind, folder: str) -> TeacherPacked:
    """A packed teacher of a kind; InputError if it is anything else."""
    packed = model_folder.load(folder)
    if not isinstance(packed, TeacherPacked):
        raise InputError(
            f"distill.{kind}: {folder} is a model of the system `{packed.system}` for the tasks "
            f"{', '.join(packed.tasks)}; expected one of `distill` for the task {TEACHER}"
        )
    if packed.model.kind != kind:
        raise InputError(
            f"distill.{kind}: {folder} is a {packed.model.kind} (teacher.kind); name it as "
            f"distill.{packed.model.kind}"
        )
    return packed


def _labels(
    settings: DistillSettings,
    teachers: dict[Kind, TeacherPacked],
    train: Sequence[TaughtRecordings],
) -> Labels:
    """The labels of the teachers, which are the student's: those of the whole training text, of
    which the recordings may be a part. InputError if they cannot say a command of the recordings.
    """
    (first, labels), *others = [(kind, one.labels) for kind, one in teachers.items()]
    for kind, other in others:
        if other.fields != labels.fields:
            raise InputError(
                f"{settings.teachers[kind]}: trained on other labels than "
                f"{settings.teachers[first]}; both teachers of a student need the same: train them "
                "on the same text"
            )
    for source in train:
        for utterance in source.utterances:
            if not labels.is_known(utterance.semantics or ""):
                raise InputError(
                    f"{settings.teachers[first]}: trained on other labels than these recordings "
                    f"have: it cannot say {utterance.semantics} of {source.data}, utterance "
                    f"{utterance.id}; train the teacher on the text of all recordings that its "
                    "students learn from"
                )
    return labels


def _lessons(teachers: Sequence[TeacherPacked], texts: Sequence[str]) -> np.ndarray:
    """The logits (texts, K, C) of the teachers."""
    return np.stack([logits_of(one.model, one.ids, texts) for one in teachers], axis=1)
