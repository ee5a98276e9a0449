"""A data dir read for one task: which recordings can be used, and their examples.

Pretraining reads `phones.ctm` and `ctm`: where a recording has no phone, or a word that the model
does not know, the frame has no label. Between words it is the empty word; the published code gives
these frames no label either, so that the accuracy of words is shown without them. Intents are read
from `semantics`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from atat.base.errors import InputError
from atat.datadir import contents, kaldi_dir, lost
from atat.datadir.ctm import PHONES, Word, read_ctm, read_phones
from atat.datadir.kaldi_dir import Utterance
from atat.engine.contract import AUDIO
from atat.engine.plain import PlainSource
from atat.engine.settings import SourceSettings
from atat.nn.acoustic import PHONE_SAMPLES, WORD_SAMPLES
from atat.speech import audio
from atat.speech.audio import SAMPLE_RATE
from atat.systems.lugosch.batch import Batch, Example, collate
from atat.systems.lugosch.labels import EMPTY, UNKNOWN, Labels, command_of
from atat.systems.lugosch.settings import ACOUSTIC, INTENT, CropSettings
from atat.systems.lugosch.targets import frame_labels
from atat.text.phones import LABELS

logger = logging.getLogger(__name__)
PHONE_IDS = {label: number for number, label in enumerate(LABELS)}
FRAME = SAMPLE_RATE // 100  # samples in a unit of the budget


class Recordings(PlainSource):
    """The usable recordings of a data dir, with their labels.

    `labels` must be set before an example is read: training finds them in its own sources. Raises
    InputError if a file that the task needs is missing, or more than `max_lost` (a share) of the
    utterances cannot be used.
    """

    budget = AUDIO

    def __init__(
        self, source: SourceSettings, max_lost: float = 0.01, crop: CropSettings | None = None
    ) -> None:
        """crop: examples with a generator are parts of recordings (task acoustic)."""
        super().__init__(source)
        self.loss_weight = source.loss_weight
        self.crop = crop if self.task == ACOUSTIC else None
        self.labels = Labels()
        self.words: dict[str, list[Word]] = {}
        self.phones: dict[str, list[Word]] = {}
        self._read_labels()
        kaldi_dir.refuse_pipes(self.data, self.utterances, "training on recordings")
        faults = contents.faults(self.data, self.utterances, "wav")
        self.lost: dict[str, str] = {}
        kept, lengths = [], []
        for utterance in self.utterances:
            reason = faults.get(utterance.id) or self._lacking(utterance)
            length = 0 if reason else num_samples(utterance)
            if reason or not length:
                self.lost[utterance.id] = reason or "no samples"
                continue
            kept.append(utterance)
            lengths.append(-(-length // FRAME))
        self._check_lost(max_lost)
        self.utterances = kept
        longest = np.inf
        if self.crop:  # hardly any part is longer
            longest = 100 * max(self.crop.mean + 2 * self.crop.deviation, self.crop.shortest)
        self.lengths = np.minimum(lengths, longest).astype(np.int64)
        self.target_lengths = np.zeros(len(kept), dtype=np.int64)
        self.states = float(self.lengths.mean()) * FRAME / PHONE_SAMPLES  # frames of 40 ms

    def example(self, number: int, rng: np.random.Generator | None = None) -> Example:
        """Recording `number` with its labels; a random part of it where `rng` is given (crop)."""
        utterance = self.utterances[number]
        samples = contents.read_recording(utterance).astype(np.float32, copy=False)
        if self.task == INTENT:
            tree = utterance.semantics or ""
            none = np.zeros(0, dtype=np.int64)
            classes = np.array(self.labels.classes(tree), dtype=np.int64)
            return Example(
                utterance.id, samples, none, none, classes, known=self.labels.is_known(tree)
            )
        first = 0
        if self.crop is not None and rng is not None:
            first, size = part(len(samples), self.crop, rng)
            samples = samples[first : first + size]
        phones, words = self._frames(utterance.id, first, len(samples))
        return Example(utterance.id, samples, phones, words, np.zeros(0, dtype=np.int64))

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Examples as one padded batch."""
        return collate(examples, self.loss_weight)

    def spoken(self) -> list[str]:
        """All words that have times."""
        return [word.text for u in self.utterances for word in self.words.get(u.id, ())]

    def trees(self) -> list[str]:
        """The trees of all recordings."""
        return [utterance.semantics or "" for utterance in self.utterances]

    def _frames(self, name: str, first: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """The phones (N,) and the words (M,) of frames that begin at sample `first`."""
        phones = frame_labels(
            self.phones.get(name, ()),
            PHONE_IDS,
            first=first,
            samples=samples,
            shift=PHONE_SAMPLES,
            outside=UNKNOWN,
            unknown=UNKNOWN,
        )
        words = frame_labels(
            self.words.get(name, ()),
            self.labels.word_ids,
            first=first,
            samples=samples,
            shift=WORD_SAMPLES,
            outside=self.labels.word_ids[EMPTY] if name in self.words else UNKNOWN,
            unknown=UNKNOWN,
        )
        return phones, words

    def _read_labels(self) -> None:
        """The alignments or the trees; InputError for a file that the task needs and lacks."""
        folder = Path(self.data)
        needs = {"wav.scp": any(utterance.wav for utterance in self.utterances)}
        if self.task == INTENT:
            needs["semantics"] = any(utterance.semantics for utterance in self.utterances)
        else:
            needs |= {name: (folder / name).is_file() for name in ("ctm", PHONES)}
        for name, there in needs.items():
            if not there:
                fix = "; make it with: atat align --phones" if name in ("ctm", PHONES) else ""
                raise InputError(
                    f"{folder}/{name}: missing or empty, but task {self.task} needs it{fix}"
                )
        if self.task == ACOUSTIC:
            self.words, self.phones = read_ctm(folder / "ctm"), read_phones(folder / PHONES)

    def _lacking(self, utterance: Utterance) -> str:
        """What an utterance lacks to be an example; empty: nothing."""
        if not utterance.wav:
            return "no recording"
        if self.task == ACOUSTIC:
            has = self.words.get(utterance.id) or self.phones.get(utterance.id)
            return "" if has else "no alignment"
        if not utterance.semantics:
            return "no semantics"
        try:
            command_of(utterance.semantics)
        except InputError as error:
            return str(error)
        return ""

    def _check_lost(self, max_lost: float) -> None:
        if not self.lost:
            return
        what = f"cannot be used for task {self.task}"
        total = len(self.utterances)
        message = lost.describe(self.lost, total, what, data=self.data)
        lost.refuse_too_many(self.lost, total, max_lost, message, "fix them", option="max_lost")
        logger.warning(message)


def num_samples(utterance: Utterance) -> int:
    """Samples of a recording, from the tables, the file's header, or the recording itself."""
    if utterance.duration is not None:
        return round(utterance.duration * SAMPLE_RATE)
    if utterance.start is None:
        return audio.probe(str(utterance.wav)).num_samples
    return len(contents.read_recording(utterance))


def part(samples: int, crop: CropSettings, rng: np.random.Generator) -> tuple[int, int]:
    """First sample and length of a random part of a recording; all of one that is shorter."""
    seconds = max(crop.shortest, crop.mean + crop.deviation * rng.standard_normal())
    size = round(seconds * SAMPLE_RATE)
    if samples <= size:
        return 0, samples
    return int(rng.integers(samples - size + 1)), size
