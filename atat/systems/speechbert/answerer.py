"""Finetuned models as a function: words of a paragraph and questions in, spans of words out.

Several models answer together: their log probabilities of each word as the first and as the last
of the answer are averaged, whatever each reads, words or sounds; the words are the same. The
windows of a paragraph are one batch, so that an answer does not depend on other paragraphs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from atat.base.errors import InputError
from atat.engine.batching import batch_slices
from atat.systems.speechbert import batch, spans
from atat.systems.speechbert.settings import QA
from atat.systems.speechbert.spans import Scored
from atat.systems.speechbert.spoken import Frames
from atat.systems.speechbert.vectors import encoded
from atat.systems.speechbert.windows import MARKS, Window, merged, windows
from atat.text.normalize import normalize

if TYPE_CHECKING:
    from atat.systems.speechbert.packed import SpeechBertPacked

POSITIONS = 4000  # of a batch


class Answerer:
    """Some packed models that answer questions together."""

    def __init__(self, models: Sequence[SpeechBertPacked], longest: int | None = None) -> None:
        """longest: words of an answer; None: as the first model was trained. Raises InputError for
        a model of another stage, and for models that hear different features."""
        for one in models:
            if one.tasks != (QA,):
                raise InputError(
                    f"a model of the tasks {', '.join(one.tasks)} answers no questions; finetune "
                    f"it on {QA}"
                )
        heard = {one.frontend.kind: one.frontend for one in models if one.frontend is not None}
        if len(heard) > 1:
            raise InputError(
                f"the models read features of different kinds: {', '.join(heard)}; those that "
                "answer together read the same, or text"
            )
        self.models = list(models)
        self.frontend = next(iter(heard.values()), None)
        self.longest = longest or models[0].limits.max_answer

    def check(self, words: int, question: str) -> None:
        """Raise InputError for a question that cannot be asked about so many words."""
        asked = len(normalize(question).split())
        if not asked:
            raise InputError("the question has no words")
        for one in self.models:
            windows(words, asked, one.limits.max_length, one.limits.stride)

    def answers(
        self, words: Sequence[str], questions: Sequence[str], heard: Frames | None, count: int
    ) -> list[list[Scored]]:
        """The `count` best spans for each question, best first.

        words: of the paragraph; heard: their frames, where a model reads them. Every question has
        been checked.
        """
        of_models = [self._log_probs(one, words, questions, heard) for one in self.models]
        return [
            spans.best(spans.together(of_each), self.longest, count) for of_each in zip(*of_models)
        ]

    def _log_probs(
        self,
        packed: SpeechBertPacked,
        words: Sequence[str],
        questions: Sequence[str],
        heard: Frames | None,
    ) -> list[np.ndarray]:
        """For each question the log probabilities (W, 2) of each word."""
        encoder, limits = packed.model.encoder, packed.limits
        vectors = None
        if encoder is not None:
            assert heard is not None
            vectors = encoded(encoder, [heard])[0]
        ids = packed.words.ids(words)
        asked = [packed.words.ids(normalize(question).split()) for question in questions]
        cut = [windows(len(words), len(one), limits.max_length, limits.stride) for one in asked]
        rows = [
            batch.sequence(
                "",
                ids[first:end],
                vectors=None if vectors is None else vectors[first:end],
                question=question,
            )
            for question, places in zip(asked, cut)
            for first, end in places
        ]
        scores = iter(self._scores(packed, rows))
        return [
            _of_paragraph(places, [next(scores) for _ in places], MARKS - 1 + len(question))
            for question, places in zip(asked, cut)
        ]

    def _scores(self, packed: SpeechBertPacked, rows: Sequence[batch.Example]) -> list[np.ndarray]:
        """Those of each sequence (S, 2)."""
        device = packed.model.network.table.device
        order = sorted(range(len(rows)), key=lambda row: len(rows[row].ids))
        found: dict[int, np.ndarray] = {}
        for part in batch_slices((len(rows[row].ids) for row in order), POSITIONS):
            chosen = order[part]
            inputs = batch.of_sequences([rows[row] for row in chosen], QA).to(device).inputs
            with torch.inference_mode():
                scores = packed.model.scores(inputs).cpu().numpy()
            for row, one in zip(chosen, scores):
                found[row] = one[: len(rows[row].ids)]
        return [found[row] for row in range(len(rows))]


def _of_paragraph(places: Sequence[Window], scores: Sequence[np.ndarray], first: int) -> np.ndarray:
    """Scores (S, 2) of windows, of which the words begin at `first` -> log probabilities (W, 2) of
    all words: each from its window, together 1."""
    of_words = [one[first : first + end - start] for one, (start, end) in zip(scores, places)]
    together = merged(places, of_words).astype(np.float64)
    highest = together.max(0)
    found: np.ndarray = together - highest - np.log(np.exp(together - highest).sum(0))
    return found
