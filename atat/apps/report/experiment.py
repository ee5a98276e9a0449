"""What lies below folders of experiments: trainings by experiment, and what they decoded.

An experiment is a training, or several that differ in the seed or the fold (`tts/seed1`,
`tts/seed2`; `folds/0/seed1`, `folds/1/seed1`). Paths in the files of an experiment start at the
folder of its recipe: they are looked for in the current folder, and in those above the experiment.
Knows nothing of pictures.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from atat.base.config import read_yaml
from atat.base.errors import InputError
from atat.base.json_file import read_object_or_none
from atat.scoring import decoded_dir
from atat.scoring.metrics import METRICS
from atat.text.tasks import TARGETS, TASKS

SEED, FOLD = re.compile(r"seed\d+"), re.compile(r"\d+")
# Folders of a training in which there are no further experiments.
INSIDE = {"model", "start", "tensorboard", "tokenizer"}
# Figures of `atat frames`, whose decodings have no others.
OF_FRAMES = ("phone_acc", "phone_acc_speech", "word_acc", "word_acc_all")
CONFIG, FACTS, LOG = "config.yaml", "train.json", "train.log"


@dataclass(frozen=True)
class Decoding:
    """A decoded dir."""

    folder: Path
    name: str  # of the test set, the task and the options
    experiment: str  # whose model made it, or the system's own name

    @property
    def system(self) -> str:
        """The experiment and the fold of its model."""
        above = self.folder.parent
        fold = above.parent.name if SEED.fullmatch(above.name) else above.name
        return f"{self.experiment}/{fold}" if FOLD.fullmatch(fold) else self.experiment

    @cached_property
    def about(self) -> dict[str, Any]:
        """decode.json; empty if there is none."""
        return read_object_or_none(self.folder / "decode.json") or {}

    @cached_property
    def score(self) -> dict[str, Any]:
        """score.json; empty if it was not scored."""
        return read_object_or_none(self.folder / "score.json") or {}

    @property
    def task(self) -> str:
        return str(self.score.get("task") or self.about.get("task") or "")

    @property
    def target(self) -> str:
        """text or semantics; empty if it is not known."""
        target = self.about.get("target")
        if target in TARGETS:
            return str(target)
        return TASKS[self.task].target if self.task in TASKS else ""

    @property
    def answers(self) -> bool:
        """Whether it answers questions, which have no tree or transcript to be compared."""
        return "answer_em" in (self.score.get("metrics") or {})

    @property
    def metric(self) -> str:
        """The figure to compare it by: of trees, of words, or the first that it was scored by."""
        usual = "em_hyp" if self.target == "semantics" else "wer"
        known = [name for name in self.score.get("metrics") or () if name in METRICS]
        return usual if usual in known or not known else known[0]

    @property
    def data(self) -> str:
        """The data dir, as its files write it."""
        return str(self.score.get("data") or self.about.get("data") or "")

    @cached_property
    def data_folder(self) -> Path | None:
        return find(self.data, self.folder)

    @cached_property
    def model_folder(self) -> Path | None:
        """The packed model that decoded; None if it is gone, or a program of others."""
        named = self.about.get("model")
        found = find(str(named), self.folder) if named else None
        beside = self.folder.parent / "model"
        return found or (beside if beside.is_dir() else None)


@dataclass(frozen=True)
class Training:
    """The folder of a training."""

    folder: Path
    name: str  # its seed and fold

    @property
    def date(self) -> str:
        """When it ended; after all others if it has not."""
        return str((self.facts.get("provenance") or {}).get("date") or "~")

    @cached_property
    def facts(self) -> dict[str, Any]:
        """train.json; empty before the training has ended."""
        return read_object_or_none(self.folder / FACTS) or {}

    @cached_property
    def settings(self) -> dict[str, Any]:
        """config.yaml as it stands; empty if it cannot be read."""
        try:
            return read_yaml(self.folder / CONFIG)
        except (InputError, OSError):
            return {}

    def sources(self, part: str = "train") -> list[tuple[str, str]]:
        """(data dir, task) of each source of the training, or of its validation ("valid")."""
        listed = self.settings.get("train")
        if part == "valid":
            valid = self.settings.get("valid")
            listed = valid.get("sources") if isinstance(valid, dict) else None
        return [
            (str(source["data"]), str(source.get("task", "")))
            for source in (listed if isinstance(listed, list) else [])
            if isinstance(source, dict) and "data" in source
        ]

    @property
    def start(self) -> Path | None:
        """The folder of the training whose model it started from."""
        init = self.settings.get("init")
        named = init.get("model") if isinstance(init, dict) else None
        model = find(str(named), self.folder) if named else None
        return model.parent if model is not None else None


@dataclass(frozen=True)
class Experiment:
    """Trainings of one conf, a seed or fold each, and what their models decoded.

    A system without trainings here, such as a recogniser of others, has decodings alone.
    """

    name: str
    trainings: tuple[Training, ...]
    decodings: tuple[Decoding, ...]


@dataclass(frozen=True)
class Found:
    """All that lies below the folders of a report."""

    folders: tuple[Path, ...]
    experiments: tuple[Experiment, ...]

    @property
    def decodings(self) -> list[Decoding]:
        return [one for experiment in self.experiments for one in experiment.decodings]


def look(folders: Sequence[Path]) -> Found:
    """The experiments below folders. Raises InputError if one is missing or holds none."""
    trainings: dict[str, list[Training]] = {}
    decodings: list[Decoding] = []
    for root in folders:
        if not root.is_dir():
            raise InputError(
                f"{root}: no such folder; expected one of atat train (--out), or one above such"
            )
        count = len(trainings) + len(decodings)
        above: dict[Path, str] = {}  # training -> its experiment
        for folder, files in _walk(root):
            if {CONFIG} < files and files & {FACTS, LOG}:
                name, run = _name(folder, root, len(folders) > 1)
                above[folder] = name
                trainings.setdefault(name, []).append(Training(folder, run))
            elif "hyp" in files and decoded_dir.is_decoded(folder):
                maker = next((above[up] for up in folder.parents if up in above), None)
                whole = _whole(folder)
                if maker is None:
                    place = whole if whole == root else whole.parent
                    maker, _ = _name(place, root, len(folders) > 1)
                name = str(folder.relative_to(whole.parent)).removeprefix("decode_")
                decodings.append(Decoding(folder, name, maker))
        if len(trainings) + len(decodings) == count:
            raise InputError(
                f"{root}: no training in it (a folder with {CONFIG} and {LOG}) and no decoded dir "
                "(with hyp); give the folder of an experiment, such as exp/joint, or a recipe's exp"
            )
    names = dict.fromkeys([*trainings, *(one.experiment for one in decodings)])
    experiments = [
        Experiment(
            name,
            tuple(trainings.get(name, ())),
            tuple(one for one in decodings if one.experiment == name),
        )
        for name in names
    ]
    # In the order in which they were trained: what others start from comes first.
    experiments.sort(key=lambda one: min((run.date for run in one.trainings), default="~~"))
    return Found(tuple(folders), tuple(experiments))


def _whole(folder: Path) -> Path:
    """The decoding that a folder is a part of, as those of `atat score_answers` are; or itself."""
    return folder.parent if (folder.parent / "decode.json").is_file() else folder


def find(path: str, near: Path) -> Path | None:
    """A folder that a file of the experiment `near` names; None if it is not there."""
    base = base_of(path, near)
    return (base / path).resolve() if base is not None else None


def base_of(path: str, near: Path) -> Path | None:
    """Where such a path starts: the current folder, or the first above `near` that has it."""
    if not path:
        return None
    bases = [Path("."), *near.absolute().parents]
    return next((base for base in bases if os.path.isdir(base / path)), None)


def shown(data: str) -> str:
    """The name of a data dir without the folder that all of a recipe are in."""
    parts = Path(data).parts
    return "/".join(parts[-2:] if Path(data).is_absolute() else parts[1:] or parts)


def _walk(root: Path) -> Iterator[tuple[Path, set[str]]]:
    """Folders and the names of their files, parents first, in order."""
    from atat.scoring.results_runs import natural

    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(
            (name for name in subfolders if name not in INSIDE and name[0] != "."), key=natural
        )
        yield Path(folder), set(files)


def _name(folder: Path, root: Path, several: bool) -> tuple[str, str]:
    """The experiment of a training, and what tells it from others of that: its fold and seed.

    The experiment is the path below root; of root's own path, what is needed for a name.
    """
    parts = list(folder.relative_to(root).parts)
    kept = len(parts)
    while kept and (SEED.fullmatch(parts[kept - 1]) or FOLD.fullmatch(parts[kept - 1])):
        kept -= 1
    run = parts[kept:]
    above = list(root.absolute().parts)
    if not kept:  # root itself is the experiment, or one of its runs
        while len(above) > 1 and (SEED.fullmatch(above[-1]) or FOLD.fullmatch(above[-1])):
            run.insert(0, above.pop())
    name = parts[:kept]
    if several or not name:
        name.insert(0, above[-1])
    return "/".join(name), "/".join(run) or folder.name
