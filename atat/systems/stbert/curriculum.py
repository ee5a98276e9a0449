"""Which objective a step of pretraining has (Kim et al. 2021, sections 3.2 and 4.1).

    mlm              15 % of speech and text are masked, and predicted from the rest of both
    speech_to_text   all of the text is masked, and predicted from the speech alone
    text_to_speech   all of the speech is masked, and predicted from the text alone

Easy ones first: `mlm` alone in the first third of the steps, then one of all, each as likely. A
function of seed and step, so that a resumed run and all ranks have the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MLM, TO_TEXT, TO_SPEECH = OBJECTIVES = ("mlm", "speech_to_text", "text_to_speech")
STREAM = 3  # of random numbers; 1 and 2 are the sampler's


@dataclass(frozen=True)
class Curriculum:
    """The objectives of a run of `steps`, of which a share has `mlm` alone."""

    seed: int
    steps: int
    mlm_first: float
    objectives: Sequence[str]

    def objective(self, step: int) -> str:
        """That of step `step`, counted from 0."""
        if step < self.mlm_first * self.steps:
            return MLM
        rng = np.random.default_rng([self.seed, STREAM, step])
        return self.objectives[int(rng.integers(len(self.objectives)))]
