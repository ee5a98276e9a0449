"""What was understood, in one form: from Python, the command line, a server and a device.

`Understanding.to_dict()` is the JSON object. Every key is always there; further keys may be added,
none changes its meaning. "null": None in Python.

    key           type            meaning
    task          string          slu, asr, nlu or another task of the model's system
    understood    boolean         whether the answer may be acted on; false: `reason` says why not
    cause         string or null  why not, for programs: one of CAUSES; null if understood
    reason        string or null  why not, a sentence for people; null if understood
    text          string          the best hypothesis as the model wrote it: a tree (which may be
                                  malformed) for slu and nlu, words for asr; "" if there is nothing
    tree          string or null  the tree in the notation of TOP (`atat.text.trees`); null for asr
                                  and for a text that is not a tree. In Python: a `Tree`
    intent        string or null  label of the root without `IN:`; null where `tree` is, and for a
                                  root that is a slot
    slots         object          key of a slot -> its words, joined by blanks, in the order of the
                                  tree. The key is the label without `SL:`; a name that occurs again
                                  gets a number: DEVICE, DEVICE.2. {} where there are none
    spans         array           every slot, in the order of the tree, with its place:
      .key        string            its key in `slots`
      .name       string            its label without `SL:`
      .value      string            its words, those of slots and intents within it included
      .path       array             labels from the root down to it, with `IN:` and `SL:`
      .words      [int, int]        first word and the one after the last, in `words`; null if the
                  or null           value is not found there (a tree may have other words than were
                                    said, or an empty slot)
      .seconds    [float, float]    when it is said, from the start of the recording; null where the
                  or null           times of its words are
    transcript    string or null  what was said: for text the normalised text; for recordings the
                                  best hypothesis of task asr; null if the model cannot do asr, or
                                  was asked not to
    words         array           the words of the transcript; without one, those of the tree:
      .word       string
      .seconds    [float, float]    start and end; null for text, for a model without a CTC head and
                  or null           where the words cannot be aligned with the recording
    confidence    float or null   probability, 0 to 1, that intent and slots (asr: all words) are
                                  right, as fitted by `atat calibrate`; null for a task without it
    threshold     float or null   below it `understood` is false; null: nothing is rejected for its
                                  confidence
    nbest         array           hypotheses, best first; at least one, whose text may be "":
      .text       string
      .score      float             log probability / length: of a token on average
      .length     int               tokens, the end counted
      .at_limit   boolean           ended by the limit of length: it may be cut
    duration      float or null   seconds of the recording; null for text

The answers for which the model was not run (silence, a text without words) have `text` "", no
tree, one empty hypothesis of score 0 and length 0, and `confidence` null.

Seconds have three decimals in JSON, confidence, threshold and scores four. Knows neither torch
nor numpy: what hears and what decodes makes an `Understanding` by `understand`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from atat.text import trees
from atat.text.slot_places import places
from atat.text.trees import Tree

SILENCE, NO_WORDS, NO_TREE, CUT, UNSURE = "silence", "no words", "no tree", "cut", "unsure"
# silence: the recording is silent. no words: nothing was said or written, or no word was heard. no
# tree: the best hypothesis is malformed. cut: it ended at the limit of length. unsure: its
# confidence is below the threshold.
CAUSES = (SILENCE, NO_WORDS, NO_TREE, CUT, UNSURE)
REASONS = {
    SILENCE: "the recording is silent",
    NO_WORDS: "no words were heard",
    NO_TREE: "the model's answer is not a tree",
    CUT: "the model's answer was cut at the limit of its length",
}

Seconds = tuple[float, float]


@dataclass(frozen=True)
class Hypothesis:
    """One answer of the model."""

    text: str  # a tree as text, which may be malformed, or words
    score: float  # log probability / length ** length_exponent: per token, unless set otherwise
    length: int  # tokens, the end counted
    at_limit: bool = False  # ended by the limit of length: it may be cut

    @property
    def tree(self) -> Tree | None:
        """The tree, or None if the text is not a tree."""
        return trees.parse_or_none(self.text)

    @property
    def log_prob(self) -> float:
        """Of all tokens, if scores are per token."""
        return self.score * self.length


@dataclass(frozen=True)
class SaidWord:
    """A word and when it is said."""

    word: str
    seconds: Seconds | None = None


@dataclass(frozen=True)
class Slot:
    """A slot of the tree, and where it is said."""

    key: str  # in `Understanding.slots`
    name: str  # label without SL:
    value: str
    path: tuple[str, ...]  # labels from the root down, its own included
    words: tuple[int, int] | None = None  # in `Understanding.words`
    seconds: Seconds | None = None


@dataclass(frozen=True)
class Understanding:
    """The answer to one recording or sentence; the module says what each field means."""

    task: str
    understood: bool
    cause: str | None
    reason: str | None
    tree: Tree | None
    spans: tuple[Slot, ...]
    transcript: str | None
    words: tuple[SaidWord, ...]
    confidence: float | None
    threshold: float | None
    nbest: tuple[Hypothesis, ...]
    duration: float | None = None

    @property
    def text(self) -> str:
        """The best hypothesis as the model wrote it."""
        return self.nbest[0].text

    @property
    def score(self) -> float:
        """That of the best hypothesis."""
        return self.nbest[0].score

    @property
    def intent(self) -> str | None:
        """Label of the root without `IN:`."""
        if self.tree is None or not self.tree.label.startswith("IN:"):
            return None
        return self.tree.label.removeprefix("IN:")

    @property
    def slots(self) -> dict[str, str]:
        """Values by key; `spans` has their places."""
        return {slot.key: slot.value for slot in self.spans}

    @property
    def nothing(self) -> str | None:
        """Why the model was not run; None if it was."""
        return self.reason if self.nbest[0].length == 0 else None

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: plain values only."""
        return {
            "task": self.task,
            "understood": self.understood,
            "cause": self.cause,
            "reason": self.reason,
            "text": self.text,
            "tree": None if self.tree is None else trees.to_string(self.tree),
            "intent": self.intent,
            "slots": self.slots,
            "spans": [
                {
                    "key": slot.key,
                    "name": slot.name,
                    "value": slot.value,
                    "path": list(slot.path),
                    "words": None if slot.words is None else list(slot.words),
                    "seconds": _seconds(slot.seconds),
                }
                for slot in self.spans
            ],
            "transcript": self.transcript,
            "words": [
                {"word": word.word, "seconds": _seconds(word.seconds)} for word in self.words
            ],
            "confidence": _rounded(self.confidence, 4),
            "threshold": _rounded(self.threshold, 4),
            "nbest": [
                {
                    "text": one.text,
                    "score": _rounded(one.score, 4),
                    "length": one.length,
                    "at_limit": one.at_limit,
                }
                for one in self.nbest
            ],
            "duration": _rounded(self.duration, 3),
        }

    def to_json(self, **before: object) -> str:
        """`to_dict` as one line; before: keys that stand in front, such as what was understood."""
        return json.dumps({**before, **self.to_dict()}, ensure_ascii=False)


