"""Settings of a training of Lugosch et al. 2019: the keys of `conf/*.yaml` besides those of every
run (`atat.engine.settings`).

This module holds only values; what they do is in the modules named in the comments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from atat.base.errors import InputError
from atat.base.limits import at_least
from atat.datadir import fingerprint
from atat.engine import settings as engine
from atat.speech.settings import AugmentSettings
from atat.text.tasks import Task

ACOUSTIC, INTENT = "acoustic", "intent"
TASKS = {
    # Phones and words of every frame; decoded, the words that are heard.
    ACOUSTIC: Task(ACOUSTIC, source="audio", target="text", masked=False),
    # One class for the intent and one for each slot, written as a tree.
    INTENT: Task(INTENT, source="audio", target="semantics", masked=False),
}


@dataclass(frozen=True)
class CropSettings:
    """The part of a recording that an example of pretraining is (data.py), in seconds: normally
    distributed, from a random start."""

    mean: float = 2.25
    deviation: float = 1.0
    shortest: float = 0.5

    def __post_init__(self) -> None:
        if self.shortest <= 0 or self.deviation < 0:
            raise InputError(
                f"crop: shortest is {self.shortest}, deviation {self.deviation}; expected above 0, "
                "and 0 or more"
            )


@dataclass(frozen=True, kw_only=True)
class LugoschSettings(engine.OneTaskSettings):
    """A whole training run: the top level of conf/*.yaml.

    All sources have the same task: `acoustic` pretrains, `intent` starts from such a model
    (`init.model`), or from nothing. `batch.max_frames` counts frames of 10 ms.
    """

    # Of task acoustic.
    words: int = 10_000  # outputs of the word module, the empty word among them (labels.py)
    crop: CropSettings = field(default_factory=CropSettings)
    # Noise, rooms and microphones in training (atat/speech/augmenter.py); the paper has none.
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    # Of task intent: which layers of the start model train, one more after each epoch, from the
    # top (build.py).
    unfreeze: Literal["none", "word", "all"] = "none"
    optim: engine.AdamSettings = field(default_factory=engine.AdamSettings)
    # Sums over hundreds of recurrent steps, and raw samples, are not for 8 bits of mantissa.
    precision: Literal["fp32"] = "fp32"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(2, words=self.words)
        if self.augment.speeds or self.augment.time_masks or self.augment.freq_masks:
            raise InputError(
                "augment: speeds and masks of features are not for this system, which reads "
                "recordings as they were aligned; leave them out"
            )
        if self.augment.needs_waveform and self.task == INTENT:
            raise InputError(f"augment is for the task {ACOUSTIC}; leave it out for {INTENT}")
        self.check_task(
            TASKS, f"pretrain with {ACOUSTIC}, then start from that model with {INTENT}"
        )
        if self.valid.select == "exact_match" and self.task == ACOUSTIC:
            raise InputError(f"valid.select: exact_match is for the task {INTENT}; expected loss")

    def digests(self) -> dict[str, str]:
        """Digests of data, recordings, noise and the start."""
        found = self.digests_of_data("wav") | fingerprint.of_noise(self.augment.noise)
        return found | (fingerprint.of_model(self.init.model) if self.init.model else {})
