"""Plain halves of the contract, for systems to inherit where the usual behaviour will do.

Nothing in the engine asks for them: a class with the attributes and methods that
`atat.engine.contract` names is enough.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from atat.base.errors import InputError
from atat.datadir import kaldi_dir, lost
from atat.datadir.kaldi_dir import Utterance
from atat.engine.contract import Term
from atat.engine.settings import SourceSettings

logger = logging.getLogger(__name__)
B = TypeVar("B", bound="TensorBatch")
S = TypeVar("S", bound="PlainSource")


@dataclass(frozen=True)
class TensorBatch:
    """A batch whose fields are tensors, or values that stay where they are."""

    utterances: tuple[str, ...]

    def to(self: B, device: torch.device) -> B:
        """The same batch on a device."""
        return self._each(lambda value: value.to(device, non_blocking=True))

    def pin_memory(self: B) -> B:
        """Called by the data loader: copies to a GPU are then asynchronous."""
        return self._each(Tensor.pin_memory)

    def _each(self: B, change: Any) -> B:
        changed: dict[str, Any] = {
            field.name: change(value)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **changed)


def weighted(terms: Mapping[str, Term], weight: float) -> dict[str, Term]:
    """The terms of a batch whose source has this weight (`SourceSettings.loss_weight`)."""
    return {name: term._replace(total=weight * term.total) for name, term in terms.items()}


class PlainSource:
    """The utterances of a data dir; targets take no room in a batch."""

    def __init__(self, source: SourceSettings) -> None:
        self.data, self.task, self.weight = source.data, source.task, source.weight
        self.utterances = kaldi_dir.load(source.data)
        self.lost: dict[str, str] = {}  # utterance that cannot be used -> reason
        self.target_lengths = np.zeros(len(self.utterances), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.utterances)

    @property
    def states(self) -> float:
        """Every example costs the same."""
        return 1.0

    def key(self, number: int) -> str:
        """Task and utterance."""
        return f"{self.task} {self.utterances[number].id}"

    def need(self, name: str, there: bool, fix: str = "") -> None:
        """Raise InputError unless a table of the data dir is there, or has what the task needs."""
        if not there:
            raise InputError(
                f"{Path(self.data) / name}: missing or empty, but task {self.task} needs it{fix}"
            )

    def leave_out(self, unusable: Mapping[str, str], max_lost: float) -> None:
        """Use all utterances but these, id -> reason, which are then in `lost`.

        Raises InputError if they are more than `max_lost`, a share of all.
        """
        self.lost = dict(unusable)
        if not self.lost:
            return
        total, what = len(self.utterances), f"cannot be used for task {self.task}"
        message = lost.describe(self.lost, total, what, data=self.data)
        lost.refuse_too_many(self.lost, total, max_lost, message, "fix them", option="max_lost")
        logger.warning(message)
        self.utterances = [one for one in self.utterances if one.id not in self.lost]
        lost.refuse_all(self.utterances, self.data)
        self.target_lengths = np.zeros(len(self.utterances), dtype=np.int64)

    def at(self: S, step: int) -> S:
        """The same in every step."""
        return self


@dataclass
class PlainPacked:
    """A packed model of weights and a few values, which a subclass says in `about`."""

    model: Any
    tasks: tuple[str, ...] = ()
    weights: Literal["float32", "int8"] = "float32"
    system: str = ""

    def about(self) -> dict[str, Any]:
        """Values for config.yaml."""
        return {"tasks": list(self.tasks)}

    def write(self, folder: Path) -> None:
        """There are no further files."""

    def stored(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights as they are."""
        return state


class PlainRecognizer:
    """Decodes in fp32, every task of its packed model, utterances in the order of their length."""

    resolved = precision = "fp32"

    def __init__(self, packed: Any, **_: Any) -> None:
        """Further options are those of a search, which this does without."""
        self.packed = packed

    def check_task(self, task: str) -> None:
        """Whoever asks has looked the task up in those of the system."""

    def measure(self, utterance: Utterance, task: str) -> tuple[int, np.ndarray | None]:
        """Frames of 10 ms, as far as the data dir says."""
        return utterance.num_frames or round(100 * (utterance.duration or 0.01)), None

    def check(self, utterance: Utterance, task: str, source: np.ndarray) -> None:
        """Every source is of the right kind."""

    def source(self, given: np.ndarray | str) -> np.ndarray:
        """The samples themselves."""
        if isinstance(given, str):
            raise InputError("this model reads recordings, not text")
        if not len(given):
            raise InputError("the recording has no samples")
        return given

    def read(self, utterance: Utterance, task: str) -> np.ndarray:
        raise NotImplementedError

    def hypotheses(self, sources: Sequence[np.ndarray], task: str) -> list[list[dict[str, Any]]]:
        raise NotImplementedError
