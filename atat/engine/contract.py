"""What a system gives to the engine, and all that the engine knows about it.

A system is a module that holds `system = ...`, an object of the protocol `System` below. The module
is `atat/systems/<name>/system.py`, or any other that is registered (`atat.engine.registry`). With
this, train, validate, checkpoint, decode, pack and quantize work for it; nothing in the engine
names a system, a task or a layer.

The loss of an optimizer step is the sum over its terms of weight * total / count, where total and
count are summed over all batches of the step, on all ranks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:  # a command answers mistakes before torch is loaded
    import numpy as np
    import torch
    from torch import Tensor, nn

    from atat.datadir.ctm import Word
    from atat.datadir.kaldi_dir import Utterance
    from atat.datadir.questions import Prediction
    from atat.engine.settings import RunSettings
    from atat.text.tasks import Task


class Term(NamedTuple):
    """A sum over a batch, never a mean, and its weight in the loss."""

    total: Tensor  # scalar
    weight: float = 1.0  # in the loss; 0: a figure that is only shown
    of: str = ""  # the count it is divided by; empty: the count with the term's name


class Batch(Protocol):
    """The examples of one forward pass."""

    @property
    def utterances(self) -> tuple[str, ...]:
        """Names of its utterances, for messages."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""

    def counts(self) -> dict[str, float]:
        """Number of targets in this batch, for each name in `Model.counts`."""

    @property
    def audio_seconds(self) -> float:
        """Seconds of recordings, for the speed that is shown; 0 for text."""


class Budget(NamedTuple):
    """What limits the size of a batch."""

    part: str  # of the mix; every step must have some of it: "audio", "text"
    unit: str  # of `Source.lengths`: "frames", "words"
    key: str  # of the settings' `batch`: "max_frames", "max_tokens"
    per_second: float = 0.0  # units in a second of audio; 0: no audio


AUDIO = Budget("audio", "frames", "max_frames", 100.0)
TEXT = Budget("text", "words", "max_tokens")


class Source(Protocol):
    """A data dir read for one task: examples by number.

    An example is a pure function of the number and the generator, so that a resumed run and a run
    on several ranks read the same examples.
    """

    data: str  # folder
    task: str
    weight: float
    lengths: np.ndarray  # (N,) in units of the budget
    target_lengths: np.ndarray  # (N,) tokens; zeros where targets need no memory

    @property
    def budget(self) -> Budget:
        """What limits the size of its batches."""

    @property
    def states(self) -> float:
        """Mean cost of an example, in encoder states."""

    def __len__(self) -> int: ...

    def key(self, number: int) -> str:
        """The name of an example; its random numbers are a function of it."""

    def example(self, number: int, rng: np.random.Generator | None = None) -> Any:
        """Example `number`, augmented where `rng` is given."""

    def collate(self, examples: Sequence[Any]) -> Batch:
        """Examples as one padded batch."""

    def at(self, step: int) -> Source:
        """The source as optimizer step `step` (counted from 0) reads it, a pure function of the
        step; itself where the step does not matter. Validation reads the source itself."""


class Model(Protocol):
    """A `torch.nn.Module` that knows its losses."""

    @property
    def terms(self) -> tuple[str, ...]:
        """All keys that `losses` may return, the main term first."""

    @property
    def counts(self) -> tuple[str, ...]:
        """All keys of `Batch.counts`."""

    def losses(self, batch: Any) -> dict[str, Term]:
        """The terms of a batch; in evaluation without what is only for training (smoothing)."""


class Group(NamedTuple):
    """Parameters with the same learning rate and freezing."""

    parameters: list[nn.Parameter]
    pretrained: bool = False  # the phases of `init.unfreeze` are for these
    multiplier: float = 1.0  # of the learning rate
    frozen: int = 0  # first steps in which they do not train


class Parts(NamedTuple):
    """The parts of a run: what the engine trains, on which data, and what it packs."""

    packed: Packed
    train: list[Source]
    valid: list[Source]
    groups: list[Group]
    width: int  # of the model, for noam
    identity: str = ""  # of its outputs (a vocabulary); a checkpoint with another one is refused


