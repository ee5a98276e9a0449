"""One utterance as numbers, made again each time it is drawn.

All randomness (augmentation, which words mlm masks) comes from a generator the caller makes, so
an example is a pure function of (seed, step, utterance). Which utterances can be used at all is
for `atat.systems.joint.data`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from atat.base.errors import InputError
from atat.datadir import contents
from atat.datadir.ctm import Word
from atat.datadir.kaldi_dir import Utterance
from atat.engine.settings import SourceSettings
from atat.speech import audio, augment
from atat.speech.augmenter import Augmenter
from atat.speech.fbank import LOG_FLOOR, frames_touching
from atat.speech.frontend import Frontend, Lfb
from atat.systems.joint.batch import Example
from atat.systems.joint.settings import hears_waveform
from atat.text.ctc_labels import Units
from atat.text.encoder_ids import EncoderIds, misheard_ids
from atat.text.mishearing import Ear
from atat.text.tasks import TASKS
from atat.text.tokenizer import Tokenizer


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
    misheard: float = 0.0  # share of the phones or letters of source texts
    ear: Ear | None = None  # who mishears them; None: groups of like sounds
    pretrained: Frontend | None = None  # whose states the model reads; None: filterbanks

    @property
    def frontend(self) -> Frontend:
        """What makes features of samples."""
        return self.pretrained or Lfb(self.mel_bins)

    def hears_waveform(self, masked: bool) -> bool:
        """Whether examples are made of samples."""
        encoded = self.pretrained is not None
        return hears_waveform(self.features, masked=masked, encoded=encoded)


class ExampleReader:
    """Reads the utterances of a source as examples of its task."""

    def __init__(
        self,
        source: SourceSettings,
        encoding: Encoding,
        augmenter: Augmenter | None = None,
        alignments: Mapping[str, Sequence[Word]] | None = None,
    ) -> None:
        """alignments: the words of each utterance with their times, for task mlm."""
        self.source, self.encoding, self.augmenter = source, encoding, augmenter
        self.alignments = alignments or {}
        self.reads = TASKS[source.task]

    def example(self, utterance: Utterance, rng: np.random.Generator | None = None) -> Example:
        """An utterance as numbers; augmented where `rng` is given.

        Without `rng` it is the same each time, including the masked words.
        """
        target = self.target_ids(utterance)
        units: list[int] = []
        if self.reads.source == "audio":
            source = self._features(utterance, rng)
            # Words that mlm has masked cannot be aligned.
            if self.encoding.units and utterance.text and not self.reads.masked:
                units = self.encoding.units.ids(utterance.text)
        else:
            assert self.encoding.source_text is not None and utterance.text is not None
            read, share = self.encoding.source_text, self.encoding.misheard
            if rng is not None and share > 0:
                ids = misheard_ids(read, utterance.text, share, rng, self.encoding.ear)
            else:
                ids = read(utterance.text)
            source = np.array(ids, dtype=np.int64)
        weight = self.source.loss_weight
        return Example(utterance.id, self.source.task, source, target, units, weight)

    def target_ids(self, utterance: Utterance) -> list[int]:
        """<task> y1 .. yU <eos>."""
        tokenizer = self.encoding.tokenizer
        text = getattr(utterance, self.reads.target)
        ids = tokenizer.encode_target(text, self.reads.target)
        return [tokenizer.task_id(self.source.task), *ids, tokenizer.eos_id]

    def _features(self, utterance: Utterance, rng: np.random.Generator | None) -> np.ndarray:
        spans: list[tuple[float, float]] = []
        if self.reads.masked:
            # In validation, masks must be the same in every run: a function of the utterance.
            fixed = np.random.default_rng(zlib.crc32(utterance.id.encode()))
            spans = self._masked_spans(utterance, fixed if rng is None else rng)
        if self.encoding.hears_waveform(self.reads.masked):
            features = self._features_of_waveform(utterance, spans, rng)
        else:
            assert utterance.feats is not None
            features = contents.read_features(utterance)
            if spans:
                frames = [frames_touching(start, end) for start, end in spans]
                features = augment.mask_frames(features, frames, LOG_FLOOR)
        if self.encoding.frontend.within:
            return np.ascontiguousarray(features, dtype=np.float32)  # samples
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
        frontend = self.encoding.frontend
        if rng is not None and self.augmenter is not None:
            changed = self.augmenter.waveform(samples, rng)
            # Another speed may make it shorter or longer than what the encoder takes.
            longest = frontend.longest or len(changed)
            if frontend.shortest <= len(changed) <= longest:
                samples = changed
        try:
            return frontend(samples)
        except InputError as error:
            raise InputError(f"{self.source.data}: {utterance.id} {error}") from None

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