def _seconds(span: Seconds | None) -> list[float] | None:
    return None if span is None else [round(span[0], 3), round(span[1], 3)]


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def nothing(
    task: str, cause: str, reason: str | None = None, *, duration: float | None = None
) -> Understanding:
    """The answer where the model was not asked."""
    return Understanding(
        task=task,
        understood=False,
        cause=cause,
        reason=reason or REASONS[cause],
        tree=None,
        spans=(),
        transcript=None,
        words=(),
        confidence=None,
        threshold=None,
        nbest=(Hypothesis("", score=0.0, length=0),),
        duration=duration,
    )


def understand(
    task: str,
    nbest: Sequence[Hypothesis],
    *,
    is_tree: bool,
    said: Sequence[SaidWord] | None = None,
    confidence: float | None = None,
    threshold: float | None = None,
    duration: float | None = None,
) -> Understanding:
    """The answer of a model, from its hypotheses (best first, at least one).

    is_tree: whether the task writes trees. said: the words of the transcript, with their times
    where these are known; None if there is no transcript. For a task that writes words, `said` are
    those of the best hypothesis, with or without times.
    """
    best = nbest[0]
    tree = best.tree if is_tree else None
    transcript = None if said is None else " ".join(one.word for one in said)
    if said is None:
        if is_tree:
            found = [] if tree is None else trees.words(tree)
        else:
            found = best.text.split()
            transcript = best.text
        said = [SaidWord(word) for word in found]
    cause = _cause(best, tree, is_tree, confidence, threshold)
    reason = None if cause is None else REASONS.get(cause)
    if cause == UNSURE:
        reason = f"the confidence, {confidence:.2f}, is below the threshold, {threshold:.2f}"
    return Understanding(
        task=task,
        understood=cause is None,
        cause=cause,
        reason=reason,
        tree=tree,
        spans=() if tree is None else _slots(tree, said),
        transcript=transcript,
        words=tuple(said),
        confidence=confidence,
        threshold=threshold,
        nbest=tuple(nbest),
        duration=duration,
    )


def _cause(
    best: Hypothesis,
    tree: Tree | None,
    is_tree: bool,
    confidence: float | None,
    threshold: float | None,
) -> str | None:
    if not best.text:
        return NO_WORDS
    if is_tree and tree is None:
        return CUT if best.at_limit else NO_TREE
    if best.at_limit:
        return CUT
    if confidence is not None and threshold is not None and confidence < threshold:
        return UNSURE
    return None


def _slots(tree: Tree, said: Sequence[SaidWord]) -> tuple[Slot, ...]:
    """Every slot of a tree with its place among the words that were said."""
    path: list[str] = []
    leaves = trees.words(tree)
    keys: set[str] = set()
    found: list[Slot] = []
    where = places(tree, [one.word for one in said])
    for (label, depth, start, end), place in zip(trees.spans(tree), where):
        path[depth - 1 :] = [label]
        if not label.startswith("SL:"):
            continue
        name = label.removeprefix("SL:")
        key, number = name, 2
        while key in keys:
            key, number = f"{name}.{number}", number + 1
        keys.add(key)
        value = " ".join(leaves[start:end])
        found.append(Slot(key, name, value, tuple(path), place, _span(said, place)))
    return tuple(found)


def _span(said: Sequence[SaidWord], place: tuple[int, int] | None) -> Seconds | None:
    if place is None:
        return None
    first, last = said[place[0]].seconds, said[place[1] - 1].seconds
    return None if first is None or last is None else (first[0], last[1])
