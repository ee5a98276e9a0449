"""Settings of every training run, whatever is trained: the keys of `conf/*.yaml` that the engine
reads. A system adds its own in a subclass (`atat.systems.joint.settings`).

This module holds only values; what they do is in the modules named in the comments.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal, Optional

from atat.base import config
from atat.base.errors import InputError
from atat.base.limits import at_least
from atat.engine import registry


@dataclass(frozen=True)
class SourceSettings:
    """One line of the mix: which data dir, for which task, how often (atat/engine/sampler.py)."""

    data: str
    task: str
    weight: float = 1.0  # expected share of examples, relative to the other sources
    loss_weight: float = 1.0  # of target tokens, so that long targets do not dominate

    def __post_init__(self) -> None:
        for name in ("weight", "loss_weight"):
            if getattr(self, name) <= 0:
                raise InputError(
                    f"{name} of {self.data} ({self.task}) is {getattr(self, name)}; expected > 0"
                )


@dataclass(frozen=True)
class BatchSettings:
    """atat/engine/sampler.py. What alone exceeds a budget counts as lost (`max_lost`) in joint, and
    is a batch of its own in the other systems."""

    examples: int = 64  # mean number in an optimizer step, all sources and all ranks together
    max_frames: int = 40000  # padded audio frames in one forward pass; more is accumulated
    max_tokens: int = 8000  # padded words of source text in one forward pass
    # Padded target tokens in one forward pass; U tokens count U + U**2 / 1000
    # (atat/engine/batching.py), so 100 targets of 70 tokens fill it, or one of 2,300
    max_targets: int = 8000
    block: int = 50  # steps whose examples are drawn together and sorted by length
    short_first_steps: int = 0  # curriculum: the longest utterance allowed grows until this step
    short_first_seconds: float = 2.0  # ... starting from here

    def __post_init__(self) -> None:
        at_least(1, examples=self.examples, block=self.block)
        at_least(1, max_frames=self.max_frames, max_tokens=self.max_tokens)
        at_least(1, max_targets=self.max_targets)


@dataclass(frozen=True)
class OptimSettings:
    """atat/engine/optim.py."""

    schedule: Literal["noam", "linear", "cosine", "constant"] = "noam"
    factor: float = 1.0  # noam's factor
    peak: float = 1.0e-3  # peak learning rate of the other schedules
    warmup: int = 4000
    betas: tuple[float, ...] = (0.9, 0.98)
    eps: float = 1.0e-9
    weight_decay: float = 0.0
    clip: float = 5.0  # gradient norm

    def __post_init__(self) -> None:
        at_least(0, warmup=self.warmup)
        if len(self.betas) != 2:
            raise InputError(f"betas has {len(self.betas)} values; expected two")
        if self.clip <= 0:
            raise InputError(f"clip is {self.clip}; expected > 0 (a large one to switch it off)")


@dataclass(frozen=True)
class AdamSettings(OptimSettings):
    """What papers mean that say Adam, 1e-3, and no more: torch's values, nothing clipped."""

    schedule: Literal["noam", "linear", "cosine", "constant"] = "constant"
    warmup: int = 0
    betas: tuple[float, ...] = (0.9, 0.999)
    eps: float = 1.0e-8
    clip: float = 1.0e6


@dataclass(frozen=True)
class BertAdamSettings(OptimSettings):
    """BERT's: Adam, down in a line, gradients clipped at 1.0, no weight decay."""

    schedule: Literal["noam", "linear", "cosine", "constant"] = "linear"
    warmup: int = 0
    betas: tuple[float, ...] = (0.9, 0.999)
    eps: float = 1.0e-8
    clip: float = 1.0


