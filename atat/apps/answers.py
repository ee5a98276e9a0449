"""An answer to a question about a recording, in one form: from Python and the command line.

`Answered.to_dict()` is the JSON object. Every key is always there; further keys may be added.

    key           type            meaning
    question      string          as it was asked
    answer        string          the words that answer it; "" if no words were heard
    seconds       [float, float]  when they are said, from the start of the recording
                  or null
    words         [int, int]      the first and the last of them, in `transcript` split at blanks
                  or null
    score         float or null   log probability of the first and the last word
    nbest         array           the best answers, best first: answer, seconds, words, score
    transcript    string          the words that were heard
    said          array           the same words with their times:
      .word       string            one of them
      .seconds    [float, float]    from the start of the recording
    duration      float           seconds of the recording

Seconds have three decimals in JSON, scores four. Knows no model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from atat.base.errors import InputError
from atat.datadir.ctm import Word, normalize_words
from atat.datadir.frame_labels import fault
from atat.datadir.questions import Prediction, Span
from atat.engine.contract import Answers
from atat.prepare import timed_words
from atat.speech.audio import SAMPLE_RATE


@dataclass(frozen=True)
class Answered:
    """The answer to one question; the module says what each field means."""

    question: str
    best: Span
    nbest: tuple[Span, ...]
    said: tuple[Word, ...]
    duration: float

    @property
    def text(self) -> str:
        """The words that answer the question."""
        return self.best.text

    @property
    def seconds(self) -> tuple[float, float] | None:
        """When they are said."""
        if self.best.start is None or self.best.end is None:
            return None
        return self.best.start, self.best.end

    @property
    def score(self) -> float | None:
        """Log probability of the first and the last word."""
        return self.best.score

    @property
    def transcript(self) -> str:
        """The words that were heard."""
        return " ".join(word.text for word in self.said)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: plain values only."""
        return {
            "question": self.question,
            **_values(self.best),
            "nbest": [_values(span) for span in self.nbest],
            "transcript": self.transcript,
            "said": [
                {"word": one.text, "seconds": _pair(one.start, one.end, 3)} for one in self.said
            ],
            "duration": round(self.duration, 3),
        }

    def to_json(self, **before: object) -> str:
        """The JSON object as text, letters of every script as they are; before: keys in front."""
        return json.dumps({**before, **self.to_dict()}, ensure_ascii=False)


def asked(
    engine: object, samples: np.ndarray, question: str, words: Sequence[Word] | None = None
) -> Answered:
    """Answer a question about samples (T,) at 16 kHz.

    engine: a system's recognizer; words: what is said, with times; None: the recogniser that the
    model names hears them. Raises InputError for a model that answers no questions.
    """
    if not isinstance(engine, Answers):
        raise InputError("the model answers no questions; its system has no task for it")
    if words is None:
        words = timed_words.heard(samples, engine.asr)
    else:
        words = normalize_words(words)
        if why := fault(words, len(samples) / SAMPLE_RATE):
            raise InputError(f"{why}; correct the times of the words")
    found = engine.answer(samples, words, question) if words else Prediction("", Span())
    duration = len(samples) / SAMPLE_RATE
    return Answered(question, found.best, found.nbest, tuple(words), duration)


def _values(span: Span) -> dict[str, Any]:
    return {
        "answer": span.text,
        "seconds": _pair(span.start, span.end, 3),
        "words": _pair(span.first, span.last, 0),
        "score": None if span.score is None else round(span.score, 4),
    }


def _pair(one: float | None, other: float | None, digits: int) -> list[float] | None:
    if one is None or other is None:
        return None
    return [round(one, digits or None), round(other, digits or None)]
