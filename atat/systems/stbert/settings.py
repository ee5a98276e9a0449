"""Settings of a training of ST-BERT: the keys of `conf/*.yaml` besides those of every run
(`atat.engine.settings`).

This module holds only values; what they do is in the modules named in the comments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Optional

from atat.base.errors import InputError
from atat.base.limits import at_least
from atat.datadir import fingerprint
from atat.engine import settings as engine
from atat.nn.settings import ScratchBertSettings
from atat.systems.stbert.curriculum import OBJECTIVES
from atat.text.tasks import Task

PRETRAIN, INTENT = "pretrain", "intent"
TASKS = {
    # Speech and text, parts of both hidden; there is nothing to decode.
    PRETRAIN: Task(PRETRAIN, source="audio", target="text", masked=True),
    # One class of a whole command, or of its intent, written as a tree.
    INTENT: Task(INTENT, source="audio", target="semantics", masked=False),
}


@dataclass(frozen=True)
class ScratchSettings(ScratchBertSettings):
    """A BERT without pretrained weights (build.py), for trials and tests."""

    pieces: int = 2000  # its word pieces: frequent words of the training text, and letters

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, pieces=self.pieces)


@dataclass(frozen=True)
class OptimSettings(engine.BertAdamSettings):
    """The paper's: Adam, to 1e-4 and down in a line. It says nothing of weight decay or clipping;
    1.0 is BERT's own. Of finetuning: 2e-5 to 5e-5. Set `warmup` to a tenth of the steps."""

    peak: float = 1.0e-4


@dataclass(frozen=True, kw_only=True)
class StbertSettings(engine.OneTaskSettings):
    """A whole training run: the top level of conf/*.yaml.

    All sources have the same task. `pretrain` starts from BERT and an acoustic model, or goes on
    from a model of the same task (`init.model`; DAPT); `intent` starts from either. What
    `init.model` has, its BERT and its acoustic model, is not named again. `batch.max_frames` counts
    frames of 10 ms.
    """

    acoustic: Optional[str] = None  # packed model of `lugosch`, task acoustic; stays frozen
    bert: Optional[str] = None  # folder or hub name; null: from scratch
    scratch: ScratchSettings = field(default_factory=ScratchSettings)
    positions: Literal["restart", "continue"] = "restart"  # of the text (speech_text_bert.py)
    max_length: int = 256  # of a sequence: frames of 40 ms, word pieces and marks
    posteriors: Optional[str] = None  # folder for them; null: in each data dir (posteriors.py)
    # Of pretraining (curriculum.py, masking.py).
    text: bool = True  # false: speech alone, with the objective mlm
    objectives: tuple[str, ...] = OBJECTIVES
    mlm_first: float = 1 / 3  # share of the steps with the objective mlm alone
    masked: float = 0.15  # share of phonemes and of word pieces
    # Of finetuning (classes.py).
    classes: Literal["commands", "intents"] = "commands"
    optim: OptimSettings = field(default_factory=OptimSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(4, max_length=self.max_length)
        self.check_task(TASKS, f"{PRETRAIN}, then start from that model with {INTENT}")
        if not self.objectives or set(self.objectives) - set(OBJECTIVES):
            raise InputError(
                f"objectives is {list(self.objectives)}; expected some of {', '.join(OBJECTIVES)}"
            )
        if not self.text and tuple(self.objectives) != ("mlm",):
            raise InputError(
                f"objectives is {list(self.objectives)}, but text is false: without text there is "
                "nothing to predict it from; write objectives: [mlm]"
            )
        for name, value in (("mlm_first", self.mlm_first), ("masked", self.masked)):
            if not 0 <= value <= 1:
                raise InputError(f"{name} is {value}; expected a share, from 0 to 1")
        if self.task == INTENT and (self.objectives, self.text) != (OBJECTIVES, True):
            raise InputError(f"objectives and text are of the task {PRETRAIN}; remove them")
        if self.valid.select == "exact_match" and self.task == PRETRAIN:
            raise InputError(f"valid.select: exact_match is for the task {INTENT}; expected loss")

    def also_by_steps(self) -> str:
        """The end of the steps with mlm alone, where others follow."""
        others = self.task == PRETRAIN and tuple(self.objectives) != ("mlm",)
        return (
            "the end of the steps with mlm alone (mlm_first)" if others and self.mlm_first else ""
        )

    def digests(self) -> dict[str, str]:
        """Digests of data, recordings, the start, the acoustic model and BERT."""
        found = self.digests_of_data("wav")
        for model in filter(None, (self.init.model, self.acoustic)):
            found |= fingerprint.of_model(model)
        return found | fingerprint.of_bert(self.bert)
