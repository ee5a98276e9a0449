"""What a system gives to the engine, and all that the engine knows of it.

A system is a module that holds `system = ...`, an object of the protocol `System` below. It lies in
`atat/systems/<name>/system.py`, or anywhere and is registered (`atat.engine.registry`). With these
few things train, validate, checkpoint, decode, pack and quantize work for it; nothing in the engine
names a system, a task or a layer.

The loss of an optimizer step is the sum over its terms of weight * total / count, where total and
count are summed over all batches of the step, on all ranks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:  # a command answers mistakes before torch is loaded
    import numpy as np
    import torch
    from torch import Tensor, nn

    from atat.datadir.tables import Utterance
    from atat.engine.settings import RunSettings
    from atat.text.tasks import Task


class Term(NamedTuple):
    """A sum over a batch, never a mean, and how it counts."""

    total: Tensor  # scalar
    weight: float = 1.0  # in the loss; 0: a figure that is shown and not learned
    of: str = ""  # the count it is divided by; empty: the one of its own name


class Batch(Protocol):
    """What a model learns from at once."""

    @property
    def utterances(self) -> tuple[str, ...]:
        """Names of what is in it, for messages."""

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""

    def counts(self) -> dict[str, float]:
        """How many targets each count of `Model.counts` has here."""

    @property
    def audio_seconds(self) -> float:
        """Seconds of recordings, for the speed that is shown; 0 of text."""


class Budget(NamedTuple):
    """What limits the sources of a batch."""

    part: str  # of the mix, which every step must have: "audio", "text"
    unit: str  # of `Source.lengths`: "frames", "words"
    key: str  # of the settings' `batch`: "max_frames", "max_tokens"
    per_second: float = 0.0  # units in a second of audio; 0: no audio


AUDIO = Budget("audio", "frames", "max_frames", 100.0)
TEXT = Budget("text", "words", "max_tokens")


class Source(Protocol):
    """A data dir read for one task: examples by number.

    An example is a pure function of the number and the generator, so that a resumed run and one on
    several ranks read the same.
    """

    data: str  # folder
    task: str
    weight: float
    lengths: np.ndarray  # (N,) in units of the budget
    target_lengths: np.ndarray  # (N,) tokens; zeros where targets take no room

    @property
    def budget(self) -> Budget:
        """What limits a batch of it."""

    @property
    def states(self) -> float:
        """What an example costs, in states of the encoder."""

    def __len__(self) -> int: ...

    def key(self, number: int) -> str:
        """A name of an example, of which its random numbers are a function."""

    def example(self, number: int, rng: np.random.Generator | None = None) -> Any:
        """Example `number`, augmented where `rng` is given."""

    def collate(self, examples: Sequence[Any]) -> Batch:
        """Examples as one padded batch."""


class Model(Protocol):
    """A `torch.nn.Module` that knows its losses."""

    @property
    def terms(self) -> tuple[str, ...]:
        """Every key that `losses` may have, the main term first."""

    @property
    def counts(self) -> tuple[str, ...]:
        """Every key that `Batch.counts` has."""

    def losses(self, batch: Any) -> dict[str, Term]:
        """The terms of a batch; in evaluation without what is for training only (smoothing)."""


class Group(NamedTuple):
    """Parameters that learn alike."""

    parameters: list[nn.Parameter]
    pretrained: bool = False  # the phases of `init.unfreeze` are for these
    multiplier: float = 1.0  # of the learning rate


class Parts(NamedTuple):
    """A run put together: what the engine trains, on what, and what it packs."""

    packed: Packed
    train: list[Source]
    valid: list[Source]
    groups: list[Group]
    width: int  # of the model, for noam
    identity: str = ""  # of its outputs (a vocabulary); a checkpoint of another is refused


class Packed(Protocol):
    """A model with all that it needs to be used, as it is written into one folder."""

    system: str
    model: Any
    tasks: tuple[str, ...]
    weights: Literal["float32", "int8"]  # as they are stored

    def about(self) -> dict[str, Any]:
        """Plain values for config.yaml: all that `System.load` needs besides files."""

    def write(self, folder: Path) -> None:
        """Write the files that are neither config.yaml nor weights."""

    def stored(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights as they are to be stored."""


class Recognizer(Protocol):
    """A packed model that answers."""

    packed: Any
    precision: str
    resolved: Any

    def check_task(self, task: str) -> None:
        """Raise InputError unless the model can do the task."""

    def length(self, utterance: Utterance, task: str) -> int:
        """Length of the source in units of the budget of decoding; never raises for bad audio."""

    def read(self, utterance: Utterance, task: str) -> np.ndarray:
        """The source. Raises InputError for what is at fault with this utterance alone."""

    def check(self, utterance: Utterance, task: str, source: np.ndarray) -> None:
        """Raise InputError for a source of another kind than the model's, which all will be."""

    def hypotheses(self, sources: Sequence[np.ndarray], task: str) -> list[list[dict[str, Any]]]:
        """text, score, length of each hypothesis of each source, best first."""


class System(Protocol):
    """One way to understand speech."""

    @property
    def name(self) -> str:
        """By which a conf and a packed model name it."""

    @property
    def settings(self) -> type[RunSettings]:
        """What a conf of it may say."""

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Its tasks by name."""

    @property
    def files(self) -> tuple[str, ...]:
        """What a packed model must hold besides config.yaml and its weights."""

    @property
    def optional_files(self) -> tuple[str, ...]:
        """What it may hold."""

    def build(self, settings: Any) -> Parts:
        """Data and model of a run on the CPU, with random numbers from torch's generator only."""

    def evaluate(
        self, model: Any, source: Any, device: torch.device, decode: int, show: Any
    ) -> dict[str, Any]:
        """Figures of a validation source: "loss" and whatever else; the model is in evaluation."""

    def load(self, folder: Path, about: dict[str, Any], device: torch.device) -> Packed:
        """A packed model but for its weights, from config.yaml's values and the other files."""

    def recognizer(self, packed: Any, **options: Any) -> Recognizer:
        """Options are those of `atat decode`: beam, nbest, well_formed, precision ..."""
