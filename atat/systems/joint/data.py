"""A data dir read for one task: which utterances can be used, how long they are, their examples.

Knows nothing of batches, and of what an example is made of (`atat.systems.joint.examples`).

    data = TaskData(SourceSettings("data/train", "slu"), encoding)
    example = data.example(7, np.random.default_rng(0))
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from atat.base.errors import InputError
from atat.datadir import contents, feats_type, kaldi_dir, lost
from atat.datadir.ctm import Word, check, read_ctm
from atat.datadir.kaldi_dir import Utterance
from atat.engine.batching import target_cost
from atat.engine.contract import AUDIO, TEXT, Budget
from atat.engine.settings import BatchSettings, SourceSettings
from atat.speech import audio
from atat.speech.augmenter import Augmenter
from atat.systems.joint.batch import Batch, Example, collate
from atat.systems.joint.examples import Encoding, ExampleReader
from atat.text import trees as semantics
from atat.text.constraint import Pair, pairs_of
from atat.text.ctc_labels import frames_needed
from atat.text.tasks import TASKS

logger = logging.getLogger(__name__)


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
        source: SourceSettings,
        encoding: Encoding,
        augmenter: Augmenter | None = None,
        max_lost: float = 0.01,
        budgets: BatchSettings | None = None,
    ) -> None:
        self.source = source
        self.data, self.task, self.weight = source.data, source.task, source.weight
        self.reads = TASKS[source.task]
        self.encoding = encoding
        self.frontend = encoding.frontend
        self.hears = self.is_audio and encoding.hears_waveform(self.reads.masked)
        self.budgets = budgets
        self.lost: dict[str, str] = {}
        utterances = kaldi_dir.load(source.data)
        self._check_files(utterances)
        self.faults: dict[str, str] = {}
        if self.hears:
            kaldi_dir.refuse_pipes(source.data, utterances, "training with `features: wav`")
            self.faults = contents.faults(source.data, utterances, "wav")
        elif self.is_audio:
            feats_type.check(source.data, self.frontend)
            self.faults = contents.faults(source.data, utterances, "feats")
        self.alignments = self._alignments() if self.reads.masked else {}
        self.reader = ExampleReader(source, encoding, augmenter, self.alignments)
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
        if not self.is_audio:
            return TEXT
        return AUDIO._replace(per_second=1 / self.frontend.frame_shift)

    @property
    def states(self) -> float:
        """Mean number of encoder states of an example."""
        return float(self.lengths.mean()) / (self.encoding.subsampling if self.is_audio else 1)

    def key(self, number: int) -> str:
        """Task and utterance: the random numbers of an example depend on them."""
        return f"{self.task} {self.utterances[number].id}"

    def at(self, step: int) -> TaskData:
        """The same in every step."""
        return self

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Examples as one padded batch."""
        return collate(examples, self.frontend.frame_shift)

    def example(self, number: int, rng: np.random.Generator | None = None) -> Example:
        """Utterance `number` as numbers; augmented where `rng` is given, else always the same."""
        return self.reader.example(self.utterances[number], rng)

    def pairs(self) -> set[Pair]:
        """Parent-child pairs of the target trees; none for transcripts."""
        if self.reads.target != "semantics":
            return set()
        found: set[Pair] = set()
        for utterance in self.utterances:
            found |= pairs_of(semantics.parse(utterance.semantics or ""))
        return found

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
            fields.append("wav" if self.hears else "feats")
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
        if self.reads.masked:
            words = self.alignments.get(utterance.id)
            if not words:
                return "no word alignment"
            if problems := check(words, None, utterance.duration):
                return f"its alignment is at fault: {problems[0]}"
        if self.reads.target == "semantics":
            self._check_tree(utterance)
        return ""

    def _unfit(self, length: int, target: int) -> str:
        """Why an utterance of this length (frames or words, tokens) is unusable; else empty."""
        if self.is_audio:
            if length < 1:
                shortest = 1000 * self.frontend.shortest / audio.SAMPLE_RATE
                return f"shorter than one frame ({shortest:.0f} ms)"
            seconds = length * self.frontend.frame_shift
            longest = self.frontend.longest / audio.SAMPLE_RATE
            if 0 < longest < seconds:
                return f"{seconds:.1f} s, the encoder takes at most {longest:.0f} s"
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
        lost.refuse_all(self.utterances, self.source.data)

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
        frames = self.frontend.num_frames
        # Of the data dir's features, if it has some and they are of the model's kind.
        alike = feats_type.alike(utterance.feats_type, self.frontend.kind)
        if (
            utterance.num_frames is not None
            and alike
            and not (self.hears and self.encoding.pretrained)
        ):
            return utterance.num_frames
        if utterance.duration is not None:
            return frames(round(utterance.duration * audio.SAMPLE_RATE))
        if self.hears:
            return frames(len(contents.read_recording(utterance)))
        return len(contents.read_features(utterance))

    def _target_length(self, utterance: Utterance, known: dict[str, int]) -> int:
        """Tokens the decoder reads of an utterance's target: len(reader.target_ids(it)) - 1.

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
