"""Recordings with the times of their phones and words: the examples of the acoustic model.

Where a recording has no phone, or a word that the model does not know, the frame has no label.
Between words it is the empty word; the published code gives these frames no label either, so that
the accuracy of words is shown without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from atat.datadir.ctm import PHONES, Word, read_ctm, read_phones
from atat.datadir.frame_labels import fault, frame_labels
from atat.datadir.kaldi_dir import Utterance
from atat.engine.plain_recordings import Recordings
from atat.engine.settings import SourceSettings
from atat.nn.acoustic import PHONE_SAMPLES, WORD_SAMPLES
from atat.speech.audio import SAMPLE_RATE
from atat.speech.augmenter import Augmenter
from atat.speech.settings import AugmentSettings
from atat.systems.lugosch.batch import Batch, Example, collate
from atat.systems.lugosch.settings import CropSettings
from atat.text.labels import EMPTY, UNKNOWN, Labels
from atat.text.phones import IDS


class AlignedRecordings(Recordings):
    """The usable recordings of a data dir with `ctm` and `phones.ctm`.

    `labels` must be set before an example is read: training finds them in its own sources. Raises
    InputError as `Recordings` does.
    """

    labels = Labels()

    def __init__(
        self,
        source: SourceSettings,
        max_lost: float = 0.01,
        crop: CropSettings | None = None,
        augment: AugmentSettings | None = None,
    ) -> None:
        """crop, augment: examples with a generator are parts of recordings, noisy or in rooms."""
        self.crop = crop
        self.augmenter = Augmenter(augment) if augment is not None else None
        super().__init__(source, max_lost)
        if crop is not None:  # hardly any part is longer
            longest = 100 * max(crop.mean + 2 * crop.deviation, crop.shortest)
            self.lengths = np.minimum(self.lengths, longest).astype(np.int64)

    def example(self, number: int, rng: np.random.Generator | None = None) -> Example:
        """Recording `number` with its labels; where `rng` is given, a random part of it (crop), as
        another microphone heard it (augment)."""
        name, samples, first = self.utterances[number].id, self.samples(number), 0
        if self.crop is not None and rng is not None:
            first, size = part(len(samples), self.crop, rng)
            samples = samples[first : first + size]
        if self.augmenter is not None and rng is not None:
            samples = self.augmenter.waveform(samples, rng).astype(np.float32, copy=False)
        phones, words = self._frames(name, first, len(samples))
        return Example(name, samples, phones, words)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Examples as one padded batch."""
        return collate(examples, self.loss_weight)

    def spoken(self) -> list[str]:
        """All words that have times."""
        return [word.text for u in self.utterances for word in self.words.get(u.id, ())]

    def read_labels(self) -> None:
        """The alignments; InputError for a file that is missing."""
        folder = Path(self.data)
        for name in ("ctm", PHONES):
            there = (folder / name).is_file()
            self.need(name, there, "; make it with: atat align --phones")
        self.words, self.phones = read_ctm(folder / "ctm"), read_phones(folder / PHONES)

    def lacking(self, utterance: Utterance) -> str:
        """What an utterance lacks to be an example; empty: nothing."""
        words, phones = (one.get(utterance.id, []) for one in (self.words, self.phones))
        if not words and not phones:
            return "no alignment"
        return fault(words, utterance.duration) or fault(phones, utterance.duration, "phone")

    def _frames(self, name: str, first: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """The phones (N,) and the words (M,) of frames that begin at sample `first`."""
        phones = frame_labels(
            self.phones.get(name, ()),
            IDS,
            first=first,
            samples=samples,
            shift=PHONE_SAMPLES,
            outside=UNKNOWN,
            unknown=UNKNOWN,
        )
        words: Sequence[Word] = self.words.get(name, ())
        labels = frame_labels(
            words,
            self.labels.word_ids,
            first=first,
            samples=samples,
            shift=WORD_SAMPLES,
            outside=self.labels.word_ids[EMPTY] if name in self.words else UNKNOWN,
            unknown=UNKNOWN,
        )
        return phones, labels


def part(samples: int, crop: CropSettings, rng: np.random.Generator) -> tuple[int, int]:
    """First sample and length of a random part of a recording; all of one that is shorter."""
    seconds = max(crop.shortest, crop.mean + crop.deviation * rng.standard_normal())
    size = round(seconds * SAMPLE_RATE)
    if samples <= size:
        return 0, samples
    return int(rng.integers(samples - size + 1)), size
