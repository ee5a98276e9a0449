"""Turns a data dir and a task into numbers: one `Example` per utterance, made again each time.

All randomness (augmentation, which words mlm masks) comes from a generator the caller makes, so
an example is a pure function of (seed, step, utterance). Knows nothing of batches.

    data = TaskData(Source("data/train", "slu"), encoder)
    example = data.example(7, np.random.default_rng(0))
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atat.base.errors import InputError
from atat.datadir import contents, lost, tables
from atat.datadir.ctm import Word, read_ctm
from atat.datadir.tables import Utterance
from atat.engine.batching import target_cost
from atat.engine.contract import AUDIO, TEXT, Budget
from atat.engine.settings import BatchSettings, Source
from atat.speech import audio, augment
from atat.speech.augmenter import Augmenter
from atat.speech.fbank import LOG_FLOOR, frames_touching, lfb, num_frames
from atat.systems.joint.batch import Batch, Example, collate
from atat.systems.joint.constraint import Pair, pairs_of
from atat.text import trees as semantics
from atat.text.ctc_labels import Units, frames_needed
from atat.text.encoder_ids import EncoderIds
from atat.text.tasks import TASKS
from atat.text.tokenizer import Tokenizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Encoding:
    """The form in which a model needs its examples: all that the data side knows of the model."""

    tokenizer: Tokenizer
    source_text: EncoderIds | None = None  # None: no text tasks
    units: Units | None = None  # None: no CTC
    subsampling: int = 4  # frames per encoder state
    mel_bins: int = 80
    features: str = "ark"  # or "wav"
    mask_words: float = 0.15  # mlm


class TaskData:
    """The usable utterances of a data dir, read as examples of one task.

    Attributes: `utterances`, `lengths` (frames or words of each), `target_lengths` (tokens of each,
    one of the task's label and the end counted), `lost` (utterance -> reason). An utterance that
    alone exceeds the budgets of a batch, if these are given, is also lost. Raises InputError if a
    file that the task needs is missing, or more than `max_lost` (a share) of the utterances cannot
    be used.
    """

    def __init__(
        self,
        source: Source,
        encoding: Encoding,
        augmenter: Augmenter | None = None,
        max_lost: float = 0.01,
        budgets: BatchSettings | None = None,
    ) -> None:
        self.source = source
        self.data, self.task, self.weight = source.data, source.task, source.weight
        self.reads = TASKS[source.task]
        self.encoding = encoding
        self.augmenter = augmenter
        self.budgets = budgets
        self.lost: dict[str, str] = {}
        utterances = tables.load(source.data)
        self._check_files(utterances)
        if "wav" in self._needed_fields():
            tables.refuse_pipes(source.data, utterances, "training with `features: wav`")
        kind = "wav" if encoding.features == "wav" else "feats"
        self.faults = contents.faults(source.data, utterances, kind) if self.is_audio else {}
        self.alignments = self._alignments() if self.reads.masked else {}
        self.utterances: list[Utterance] = []
        lengths, targets = [], []
        known: dict[str, int] = {}
        for utterance in utterances:
            reason = self._lacking(utterance)
            if not reason:
                length = self._length(utterance)
                target = self._target_length(utterance, known)
                reason = self._unfit(length, target)
            if reason:
                self.lost[utterance.id] = reason
                continue
            self.utterances.append(utterance)
            lengths.append(length)
            targets.append(target)
        self._check_lost(len(utterances), max_lost)
        self.lengths = np.array(lengths, dtype=np.int64)
        self.target_lengths = np.array(targets, dtype=np.int64)
        self.ctc_too_short = self._count_too_short()

    def __len__(self) -> int:
        return len(self.utterances)

    @property
    def is_audio(self) -> bool:
        return self.reads.source == "audio"

    @property
    def budget(self) -> Budget:
        """What limits the size of a batch: frames of audio or words of text."""
        return AUDIO if self.is_audio else TEXT

    @property
    def states(self) -> float:
        """Mean number of encoder states of an example."""
        return float(self.lengths.mean()) / (self.encoding.subsampling if self.is_audio else 1)

    def key(self, number: int) -> str:
        """Task and utterance: the random numbers of an example depend on them."""
        return f"{self.task} {self.utterances[number].id}"

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Examples as one padded batch."""
        return collate(examples)

    def example(self, index: int, rng: np.random.Generator | None = None) -> Example:
        """Utterance number `index` as numbers; augmented where `rng` is given.

        Without `rng` it is the same each time, including the masked words.
        """
        utterance = self.utterances[index]
        target = self.target_ids(utterance)
        units: list[int] = []
        if self.is_audio:
            source = self._features(utterance, rng)
            # Words that mlm has masked cannot be aligned.
            if self.encoding.units and utterance.text and not self.reads.masked:
                units = self.encoding.units.ids(utterance.text)
        else:
            assert self.encoding.source_text is not None and utterance.text is not None
            source = np.array(self.encoding.source_text(utterance.text), dtype=np.int64)
        weight = self.source.loss_weight
        return Example(utterance.id, self.task, source, target, units, weight)

    def target_ids(self, utterance: Utterance) -> list[int]:
        """<task> y1 .. yU <eos>."""
        tokenizer = self.encoding.tokenizer
        text = getattr(utterance, self.reads.target)
        ids = tokenizer.encode_target(text, self.reads.target)
        return [tokenizer.task_id(self.task), *ids, tokenizer.eos_id]

    def pairs(self) -> set[Pair]:
        """Parent-child pairs of the target trees; none for transcripts."""
        if self.reads.target != "semantics":
            return set()
        found: set[Pair] = set()
        for utterance in self.utterances:
            found |= pairs_of(semantics.parse(utterance.semantics or ""))
        return found

    def _features(self, utterance: Utterance, rng: np.random.Generator | None) -> np.ndarray:
        spans: list[tuple[float, float]] = []
        if self.reads.masked:
            # In validation, masks must be the same in every run: a function of the utterance.
            fixed = np.random.default_rng(zlib.crc32(utterance.id.encode()))
            spans = self._masked_spans(utterance, fixed if rng is None else rng)
        if self.encoding.features == "wav":
            features = self._features_of_waveform(utterance, spans, rng)
        else:
            assert utterance.feats is not None
            features = contents.read_features(utterance)
            if spans:
                frames = [frames_touching(start, end) for start, end in spans]
                features = augment.mask_frames(features, frames, LOG_FLOOR)
        if features.shape[1] != self.encoding.mel_bins:
            raise InputError(
                f"{self.source.data}: features of {utterance.id} have {features.shape[1]} mel bins,"
                f" the model expects {self.encoding.mel_bins} (key model.audio_encoder.mel_bins)"
            )
        if rng is not None and self.augmenter is not None:
            features = self.augmenter.features(features, rng)
        return np.ascontiguousarray(features, dtype=np.float32)

    def _features_of_waveform(
        self,
        utterance: Utterance,
        spans: Sequence[tuple[float, float]],
        rng: np.random.Generator | None,
    ) -> np.ndarray:
        samples = contents.read_recording(utterance)
        for start, end in spans:
            samples[round(start * audio.SAMPLE_RATE) : round(end * audio.SAMPLE_RATE)] = 0
        if rng is not None and self.augmenter is not None:
            samples = self.augmenter.waveform(samples, rng)
        return lfb(samples, num_mels=self.encoding.mel_bins)

    def _masked_spans(
        self, utterance: Utterance, rng: np.random.Generator
    ) -> list[tuple[float, float]]:
        """Start and end (s) of the words that mlm masks: a share mask_words, at least one word."""
        words = self.alignments[utterance.id]
        wanted = self.encoding.mask_words * len(words)
        # Random rounding keeps the mean share exact, if it is at least one word.
        count = max(1, int(wanted + rng.random()))
        chosen = rng.choice(len(words), size=min(count, len(words)), replace=False)
        return [(words[i].start, words[i].end) for i in sorted(chosen)]

    def _check_files(self, utterances: Sequence[Utterance]) -> None:
        """Name the file that is missing for this task before looking at single utterances."""
        folder = Path(self.source.data)
        needs = {"text": "text", "semantics": "semantics", "feats": "feats.scp", "wav": "wav.scp"}
        for field in self._needed_fields():
            if any(getattr(utterance, field) is not None for utterance in utterances):
                continue
            fix = "; make it with: atat features" if field == "feats" else ""
            raise InputError(
                f"{folder}/{needs[field]}: missing or empty, but task {self.task} needs it{fix}"
            )

    def _needed_fields(self) -> list[str]:
        fields: list[str] = [self.reads.target]
        if self.is_audio:
            fields.append("wav" if self.encoding.features == "wav" else "feats")
        else:
            fields.append("text")
        return fields

    def _lacking(self, utterance: Utterance) -> str:
        """What an utterance lacks to be an example; empty: nothing."""
        for field in self._needed_fields():
            if not getattr(utterance, field):
                return f"no {field}"
        if utterance.id in self.faults:
            return self.faults[utterance.id]
        if self.reads.masked and not self.alignments.get(utterance.id):
            return "no word alignment"
        if self.reads.target == "semantics":
            self._check_tree(utterance)
        return ""

    def _unfit(self, length: int, target: int) -> str:
        """Why an utterance of this length (frames or words, tokens) is unusable; else empty."""
        if self.is_audio and length < 1:
            return "shorter than one frame (25 ms)"
        if self.budgets is None:
            return ""
        budget = self.budget
        if length > (limit := getattr(self.budgets, budget.key)):
            return f"{length} {budget.unit}, more than batch.{budget.key} ({limit})"
        if target_cost(target) > self.budgets.max_targets:
            return (
                f"{target} target tokens, which count {target_cost(target)}, more than "
                f"batch.max_targets ({self.budgets.max_targets})"
            )
        return ""

    def _check_tree(self, utterance: Utterance) -> None:
        try:
            tree = semantics.parse(utterance.semantics or "")
            for tag in semantics.tags(tree):
                self.encoding.tokenizer.tag_id(tag)
        except InputError as error:
            raise InputError(f"{self.source.data}/semantics: {utterance.id}: {error}") from None

    def _check_lost(self, total: int, max_lost: float) -> None:
        if not self.lost:
            return
        what = f"cannot be used for task {self.task}"
        message = lost.describe(self.lost, total, what, data=self.source.data)
        lost.refuse_too_many(self.lost, total, max_lost, message, "fix them", option="max_lost")
        logger.warning(message)

    def _alignments(self) -> dict[str, list[Word]]:
        path = Path(self.source.data) / "ctm"
        if not path.is_file():
            raise InputError(
                f"{path}: no such file, but task mlm masks the audio of words and must know where "
                "they are; make it with: atat align"
            )
        return read_ctm(path)

    def _length(self, utterance: Utterance) -> int:
        if not self.is_audio:
            return len((utterance.text or "").split()) + 2
        if utterance.num_frames is not None:
            return utterance.num_frames
        if utterance.duration is not None:
            return num_frames(round(utterance.duration * audio.SAMPLE_RATE))
        if self.encoding.features == "wav":
            return num_frames(len(contents.read_recording(utterance)))
        return len(contents.read_features(utterance))

    def _target_length(self, utterance: Utterance, known: dict[str, int]) -> int:
        """Tokens the decoder reads of an utterance's target: len(target_ids) - 1.

        known: the pieces of each word seen so far, extended here; most utterances add no new word.
        """
        tokenizer = self.encoding.tokenizer
        length, trees = 1, self.reads.target == "semantics"
        for word in (getattr(utterance, self.reads.target) or "").split():
            if trees and (semantics.is_close(word) or word.startswith("[")):
                length += 1
                continue
            if word not in known:
                spelt = semantics.unescape(word) if trees else word
                known[word] = len(tokenizer.encode_text(spelt))
            length += known[word]
        return length

    def _count_too_short(self) -> int:
        """Number of utterances with fewer encoder states than CTC needs for their words."""
        units = self.encoding.units
        if units is None or not self.is_audio or self.reads.masked:
            return 0
        states = -(-self.lengths // self.encoding.subsampling)
        needed = [frames_needed(units.ids(utterance.text or "")) for utterance in self.utterances]
        return int((np.array(needed) > states).sum())
