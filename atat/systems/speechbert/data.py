"""Paragraphs of data dirs to train on: their words, written and spoken, and which can be used.

`mlm` masks some of their words, `qa` asks questions about them; here are also the spoken words by
themselves, of which the autoencoder learns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from atat.datadir import ark
from atat.datadir.kaldi_dir import Utterance
from atat.engine.contract import AUDIO, Budget
from atat.engine.plain import PlainSource
from atat.engine.settings import SourceSettings
from atat.speech.frontend import Frontend
from atat.systems.speechbert import batch, words
from atat.systems.speechbert.batch import Batch, Example, WordsBatch, WordsExample
from atat.systems.speechbert.spoken import Spoken
from atat.systems.speechbert.vectors import Vectors
from atat.systems.speechbert.windows import MARKS
from atat.systems.speechbert.words import Words

WRITTEN = Budget("text", "positions", "max_tokens")
SPOKEN = Budget("audio", "positions", "max_tokens")


class Paragraphs(PlainSource):
    """The usable paragraphs of a data dir; `words` must be set before an example is read.

    Attributes: `utterances`, `lengths`, `lost`, `spoken` (None: only text is read). Raises
    InputError if a file that the task needs is missing, or more than `max_lost` (a share) of the
    utterances cannot be used.
    """

    words = Words()
    lengths: np.ndarray

    def __init__(self, source: SourceSettings, frontend: Frontend | None, max_lost: float) -> None:
        """frontend: what makes the features, if they are read."""
        super().__init__(source)
        self.loss_weight = source.loss_weight
        self.need("text", any(utterance.text for utterance in self.utterances))
        self.spoken: Spoken | None = None
        if frontend is not None:
            self.spoken = Spoken(source.data, self.utterances, frontend)
        self.places: dict[str, str] = {}  # of vectors
        faults = {} if self.spoken is None else self.spoken.faults
        unusable = {}
        for one in self.utterances:
            why = faults.get(one.id, "") if one.text else "no words in text"
            if why:
                unusable[one.id] = why
        self.leave_out(unusable, max_lost)

    @property
    def states(self) -> float:
        """Mean number of positions of BERT."""
        return float(self.lengths.mean())

    def texts(self) -> list[str]:
        """What the words of a model are counted in."""
        return [utterance.text or "" for utterance in self.utterances]

    def heard(self, vectors: Vectors) -> None:
        """Make or find the vectors of all words."""
        self.places = vectors.of(self.data, self.utterances)

    def vectors(self, utterance: Utterance) -> np.ndarray | None:
        """The vectors (W, H) of an utterance's words; None: they are written."""
        if self.spoken is None:
            return None
        found: np.ndarray = ark.read(self.places[utterance.id])
        return found


class Sequences(Paragraphs):
    """Sequences of words and marks for BERT, made of the paragraphs."""

    def __init__(self, source: SourceSettings, frontend: Frontend | None, max_lost: float) -> None:
        """frontend: of spoken words; None: written ones."""
        super().__init__(source, frontend, max_lost)
        self.budget = WRITTEN if frontend is None else SPOKEN

    def _measured(self, words: Sequence[int]) -> None:
        """Set the lengths: of each sequence its words, the marks not counted."""
        self.lengths = np.array(words) + MARKS
        self.target_lengths = np.zeros(len(words), dtype=np.int64)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Examples as one padded batch."""
        return batch.of_sequences(examples, self.task, self.loss_weight)


class SpokenWords(Paragraphs):
    """The spoken words of each paragraph, for the autoencoder; `width` must be set."""

    budget = AUDIO
    width = 0  # of the embeddings

    def __init__(self, source: SourceSettings, frontend: Frontend, max_lost: float) -> None:
        super().__init__(source, frontend, max_lost)
        assert self.spoken is not None
        self.lengths = np.array([self.spoken.length(one) for one in self.utterances])

    def example(self, number: int, rng: np.random.Generator | None = None) -> WordsExample:
        """The words of paragraph `number`; nothing of it is random."""
        assert self.spoken is not None
        one = self.utterances[number]
        ids = self.words.ids((one.text or "").split())
        return WordsExample(one.id, self.spoken.read(one), ids, self.spoken.seconds(one))

    def collate(self, examples: Sequence[WordsExample]) -> WordsBatch:
        """All words of some paragraphs."""
        return batch.of_words(examples, words.FIRST, self.width, self.loss_weight)
