"""Questions about paragraphs, in windows, to train on (Chuang et al. 2020, section 2.4).

    [CLS] question [SEP] words of a window [SEP]

The question is written, the paragraph written or spoken. The target is the first of the answers
that the paragraph's words hold; where a window does not hold all of it, the position of [CLS], as
in BERT's code. A question of whose answers the words hold none is not learned from.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from atat.base.errors import InputError
from atat.datadir import lost, questions, tables
from atat.datadir.kaldi_dir import Utterance
from atat.datadir.questions import Question
from atat.engine.settings import SourceSettings
from atat.speech.frontend import Frontend
from atat.systems.speechbert import batch
from atat.systems.speechbert.batch import Example
from atat.systems.speechbert.data import Sequences
from atat.systems.speechbert.windows import Window, windows
from atat.text.normalize import normalize

logger = logging.getLogger(__name__)


class Asked(NamedTuple):
    """A question about a window of a paragraph."""

    question: Question
    utterance: Utterance
    text: str  # of the question, normalised
    window: Window
    first: int  # word of the answer, in the paragraph
    last: int


class Questions(Sequences):
    """The windows of all questions that have an answer."""

    def __init__(
        self,
        source: SourceSettings,
        frontend: Frontend | None,
        max_lost: float,
        *,
        longest: int,
        stride: int,
        lost_questions: bool = True,
    ) -> None:
        """longest, stride: of windows (windows.py). lost_questions: also those whose answers the
        recogniser lost, where the words of the data dir hold them."""
        super().__init__(source, frontend, max_lost)
        self.longest, self.stride, self.lost_questions = longest, stride, lost_questions
        self.asked: list[Asked] = []
        self._ask(max_lost)
        self._measured(
            [len(one.text.split()) + one.window.end - one.window.first for one in self.asked]
        )

    def _ask(self, max_lost: float) -> None:
        """Find the windows; InputError for too many unusable questions, and for none at all."""
        there = {one.id: one for one in self.utterances}
        texts = tables.read_table(Path(self.data) / "text")
        known = [
            one
            for one in questions.read(self.data, texts)
            if one.utt in there and (self.lost_questions or not one.lost)
        ]
        answered = [one for one in known if one.found]
        if len(answered) < len(known):
            logger.info(
                "%s: %d of %d questions have no answer among the words and are not learned from",
                self.data,
                len(known) - len(answered),
                len(known),
            )
        unusable = {}
        for one in answered:
            try:
                self.asked += self._windows(one, there[one.utt])
            except InputError as error:
                unusable[one.id] = str(error)
        self._refuse(unusable, len(answered), max_lost)

    def _refuse(self, unusable: dict[str, str], total: int, max_lost: float) -> None:
        if unusable:
            what = f"cannot be used for task {self.task}"
            message = lost.describe(unusable, total, what, data=self.data, noun="questions")
            lost.refuse_too_many(unusable, total, max_lost, message, "fix them", option="max_lost")
            logger.warning(message)
        if not self.asked:
            raise InputError(
                f"{self.data}/{questions.QUESTIONS}: no question with an answer among the words; "
                f"task {self.task} learns from those"
            )

    def _windows(self, question: Question, utterance: Utterance) -> list[Asked]:
        text, words = normalize(question.question), len((utterance.text or "").split())
        if not text:
            raise InputError("the question has no words")
        answer = question.found[0]
        assert answer.first is not None and answer.last is not None
        found = windows(words, len(text.split()), self.longest, self.stride)
        return [Asked(question, utterance, text, one, answer.first, answer.last) for one in found]

    def __len__(self) -> int:
        return len(self.asked)

    def key(self, number: int) -> str:
        """Task, question and where the window begins."""
        one = self.asked[number]
        return f"{self.task} {one.question.id} {one.window.first}"

    def example(self, number: int, rng: np.random.Generator | None = None) -> Example:
        """Window `number`; nothing of it is random."""
        one = self.asked[number]
        first, end = one.window
        inside = first <= one.first and one.last < end
        vectors = self.vectors(one.utterance)
        return batch.sequence(
            one.question.id,
            self.words.ids((one.utterance.text or "").split()[first:end]),
            vectors=None if vectors is None else vectors[first:end],
            question=self.words.ids(one.text.split()),
            start=one.first - first if inside else -1,
            end=one.last - first if inside else -1,
        )
