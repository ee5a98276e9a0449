"""A packed model as the engine and programs see it: questions about recordings answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from atat.base.errors import InputError
from atat.datadir.ctm import Word
from atat.datadir.questions import Prediction, span_of
from atat.engine.plain_recordings import OneAnswer
from atat.systems.speechbert import segments
from atat.systems.speechbert.answerer import Answerer
from atat.systems.speechbert.settings import QA
from atat.systems.speechbert.spoken import Frames

if TYPE_CHECKING:
    from atat.systems.speechbert.packed import SpeechBertPacked

NBEST = 5


class Recognizer(OneAnswer):
    """A packed model ready to answer questions about recordings whose words have times."""

    packed: SpeechBertPacked

    def __init__(self, packed: SpeechBertPacked, **options: Any) -> None:
        """Options are those of a search, which this does without."""
        super().__init__(packed, **options)
        self._answerer = Answerer([packed]) if packed.tasks == (QA,) else None

    @property
    def asr(self) -> str:
        """The recogniser that finds the words of a recording."""
        return self.packed.asr

    def check_task(self, task: str) -> None:
        """Raise InputError: what there is to decode is answers, and they need questions."""
        super().check_task(task)
        if task == QA:
            raise InputError(
                f"task {QA}: an answer needs a question: atat answer (a data dir with "
                "questions.jsonl), or atat recognize --question"
            )
        raise InputError(
            f"task {task}: the model of a pretraining fills in what is masked and has no answer to "
            f"decode; finetune it on {QA}"
        )

    def hypotheses(self, sources: Sequence[np.ndarray], task: str) -> list[list[dict[str, Any]]]:
        """There are none without a question."""
        self.check_task(task)
        return []

    def answer(self, samples: np.ndarray, words: Sequence[Word], question: str) -> Prediction:
        """The answer to a question about a recording.

        samples: (T,) at 16 kHz; words: what is said in it, with times. Raises InputError for a
        model that answers no questions, no words, a question that is too long, and for words that
        end after the recording.
        """
        if self._answerer is None:
            self.check_task(self.packed.tasks[0])
        assert self._answerer is not None
        if not words:
            raise InputError("no words were heard in the recording")
        self._answerer.check(len(words), question)
        heard, frontend = None, self._answerer.frontend
        if frontend is not None:
            features = frontend(samples)
            places = segments.segments(words, len(features), frontend.frame_shift)
            heard = Frames(segments.cut(features, places), segments.sizes(places))
        texts = [word.text for word in words]
        found = self._answerer.answers(texts, [question], heard, NBEST)[0]
        nbest = tuple(span_of(words, one.first, one.last, one.score) for one in found)
        return Prediction("", nbest[0], nbest)
