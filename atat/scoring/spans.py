"""How right the answer to one question is, in words and in time, as `atat.scoring.metrics` count.

Words: exact match and F1 of SQuAD 1.1 (Rajpurkar et al. 2016, section 6.1): both texts are in lower
case, without punctuation, articles and needless blanks; F1 is over the words as a bag; of several
right answers the best counts. What a model answers is normalised as transcripts are ("fifty"), so
each right answer counts in its spoken form, too ("50").

Time: F1 and AOS (audio overlapping score, Lee et al. 2018) of the seconds from the start of the
first word to the end of the last: 2 |A ∩ B| / (|A| + |B|) and |A ∩ B| / |A ∪ B|. These need no
frames: they are the limit of ever shorter ones. A question whose answers have no known time counts
in neither. Knows nothing of files.
"""

from __future__ import annotations

import re
import string
from collections import Counter

from atat.datadir.questions import Question, Span
from atat.scoring.metrics import Counts
from atat.text.normalize import normalize

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
Times = tuple[float, float]  # s


def counts(question: Question, answer: Span) -> Counts:
    """Exact match and F1 in words, F1 and AOS in time, each of the best of the right answers."""
    right = {form for one in question.answers for form in (one.text, normalize(one.text))}
    found: Counts = {
        "answer_em": (max(exact_match(answer.text, one) for one in right), 1),
        "answer_f1": (max(word_f1(answer.text, one) for one in right), 1),
        "frame_f1": (0.0, 0),
        "aos": (0.0, 0),
    }
    timed = [
        (one.start, one.end)
        for one in question.answers
        if one.start is not None and one.end is not None
    ]
    if timed:
        start, end = answer.start, answer.end
        known = (start, end) if start is not None and end is not None else None
        found["frame_f1"] = (max(time_f1(known, one) for one in timed), 1)
        found["aos"] = (max(time_overlap(known, one) for one in timed), 1)
    return found


def plain(text: str) -> str:
    """A text as SQuAD compares it: lower case, no punctuation, no articles, single blanks."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, right: str) -> int:
    """1 if the two are the same text for SQuAD, else 0."""
    return int(plain(answer) == plain(right))


def word_f1(answer: str, right: str) -> float:
    """F1 of the words of both as bags; 0 if they share none."""
    given, wanted = plain(answer).split(), plain(right).split()
    shared = sum((Counter(given) & Counter(wanted)).values())
    return 2 * shared / (len(given) + len(wanted)) if shared else 0.0


def time_f1(answer: Times | None, right: Times) -> float:
    """F1 of two spans of time; 0 without an answer or without overlap."""
    shared = _shared(answer, right)
    return 2 * shared / (_length(answer) + _length(right)) if shared else 0.0


def time_overlap(answer: Times | None, right: Times) -> float:
    """The seconds in both spans over the seconds in either (AOS)."""
    shared = _shared(answer, right)
    return shared / (_length(answer) + _length(right) - shared) if shared else 0.0


def _shared(one: Times | None, other: Times) -> float:
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0])) if one else 0.0


def _length(span: Times | None) -> float:
    return span[1] - span[0] if span else 0.0
