"""Forced alignment with pocketsphinx: known words, real speech's acoustic model, no network.

The wheel brings the model (US English, 16 kHz) and the CMU dictionary; a word outside it gets
its pronunciation from espeak-ng. Times are in steps of 10 ms. One pass is enough for words: the
second pass of pocketsphinx, for phones, does not move word boundaries (measured).

    aligner = Aligner()
    words = aligner.align(samples, "turn on the lamp".split())
    words, phones = aligner.align_phones(samples, "turn on the lamp".split())

Knows nothing of files; `atat align --backend pocketsphinx` aligns a data dir.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from atat.base import extras
from atat.datadir.ctm import NotAligned, Word
from atat.prepare.sphinx import VARIANT, start_afresh
from atat.text.phones import NOISE, phone

FRAME_SHIFT = 0.010  # s
SAMPLE_RATE = 16000
# Far wider than the default 1e-48: with a single text the search stays cheap (50 times faster than
# the speech), and it does not lose the only path at hesitations and long pauses.
BEAM = 1e-120

# Digital silence, which synthesisers write and rooms do not have, misleads the model: noise of 3
# steps of 16 bit reduces the boundary errors there by a third (17 ms to 12 ms on espeak-ng, and no
# utterance is lost) and does not change those of recordings.
DITHER = 1e-4

_MARKUP = re.compile(r"[<>()\[\]]")  # characters that mean something in the decoder's dictionary


class Aligner:
    """A pocketsphinx decoder and the pronunciations added to it; not to be shared by threads."""

    def __init__(self) -> None:
        with extras.needed("aligners", by="the backend pocketsphinx"):
            import pocketsphinx
        self._decoder = pocketsphinx.Decoder(
            lm=None,
            samprate=SAMPLE_RATE,
            beam=BEAM,
            pbeam=BEAM,
            wbeam=BEAM,
            # The later search through its lattice sometimes loses the last words.
            bestpath=False,
            loglevel="FATAL",
        )

    def align(self, samples: np.ndarray, words: Sequence[str]) -> list[Word]:
        """Words of an utterance with their times; samples (T,) float32 in [-1, 1] at 16 kHz.

        Raises NotAligned if no path through the audio fits the words, or one of them has no
        English pronunciation.
        """
        if not words:
            return []
        if not len(samples):
            raise NotAligned("the audio is empty")
        spoken = [self._entry(word) for word in words]
        pcm = _pcm(samples)
        self._decoder.set_align_text(" ".join(spoken))
        start_afresh(self._decoder)
        try:
            self._decoder.process_raw(pcm, full_utt=True)
        finally:
            self._decoder.end_utt()
        # Without a path to the end of the text there is no hypothesis, or an incomplete one.
        segments = self._decoder.seg() if self._decoder.hyp() is not None else []
        segments = [segment for segment in segments if segment.word[0] not in "<["]
        if [VARIANT.sub("", segment.word) for segment in segments] != spoken:
            raise NotAligned(
                f"pocketsphinx finds no way to speak the {len(words)} words in "
                f"{len(samples) / SAMPLE_RATE:.2f} s of audio: does the text belong to it?"
            )
        return [
            Word(
                word,
                segment.start_frame * FRAME_SHIFT,
                (segment.end_frame + 1 - segment.start_frame) * FRAME_SHIFT,
            )
            for word, segment in zip(words, segments)
        ]

    def align_phones(
        self, samples: np.ndarray, words: Sequence[str]
    ) -> tuple[list[Word], list[Word]]:
        """Words and phones, silences among them; what is no speech is `spn`. As `align`."""
        found = self.align(samples, words)
        if not found:
            return [], []
        self._decoder.set_alignment()  # to the words of the first pass
        start_afresh(self._decoder)
        try:
            self._decoder.process_raw(_pcm(samples), full_utt=True)
        finally:
            self._decoder.end_utt()
        phones = [
            Word(_label(one.name), one.start * FRAME_SHIFT, one.duration * FRAME_SHIFT)
            for word in self._decoder.get_alignment()
            for one in word
        ]
        return found, phones

    def _entry(self, word: str) -> str:
        """The word as in the dictionary; a missing word is added."""
        from atat.text.pronunciation import PronunciationError, phones_of

        entry = word.lower()
        if _MARKUP.search(entry):
            raise NotAligned(f"no pronunciation for {word!r}: brackets cannot be spoken")
        if self._decoder.lookup_word(entry) is None:
            try:
                phones = phones_of(entry)
                self._decoder.add_word(entry, " ".join(phones))
            except (PronunciationError, RuntimeError) as error:
                raise NotAligned(f"no pronunciation for {word!r}: {error}") from None
        return entry


def _label(name: str) -> str:
    """A phone of the acoustic model; its fillers, such as +NSN+, are noise."""
    return NOISE if name.startswith("+") else phone(name)


def _pcm(samples: np.ndarray) -> bytes:
    """Samples (T,) as 16 bit, with the same small noise in every call."""
    noise = np.random.default_rng(0).normal(0, DITHER, len(samples))
    return (np.clip(samples + noise, -1, 1) * 32767).round().astype("<i2").tobytes()