class Packed(Protocol):
    """A model with everything needed to use it, as written into one folder."""

    system: str
    model: Any
    tasks: tuple[str, ...]
    weights: Literal["float32", "int8"]  # as they are stored

    def about(self) -> dict[str, Any]:
        """Plain values for config.yaml: everything `System.load` needs besides the files."""

    def write(self, folder: Path) -> None:
        """Write all files except config.yaml and the weights."""

    def stored(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights, contiguous and on the CPU, in the form in which they are stored."""


class Recognizer(Protocol):
    """A packed model ready to decode."""

    packed: Any
    precision: str
    resolved: Any

    def check_task(self, task: str) -> None:
        """Raise InputError unless the model can do the task."""

    def measure(self, utterance: Utterance, task: str) -> tuple[int, np.ndarray | None]:
        """Length of the source in units of the decoding budget; never raises for bad audio.

        And the source itself, if it had to be made and is small enough to keep: `read` is then not
        called.
        """

    def read(self, utterance: Utterance, task: str) -> np.ndarray:
        """The source. Raises InputError for a fault of this utterance alone."""

    def check(self, utterance: Utterance, task: str, source: np.ndarray) -> None:
        """Raise InputError for a source of a kind that the model cannot read; then all are."""

    def source(self, given: np.ndarray | str) -> np.ndarray:
        """What `read` would give, of samples (T,) float32 at 16 kHz or of a normalised text.

        Raises InputError for a recording that is too short, and for text if the model reads none.
        """

    def hypotheses(self, sources: Sequence[np.ndarray], task: str) -> list[list[dict[str, Any]]]:
        """text, score and length of each hypothesis of each source, best first."""


class System(Protocol):
    """One way to understand speech."""

    @property
    def name(self) -> str:
        """The name used in confs and packed models."""

    @property
    def settings(self) -> type[RunSettings]:
        """The settings that its confs may contain."""

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Its tasks by name."""

    @property
    def files(self) -> tuple[str, ...]:
        """Files that a packed model must hold besides config.yaml and its weights."""

    @property
    def optional_files(self) -> tuple[str, ...]:
        """Files that it may hold."""

    def build(self, settings: Any) -> Parts:
        """Data and model of a run, on the CPU; random numbers come only from torch's generator."""

    def evaluate(
        self, model: Any, source: Any, device: torch.device, decode: int, show: Any
    ) -> dict[str, Any]:
        """Figures of a validation source, "loss" among them; the model is in evaluation mode."""

    def load(self, folder: Path, about: dict[str, Any], device: torch.device) -> Packed:
        """A packed model without its weights, from config.yaml's values and the other files."""

    def hears(self, folder: Path) -> Literal["feats", "wav"]:
        """What a packed model reads of a data dir that has both features and recordings."""

    def recognizer(self, packed: Any, **options: Any) -> Recognizer:
        """Options are those of `atat decode`: beam, nbest, well_formed, precision ..."""


class Encoded(NamedTuple):
    """Sources as an encoder has made them, to be read more than once."""

    memory: Tensor  # (B, S, D); values beyond a length are meaningless
    lengths: Tensor  # (B,) states of each source
    precision: str  # it was made in: fp32, bf16


@runtime_checkable
class Encodes(Protocol):
    """A Recognizer whose tasks search what one encoder makes of a source: several tasks, and the
    CTC head of the model (`packed.units`), then share its work."""

    def encode(self, sources: Sequence[np.ndarray], task: str) -> Encoded:
        """Encode sources for a task, and for all others that read sources of this kind.

        `hypotheses` takes the result in the place of the sources and answers the same."""

    def hypotheses(
        self, sources: Sequence[np.ndarray] | Encoded, task: str
    ) -> list[list[dict[str, Any]]]:
        """As `Recognizer.hypotheses`."""


@runtime_checkable
class Answers(Protocol):
    """A Recognizer that answers questions about recordings (`atat recognize --question`)."""

    @property
    def asr(self) -> str:
        """The recogniser that finds the words of a recording (`atat.prepare.timed_words`)."""

    def answer(self, samples: np.ndarray, words: Sequence[Word], question: str) -> Prediction:
        """The answer to a question about samples (T,) at 16 kHz, whose words have these times.

        Raises InputError for what cannot be asked.
        """


@runtime_checkable
class Exports(Protocol):
    """A system whose models run without torch, too (`atat export`, `atat.runtime`)."""

    def export(self, packed: Any, folder: Path, weights: Literal["float32", "int8"]) -> None:
        """Write what `atat.runtime` reads into an empty folder.

        Raises InputError for a model that cannot be exported, before anything is written.
        """
