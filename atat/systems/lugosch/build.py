"""Assembles a run: data, model, and which of its layers train when.

Gradual unfreezing (Lugosch et al. 2019, after Howard & Ruder 2018): in the first epoch only the
intent module trains, from the second the topmost layer of the word module too, and one layer more
in each: of the word module (`word`), then of the phoneme module (`all`). So does the published code
(lorenlugosch/end-to-end-SLU), which unfreezes a layer at the end of each epoch.
"""

from __future__ import annotations

from collections.abc import Sequence

from atat.base.errors import InputError
from atat.engine import model_folder
from atat.engine.acoustic_start import begin_as
from atat.engine.contract import Group, Parts
from atat.engine.plain_commands import CommandRecordings
from atat.engine.sampler import steps_of_epoch
from atat.nn.acoustic import STATE
from atat.systems.lugosch.data import AlignedRecordings
from atat.systems.lugosch.model import Lugosch
from atat.systems.lugosch.packed import LugoschPacked
from atat.systems.lugosch.settings import ACOUSTIC, INTENT, LugoschSettings
from atat.text.labels import Labels, fields_of, words_of

TaskRecordings = AlignedRecordings | CommandRecordings


def build(settings: LugoschSettings) -> Parts:
    """Everything the engine needs for the run. Raises InputError for invalid settings or data."""
    start = _start(settings)
    train: list[TaskRecordings]
    valid: list[TaskRecordings]
    if settings.task == INTENT:
        train = [CommandRecordings(one, settings.max_lost) for one in settings.train]
        valid = [CommandRecordings(one, settings.max_lost) for one in settings.valid.sources]
    else:
        train = [
            AlignedRecordings(one, settings.max_lost, settings.crop, settings.augment)
            for one in settings.train
        ]
        valid = [AlignedRecordings(one, settings.max_lost) for one in settings.valid.sources]
    labels = _labels(settings, train, start)
    for source in (*train, *valid):
        source.labels = labels
    packed = LugoschPacked(Lugosch(labels), (settings.task,), labels=labels)
    if start is not None:
        begin_as(packed.model.acoustic, start.model.acoustic)
    return Parts(
        packed=packed,
        train=list(train),
        valid=list(valid),
        groups=groups(
            packed.model,
            settings,
            steps_of_epoch(train, settings.batch.examples),
            start is not None,
        ),
        width=STATE,
        identity=labels.identity(),
    )


def groups(model: Lugosch, settings: LugoschSettings, epoch: int, pretrained: bool) -> list[Group]:
    """The parameters that train, each layer of the start model from its own epoch on (steps)."""
    if model.intent is None or not pretrained:
        return [Group(list(model.parameters()))]
    layers = []
    if settings.unfreeze != "none":
        layers += model.acoustic.words.from_the_top()
    if settings.unfreeze == "all":
        layers += model.acoustic.phonemes.from_the_top()
    found = [Group(list(model.intent.parameters()))]
    for number, layer in enumerate(layers, start=1):
        found.append(Group(list(layer.parameters()), frozen=number * epoch))
    return found


def _start(settings: LugoschSettings) -> LugoschPacked | None:
    """The model to start from; InputError if it is of another kind."""
    if settings.unfreeze != "none" and (settings.init.model is None or settings.task != INTENT):
        raise InputError(
            f"unfreeze is {settings.unfreeze}, but nothing is frozen: it is for the task {INTENT} "
            "and a start model (--init); leave it out where everything is to train"
        )
    if settings.init.model is None:
        return None
    start = model_folder.load_start(LugoschPacked, settings.init.model)
    if settings.task == ACOUSTIC and start.model.intent is not None:
        raise InputError(
            f"{settings.init.model}: a model of intents, without what tells phones and words; "
            f"continue {ACOUSTIC} from one that was trained on {ACOUSTIC}"
        )
    return start


def _labels(
    settings: LugoschSettings, train: Sequence[TaskRecordings], start: LugoschPacked | None
) -> Labels:
    if settings.task == ACOUSTIC:
        if start is not None:
            return start.labels
        aligned = [source for source in train if isinstance(source, AlignedRecordings)]
        spoken = (word for source in aligned for word in source.spoken())
        return Labels(words=words_of(spoken, settings.words))
    commands = [source for source in train if isinstance(source, CommandRecordings)]
    return Labels(fields=fields_of(tree for source in commands for tree in source.trees()))
