"""Questions about the recordings of a data dir, and the answers that a system gives.

`questions.jsonl`, one JSON object a line, sorted by id:

    {"id": "q1", "utt": "p1", "question": "who wrote winter light",
     "answers": [{"text": "Maria Bennett", "first": 4, "last": 5, "start": 1.42, "end": 2.31}],
     "lost": false}

An utterance is a spoken paragraph. `first` and `last` are the numbers (from 0, both inclusive) of
the answer's words in the utterance's line of `text`, null where these words do not hold the answer;
`start` and `end` are its true times in seconds, by the alignment of the reference words, null where
they are not known. `lost` says that the recogniser's words do not hold any of the answers
(SQuAD-lost of Chuang et al. 2020); it is the same in the data dir whose `text` is the recogniser's
and in the one of the same recordings with reference words.

`answers.jsonl` of a decoded folder, one object a question, sorted by id: `id`, `text`, `first`,
`last`, `start`, `end` (seconds, of the words that the model read), `score` (log probability) and
`nbest`, a list of the same without `id`, best first. A question without an answer has the text ""
and null for the rest. Knows no corpus, no model and no score.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from atat.base.errors import InputError
from atat.base.files import atomic_write, read_lines
from atat.datadir.ctm import Word
from atat.text.normalize import normalize

QUESTIONS = "questions.jsonl"  # of a data dir
ANSWERS = "answers.jsonl"  # of a decoded folder
_FIX = "make it again with the command that wrote it"


@dataclass(frozen=True, slots=True)
class Answer:
    """One right answer: its text as the corpus has it, its words and its time."""

    text: str
    first: int | None = None  # number of its first word in `text`; None: not among the words
    last: int | None = None  # of its last word, inclusive
    start: float | None = None  # s, by the reference alignment
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One question about an utterance."""

    id: str
    utt: str
    question: str  # as written; not normalised
    answers: tuple[Answer, ...]
    lost: bool = False  # the recogniser's words hold none of the answers

    @property
    def found(self) -> tuple[Answer, ...]:
        """The answers that are among the words."""
        return tuple(answer for answer in self.answers if answer.first is not None)


@dataclass(frozen=True, slots=True)
class Span:
    """Words that a system gives as the answer; `first` is None where it gives none."""

    text: str = ""
    first: int | None = None
    last: int | None = None
    start: float | None = None  # s, by the alignment of the words that the system read
    end: float | None = None
    score: float | None = None  # log probability of start and end


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one question, and the next best ones (the best is the first of them)."""

    id: str
    best: Span
    nbest: tuple[Span, ...] = ()


def read(folder: str | Path, texts: Mapping[str, str] | None = None) -> list[Question]:
    """The questions of a data dir, sorted by id.

    `texts` (utterance to its words) are those that the numbers count; None: not checked. Raises
    InputError, naming file and line, for an object of another form, ids that repeat or are not
    sorted, an utterance that `texts` does not have, and an answer that is not the words its
    numbers say.
    """
    path = Path(folder) / QUESTIONS
    questions: list[Question] = []
    for where, row in _objects(path):
        question = _question(row, where)
        _check_order(questions[-1].id if questions else "", question.id, where)
        if texts is not None:
            _check_words(question, texts, where)
        questions.append(question)
    return questions


def write(folder: str | Path, questions: Iterable[Question]) -> None:
    """Write a data dir's questions, sorted by id; the file appears whole.

    Raises InputError for an id that repeats.
    """
    path = Path(folder) / QUESTIONS
    ordered = sorted(questions, key=lambda one: one.id)
    _write(path, [one.id for one in ordered], lines(ordered))


def lines(questions: Iterable[Question]) -> list[str]:
    """The lines of a data dir's questions, in their order, for `tables.write_tables`."""
    return [_line(asdict(one)) for one in questions]


def read_predictions(folder: str | Path) -> list[Prediction]:
    """The answers of a decoded folder, sorted by id; InputError, naming file and line."""
    path = Path(folder) / ANSWERS
    found: list[Prediction] = []
    for where, row in _objects(path):
        name = _get(row, "id", str, where)
        _check_order(found[-1].id if found else "", name, where)
        listed = _list_of_objects(row, "nbest", where)
        nbest = tuple(_span(one, f"{where}: nbest {rank}") for rank, one in enumerate(listed, 1))
        found.append(Prediction(name, _span(row, where), nbest))
    return found


def write_predictions(folder: str | Path, predictions: Iterable[Prediction]) -> None:
    """Write the answers of a decoded folder, sorted by id; the file appears whole."""
    ordered = sorted(predictions, key=lambda one: one.id)
    rows = [
        _line({"id": one.id, **asdict(one.best), "nbest": [asdict(span) for span in one.nbest]})
        for one in ordered
    ]
    _write(Path(folder) / ANSWERS, [one.id for one in ordered], rows)


def span_of(words: Sequence[Word], first: int, last: int, score: float | None = None) -> Span:
    """The span of an utterance's timed words `first` to `last`, inclusive."""
    text = " ".join(word.text for word in words[first : last + 1])
    return Span(text, first, last, words[first].start, words[last].end, score)


def places(words: Sequence[str], answer: str) -> list[tuple[int, int]]:
    """Where an answer is among normalised words: (first, last) of each, in their order.

    The answer is normalised as the words are; only whole words count.
    """
    sought = normalize(answer).split()
    if not sought:
        return []
    length = len(sought)
    starts = range(len(words) - length + 1)
    return [(at, at + length - 1) for at in starts if list(words[at : at + length]) == sought]


