"""The paragraphs of a data dir with their questions, as batches that `atat answer` shares out.

Item n is the entry of one paragraph: {"utt", "answers": {id: [[first, last, score], ...]}}, or with
`lost`, why it could not be read, in the place of answers.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from atat.base.errors import InputError
from atat.datadir import kaldi_dir, questions
from atat.datadir.ctm import Word, read_ctm
from atat.datadir.kaldi_dir import Utterance
from atat.datadir.questions import QUESTIONS, Question
from atat.systems.speechbert import segments
from atat.systems.speechbert.answerer import Answerer
from atat.systems.speechbert.spoken import Spoken


@dataclass(frozen=True)
class Paragraphs:
    """Those that have questions; shortest first, since the longest are answered first."""

    answerer: Answerer
    spoken: Spoken | None  # None: no model reads sounds
    utterances: tuple[Utterance, ...]  # whose questions can be asked
    questions: dict[str, list[Question]]  # of all utterances that have some
    lost: dict[str, str]  # question that cannot be asked -> why
    texts: dict[str, str]
    words: dict[str, list[Word]]  # with times, of the utterances that have them
    nbest: int

    @classmethod
    def read(cls, data: Path, answerer: Answerer, nbest: int) -> Paragraphs:
        """Those of a data dir; InputError if it lacks what the models read, or has no questions."""
        utterances = kaldi_dir.load(data)
        texts = {one.id: one.text or "" for one in utterances}
        if not any(texts.values()):
            raise InputError(f"{data / 'text'}: missing or empty; expected the words of each")
        asked: dict[str, list[Question]] = {}
        for each in questions.read(data, texts):
            asked.setdefault(each.utt, []).append(each)
        if not asked:
            raise InputError(f"{data / QUESTIONS}: empty; there is nothing to answer")
        kept = [one for one in utterances if one.id in asked]
        spoken = None
        if answerer.frontend is not None:
            spoken = Spoken(data, kept, answerer.frontend)
        if spoken is not None:
            words, faults = spoken.words, spoken.faults
        else:
            words = read_ctm(data / "ctm") if (data / "ctm").is_file() else {}
            known = (one.id for one in kept if one.id in words)
            faults = {name: segments.fault(words[name], texts[name]) for name in known}
        lost = {}
        for one in kept:
            for question in asked[one.id]:
                why = faults.get(one.id) or _why_not(answerer, texts[one.id], question)
                if why:
                    lost[question.id] = why
        ordered = sorted(kept, key=lambda one: (len(texts[one.id].split()), one.id))
        able = [one for one in ordered if any(q.id not in lost for q in asked[one.id])]
        return cls(answerer, spoken, tuple(able), asked, lost, texts, words, nbest)

    def without(self, done: Collection[str]) -> Paragraphs:
        """The same without some utterances."""
        left = tuple(one for one in self.utterances if one.id not in done)
        return replace(self, utterances=left)

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, number: int) -> list[dict[str, Any]] | InputError:
        one = self.utterances[number]
        asked = [each for each in self.questions[one.id] if each.id not in self.lost]
        try:
            heard = None if self.spoken is None else self.spoken.read(one)
        except InputError as error:
            return [{"utt": one.id, "lost": str(error)}]
        found = self.answerer.answers(
            self.texts[one.id].split(), [each.question for each in asked], heard, self.nbest
        )
        answers = {each.id: spans for each, spans in zip(asked, found)}
        return [{"utt": one.id, "answers": answers}]


def _why_not(answerer: Answerer, text: str, question: Question) -> str:
    """Why a question cannot be asked; empty: it can."""
    if not text:
        return "the paragraph has no words in text"
    try:
        answerer.check(len(text.split()), question.question)
    except InputError as error:
        return str(error)
    return ""
