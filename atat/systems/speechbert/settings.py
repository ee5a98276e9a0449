"""Settings of a training of SpeechBERT: the keys of `conf/*.yaml` besides those of every run
(`atat.engine.settings`).

This module holds only values; what they do is in the modules named in the comments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Optional

from atat.base.errors import InputError
from atat.base.limits import at_least, below_one
from atat.datadir import fingerprint
from atat.engine import settings as engine
from atat.nn.settings import ScratchBertSettings
from atat.text.tasks import Task

TEXT, WORDS, AUDIO, QA = "text_mlm", "audio_words", "audio_mlm", "qa"
TASKS = {
    # Masked words of paragraphs and questions; there is nothing to decode.
    TEXT: Task(TEXT, source="text", target="text", masked=True),
    # The frames of a spoken word as a vector near its embedding.
    WORDS: Task(WORDS, source="audio", target="text", masked=True),
    # Masked words of spoken paragraphs.
    AUDIO: Task(AUDIO, source="audio", target="text", masked=True),
    # Which words of a paragraph answer a question (`atat answer`).
    QA: Task(QA, source="audio", target="text", masked=False),
}
STAGES = ({TEXT}, {WORDS}, {AUDIO}, {TEXT, AUDIO}, {QA})  # what a run may have
Reads = Literal["audio", "text"]


@dataclass(frozen=True)
class ScratchSettings(ScratchBertSettings):
    """A BERT without pretrained weights, for trials and small data."""

    dropout: float = 0.1
    spread: float = 0.02  # of its first weights; a narrow one learns faster with a larger one

    def __post_init__(self) -> None:
        super().__post_init__()
        below_one(dropout=self.dropout)
        if self.spread <= 0:
            raise InputError(f"spread is {self.spread}; expected more than 0")


@dataclass(frozen=True)
class AutoencoderSettings:
    """atat/nn/segment_autoencoder.py."""

    hidden: int = 768  # of the encoder's LSTM, in each direction; the decoder has BERT's width
    l1: float = 1.0  # weight of the distance to the word's embedding, beside the frames' error

    def __post_init__(self) -> None:
        at_least(1, hidden=self.hidden)
        if self.l1 < 0:
            raise InputError(f"l1 is {self.l1}; expected 0 or more")


@dataclass(frozen=True)
class OptimSettings(engine.BertAdamSettings):
    """Those of the PyTorch implementation of BERT that the paper names: Adam, down in a line,
    gradients clipped at 1.0, no weight decay."""

    peak: float = 5.0e-5


@dataclass(frozen=True, kw_only=True)
class SpeechBertSettings(engine.OneTaskSettings):
    """A whole training run: the top level of conf/*.yaml.

    Four stages, each from the model of the one before (`init.model`), told apart by the tasks of
    the sources: text_mlm; audio_words; audio_mlm with text_mlm; qa. `qa` may also start from
    audio_words (without masked pretraining on speech) and, with `reads: text`, from text_mlm.
    `batch.max_tokens` counts positions of BERT, `batch.max_frames` frames.
    """

    # Of text_mlm (words.py, build.py).
    bert: Optional[str] = None  # folder or hub name, of which the transformer is; null: scratch
    scratch: ScratchSettings = field(default_factory=ScratchSettings)
    # How the table of words begins. pieces: the mean of BERT's embeddings of a word's pieces
    embeddings: Literal["random", "pieces"] = "random"
    min_count: int = 2  # words seen less often are unknown
    questions: bool = True  # learn the words of the questions, too, where there are some
    # Of text_mlm and qa: also questions whose answers the recogniser lost (Spoken-SQuAD: none)
    lost_questions: bool = True
    # Of both kinds of masked words (masking.py).
    masked: float = 0.15  # share of the words that are predicted
    mask_random: float = 0.1  # of these, in text: the share that enters as a random word
    mask_kept: float = 0.1  # ... as itself; all others enter as [MASK]
    # Of audio_words: null: MFCC; a speech encoder, whose states the data dirs have
    encoder: Optional[str] = None
    autoencoder: AutoencoderSettings = field(default_factory=AutoencoderSettings)
    stored: Optional[str] = None  # folder for vectors of words; null: in each data dir (vectors.py)
    # Of qa (windows.py); max_length: of all sequences
    reads: Reads = "audio"
    max_length: int = 384  # words and marks
    stride: int = 128  # words from one window of a paragraph to the next; 0: a paragraph is one
    max_answer: int = 30  # words
    # What a program that uses the model finds words with (atat/prepare/timed_words.py)
    asr: Literal["moonshine", "pocketsphinx"] = "moonshine"
    optim: OptimSettings = field(default_factory=OptimSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(4, max_length=self.max_length)
        at_least(1, min_count=self.min_count, max_answer=self.max_answer)
        at_least(0, stride=self.stride)
        below_one(masked=self.masked)
        tasks = {source.task for source in (*self.train, *self.valid.sources)}
        for task in tasks:
            if task not in TASKS:
                raise InputError(f"task `{task}` is unknown; known tasks: {', '.join(TASKS)}")
        if tasks not in STAGES:
            raise InputError(
                f"the sources have the tasks {' and '.join(sorted(tasks))}; a run has one, or "
                f"{TEXT} and {AUDIO}: train the stages one after the other"
            )
        learned = {source.task for source in self.train}
        if not tasks <= learned:
            raise InputError(
                f"valid has the task {min(tasks - learned)}, which train has not; validate what is "
                f"learned: {' and '.join(sorted(learned))}"
            )
        if not (self.mask_random >= 0 <= self.mask_kept and self.mask_random + self.mask_kept <= 1):
            raise InputError(
                f"mask_random is {self.mask_random}, mask_kept {self.mask_kept}; expected shares "
                "of the masked words, together at most 1"
            )
        if self.valid.select == "exact_match" and self.task != QA:
            raise InputError(f"valid.select: exact_match is for the task {QA}; expected loss")

    @property
    def hears(self) -> bool:
        """Whether features are read."""
        tasks = {source.task for source in self.train}
        return bool(tasks & {WORDS, AUDIO}) or (tasks == {QA} and self.reads == "audio")

    def digests(self) -> dict[str, str]:
        """Digests of data, features, the start and BERT."""
        found = self.digests_of_data("feats" if self.hears else "")
        if self.init.model is not None:
            found |= fingerprint.of_model(self.init.model)
        return found | fingerprint.of_bert(self.bert)