def placed(answer: Answer, words: Sequence[Word]) -> Answer:
    """The answer with its place among timed words: of several, the one nearest to its true time.

    Nearest is the largest overlap in time, then the smallest distance of the middles; without true
    times the first. Not among the words: `first` and `last` are None.
    """
    found = places([word.text for word in words], answer.text)
    if not found:
        return replace(answer, first=None, last=None)
    first, last = max(found, key=lambda place: _nearness(answer, words, *place))
    return replace(answer, first=first, last=last)


def _nearness(
    answer: Answer, words: Sequence[Word], first: int, last: int
) -> tuple[float, float, int]:
    if answer.start is None or answer.end is None:
        return 0.0, 0.0, -first
    start, end = words[first].start, words[last].end
    shared = max(0.0, min(end, answer.end) - max(start, answer.start))
    return shared, -abs(start + end - answer.start - answer.end), -first


def _objects(path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(read_lines(path), 1):
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise InputError(f"{where}: torn or not JSON ({error}); {_FIX}") from None
        if not isinstance(row, dict):
            raise InputError(f"{where}: expected an object {{...}}, found {line[:40]!r}; {_FIX}")
        yield where, row


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False)


def _write(path: Path, ids: Sequence[str], rows: Iterable[str]) -> None:
    for one, other in zip(ids, ids[1:]):
        if one == other:
            raise InputError(f"{path}: two questions are called {one!r}; ids must be unique")
    with atomic_write(path) as stream:
        stream.writelines(f"{row}\n" for row in rows)


def _question(row: Mapping[str, Any], where: str) -> Question:
    listed = _list_of_objects(row, "answers", where)
    if not listed:
        raise InputError(f"{where}: `answers` is empty; a question needs one answer at least")
    answers = []
    for number, one in enumerate(listed, 1):
        at = f"{where}: answer {number}"
        answers.append(Answer(_get(one, "text", str, at), *_place(one, at)))
    return Question(
        _get(row, "id", str, where),
        _get(row, "utt", str, where),
        _get(row, "question", str, where),
        tuple(answers),
        _get(row, "lost", bool, where),
    )


def _span(row: Mapping[str, Any], where: str) -> Span:
    score = _number(row, "score", where, is_log=True)
    return Span(_get(row, "text", str, where), *_place(row, where), score)


Place = tuple[int | None, int | None, float | None, float | None]


def _place(row: Mapping[str, Any], where: str) -> Place:
    """first, last, start and end; both of a pair or neither, in order."""
    first, last = (_get(row, key, int, where, optional=True) for key in ("first", "last"))
    start, end = (_number(row, key, where) for key in ("start", "end"))
    for names, low, high in (("first, last", first, last), ("start, end", start, end)):
        if (low is None) != (high is None) or (
            low is not None and high is not None and not 0 <= low <= high
        ):
            raise InputError(
                f"{where}: {names} are {low} and {high}; expected two numbers from 0 on, the "
                f"second not below the first, or null for both; {_FIX}"
            )
    return first, last, start, end


def _get(
    row: Mapping[str, Any], key: str, kind: type, where: str, *, optional: bool = False
) -> Any:
    value = row.get(key)
    if optional and value is None and key in row:
        return None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        found = repr(value)[:60] if key in row else "no such key"
        raise InputError(f"{where}: `{key}`: expected {kind.__name__}, found {found}; {_FIX}")
    return value


def _number(row: Mapping[str, Any], key: str, where: str, *, is_log: bool = False) -> float | None:
    """A finite number, or of logarithms that of 0."""
    value = row.get(key)
    if value is None and key in row:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not (math.isfinite(value) or (is_log and value == -math.inf))
    ):
        found = repr(value)[:60] if key in row else "no such key"
        raise InputError(f"{where}: `{key}`: expected a number or null, found {found}; {_FIX}")
    return float(value)


def _list_of_objects(row: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    value = _get(row, key, list, where)
    for one in value:
        if not isinstance(one, dict):
            raise InputError(f"{where}: `{key}`: expected objects, found {one!r}; {_FIX}")
    return list(value)


def _check_order(before: str, name: str, where: str) -> None:
    if name == before:
        raise InputError(f"{where}: the id {name!r} repeats; ids must be unique; {_FIX}")
    if name < before:
        raise InputError(f"{where}: the id {name!r} is after {before!r}; sort by id, or {_FIX}")


def _check_words(question: Question, texts: Mapping[str, str], where: str) -> None:
    if question.utt not in texts:
        raise InputError(
            f"{where}: {question.id!r} asks about the utterance {question.utt!r}, which the data "
            "dir does not have; remove the question or add the utterance"
        )
    words = texts[question.utt].split()
    for answer in question.found:
        first, last = answer.first or 0, answer.last or 0
        span = "".join(words[first : last + 1])
        if last >= len(words) or "".join(normalize(answer.text).split()) not in span:
            raise InputError(
                f"{where}: the answer {answer.text!r} of {question.id!r} is not the words {first} "
                f"to {last} of {question.utt!r} ({' '.join(words[first : last + 1])!r}, of "
                f"{len(words)} words); `text` has changed since: {_FIX}"
            )