@dataclass(frozen=True)
class InitSettings:
    """Starting from a packed model, with the paper's gradual unfreezing (atat/engine/optim.py)."""

    model: Optional[str] = None  # packed model folder; --init on the command line wins
    # [steps, multiplier of the learning rate of what is pretrained], one after the other; 1 after.
    # Of joint; lugosch has a key of its own, the other systems do without.
    unfreeze: tuple[tuple[float, ...], ...] = ((500, 0.0), (100, 0.2), (100, 0.5), (100, 0.7))
    always_unfreeze: bool = False  # also when no parameter is new; then phases at 0 are left out

    def __post_init__(self) -> None:
        if any(len(phase) != 2 for phase in self.unfreeze):
            raise InputError("unfreeze: expected pairs [steps, multiplier]")


@dataclass(frozen=True)
class ValidSettings:
    """What is measured during training, and which checkpoint is kept as the best."""

    sources: tuple[SourceSettings, ...] = ()
    every: int = 1000  # steps
    # Utterances of each source that joint decodes, greedily, for exact match. Other systems need no
    # search for it and take all.
    decode: int = 100
    select: Literal["loss", "exact_match"] = (
        "loss"  # loss: what is minimised; of joint cross entropy alone
    )
    keep_last: int = 3
    average: int = 0  # the packed model is the mean of the last N checkpoints; 0: the best one

    def __post_init__(self) -> None:
        at_least(1, every=self.every, keep_last=self.keep_last)
        at_least(0, decode=self.decode, average=self.average)


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """A whole training run: the top level of conf/*.yaml, without what a system adds."""

    train: tuple[SourceSettings, ...]
    steps: int
    system: str = (
        registry.DEFAULT
    )  # what is trained: a folder of atat/systems, or a registered system
    seed: int = 1
    valid: ValidSettings = field(default_factory=ValidSettings)
    batch: BatchSettings = field(default_factory=BatchSettings)
    optim: OptimSettings = field(default_factory=OptimSettings)
    init: InitSettings = field(default_factory=InitSettings)
    # Of matrix products: auto is bf16 if the hardware has it, else fp32 (atat/base/precision.py).
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    checkpoint_every: int = 500  # steps; an interruption costs at most as many
    log_every: int = 20
    workers: int = 1  # processes that prepare batches
    max_lost: float = 0.01  # share of examples that may be unusable before the run is refused
    # Steps in a row that are left out since loss or gradient are not finite; one more ends the run
    max_nonfinite: int = 3

    def __post_init__(self) -> None:
        at_least(1, steps=self.steps, checkpoint_every=self.checkpoint_every)
        at_least(1, log_every=self.log_every)
        at_least(0, workers=self.workers, max_nonfinite=self.max_nonfinite)
        if not self.train:
            raise InputError("key `train` is empty; list at least one {data, task}")

    def compared(self) -> dict[str, Any]:
        """Settings that must not change within a run; a system leaves out unused ones."""
        return config.to_dict(self)

    def also_by_steps(self) -> str:
        """What else than the learning rate depends on `steps`, in words; empty: nothing."""
        return ""

    def digests(self) -> dict[str, str]:
        """Digests of everything the run reads (`atat.datadir.fingerprint`)."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class OneTaskSettings(RunSettings):
    """A run whose sources all have the same task."""

    @property
    def task(self) -> str:
        """The task of all sources."""
        return self.train[0].task

    def check_task(self, known: Collection[str], instead: str) -> None:
        """Raise InputError for unknown tasks and for several; instead: what to do for those."""
        tasks = dict.fromkeys(source.task for source in (*self.train, *self.valid.sources))
        for task in tasks:
            if task not in known:
                raise InputError(f"task `{task}` is unknown; known tasks: {', '.join(known)}")
        if len(tasks) > 1:
            raise InputError(
                f"the sources have the tasks {' and '.join(tasks)}; a run has one: {instead}"
            )

    def digests_of_data(self, kind: str = "") -> dict[str, str]:
        """Digests of the data dirs; kind "wav" or "feats": also of what is heard of them."""
        from atat.datadir import fingerprint

        folders = dict.fromkeys(source.data for source in (*self.train, *self.valid.sources))
        found = fingerprint.of_data(folders)
        for folder in folders if kind else ():
            found |= fingerprint.of_sound(folder, kind)
        return found
