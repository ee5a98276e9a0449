"""The true times of answers: by the words spoken, for questions about the words heard, too.

    python local/time_questions.py --spoken data/test_reference --heard data/test

adds `start` and `end` to the answers in `questions.jsonl` of both data dirs, from their `ctm`.
Times are those of the words spoken (SPOKEN/ctm), whatever the recogniser made of them. An answer
that occurs several times among the words heard is the one nearest to the true time. An answer whose
words have no times (its utterance was not aligned), or that would end after the recording, has
none: it is counted and listed in HEARD/questions.lost.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from atat.base import cli
from atat.base.errors import InputError
from atat.datadir import lost, questions, tables
from atat.datadir.ctm import TOLERANCE, Word, read_ctm
from atat.datadir.questions import Answer, Question
from atat.text.normalize import normalize

Times = Mapping[str, Sequence[Word]]


def spoken_times(question: Question, words: Sequence[Word] | None, seconds: float) -> Question:
    """The question with the times of its answers' words; without them where they are not known."""
    timed = []
    for answer in question.answers:
        start = end = None
        if words is not None and answer.first is not None and answer.last is not None:
            if answer.last < len(words) and words[answer.last].end <= seconds + TOLERANCE:
                start, end = words[answer.first].start, words[answer.last].end
        timed.append(replace(answer, start=start, end=end))
    return replace(question, answers=tuple(timed))


def heard_times(question: Question, spoken: Question, words: Sequence[Word] | None) -> Question:
    """The question about the words heard, with the times at which its answers were spoken.

    An answer that was marked at several places is there once for each.
    """
    known: dict[str, list[Answer]] = {}
    for one in spoken.answers:
        known.setdefault(normalize(one.text), []).append(one)
    timed = []
    for answer in question.answers:
        same = known.get(normalize(answer.text))
        if same is None and words is not None and answer.first is not None:
            # Another spelling than SQuAD's: it is spoken where it was heard.
            assert answer.last is not None
            same = [replace(answer, start=words[answer.first].start, end=words[answer.last].end)]
        places = [replace(answer, start=one.start, end=one.end) for one in same or [answer]]
        timed += [_nearest(place, words) for place in places]
    return replace(question, answers=tuple(dict.fromkeys(timed)))


def _nearest(answer: Answer, words: Sequence[Word] | None) -> Answer:
    """Of several places among the words heard the one that is nearest in time."""
    if words is None or answer.first is None:
        return answer
    found = questions.placed(answer, words)
    return found if found.first is not None else answer  # a part of a word stays where it is


def add_times(spoken: Path, heard: Path, max_lost: float) -> None:
    """Write both files of questions again, with times."""
    seconds = {key: float(value) for key, value in tables.read_table(spoken / "utt2dur").items()}
    times, heard_words = _times(spoken), _times(heard)
    asked = [
        spoken_times(one, times.get(one.utt), seconds[one.utt]) for one in questions.read(spoken)
    ]
    of_id = {one.id: one for one in asked}
    about_heard = []
    for one in questions.read(heard):
        if one.id not in of_id:
            raise InputError(f"{heard}: the question {one.id!r} is not in {spoken}; prepare again")
        about_heard.append(heard_times(one, of_id[one.id], heard_words.get(one.utt)))
    missing = {
        one.id: f"{one.utt}: no time of {one.answers[0].text!r}"
        for one in asked
        if all(answer.start is None for answer in one.answers)
    }
    lost.report(
        missing,
        len(asked),
        max_lost,
        "(questions) have no time of an answer",
        "align more of the utterances",
        data=spoken,
        path=heard / "questions.lost",
    )
    questions.write(spoken, asked)
    questions.write(heard, about_heard)
    print(f"{heard}: {len(asked) - len(missing)} of {len(asked)} questions have times")


def _times(folder: Path) -> dict[str, list[Word]]:
    """The times of the words of each utterance whose ctm has exactly the words of its text."""
    texts = tables.read_table(folder / "text")
    return {
        key: words
        for key, words in read_ctm(folder / "ctm").items()
        if [word.text for word in words] == texts.get(key, "").split()
    }


def main(argv: list[str] | None = None) -> None:
    parser = cli.Parser(
        description=__doc__.split("\n\n")[0] + " Example: python local/time_questions.py "
        "--spoken data/test_reference --heard data/test",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--spoken", type=Path, required=True, help="data dir whose text was spoken")
    add("--heard", type=Path, required=True, help="data dir whose text was heard")
    add("--max_lost", type=float, default=0.05, help="share of questions that may have no time")
    options = parser.parse_args(argv)
    add_times(options.spoken, options.heard, options.max_lost)


if __name__ == "__main__":
    cli.run(main)
