"""An exported model as a function: a recording or a sentence in, what was understood out.

    recognizer = Recognizer.load("DIR")
    found = recognizer("order.wav")               # atat.text.understanding
    found.intent, found.slots
    recognizer("order.wav", task="asr").text      # the transcript
    recognizer(text="two coffees please").tree    # from text

It hears, searches and answers as the model does with torch, an utterance at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from atat.base import checksums
from atat.base.errors import InputError
from atat.runtime import description
from atat.runtime.description import Description
from atat.runtime.graphs import Graphs
from atat.runtime.heard import embedded
from atat.runtime.search import Mixed, beam_search
from atat.speech import audio as audio_files
from atat.speech import frontend
from atat.speech.frontend import Frontend, Lfb
from atat.speech.silence import is_silent
from atat.text.constraint import TreeConstraint, WordConstraint, read_pairs
from atat.text.encoder_ids import OwnIds, own_ids
from atat.text.normalize import normalize
from atat.text.search_options import SearchOptions, length_limit
from atat.text.slot_values import SlotValues
from atat.text.tasks import TASKS
from atat.text.tasks import task as find_task
from atat.text.tokenizer import Tokenizer
from atat.text.understanding import (
    NO_WORDS,
    SILENCE,
    Hypothesis,
    SaidWord,
    Understanding,
    nothing,
    understand,
)

# Checked when it is loaded: all but the speech encoder, which checks itself when it is first used.
_PARTS = (
    description.NAME,
    description.AUDIO,
    description.TEXT,
    description.UNITS,
    description.MEMORY,
    description.STEP,
    description.TOKENIZER,
    description.PAIRS,
    description.CALIBRATION,
)


class Memory(NamedTuple):
    """States (S, D) that the decoder reads."""

    states: np.ndarray
    weight: float  # of what it then says
    limit: int  # most tokens of the output


class Recognizer:
    """An exported model and how to search with it; not for several threads at once."""

    def __init__(
        self,
        folder: Path,
        *,
        options: SearchOptions | None = None,
        well_formed: bool = False,
        any_pair: bool = False,
        values: Mapping[str, Iterable[str]] | None = None,
        threads: int = 1,
    ) -> None:
        """options: how to search; by default the beam of decoding, with every hypothesis kept.

        well_formed: outputs are always trees; any_pair: also parent-child pairs not seen in
        training; values: what a slot may hold, by label, such as {"SL:SONG": ["silver river"]}.
        threads: of a CPU. Raises InputError for a folder that is damaged or no exported model, and
        for options that it cannot do.
        """
        self.about = Description.read(folder)
        checksums.check(folder, _PARTS)
        self.options = options or SearchOptions(nbest=SearchOptions.beam)
        self.tokenizer = Tokenizer.load(folder / description.TOKENIZER)
        self._folder = folder
        self._graphs = Graphs(folder, self.about, threads)
        self._words = WordConstraint(self.tokenizer)
        self._trees = self._constraint(well_formed, any_pair, values)
        self._check_options()

    @classmethod
    def load(cls, folder: str | Path, **options: Any) -> Recognizer:
        """Read what `atat export` wrote; further options are those of the constructor."""
        return cls(Path(folder), **options)

    def __call__(
        self,
        audio: str | Path | np.ndarray | None = None,
        *,
        text: str | None = None,
        task: str | None = None,
        rate: float | None = None,
        channel: int | None = None,
        transcript: bool = False,
    ) -> Understanding:
        """Understand one recording (a file, or samples (T,) in [-1, 1] as floats) or one sentence.

        task: by default slu for audio and nlu for text. rate (Hz): of samples, by default 16,000.
        channel: of a file, from 0. transcript: of a recording too, which costs a second search.
        Raises InputError for a task that the model cannot do, a file that cannot be read and
        invalid samples.
        """
        if (audio is None) == (text is None):
            raise InputError("give either a recording or text=..., and not both")
        task = task or ("slu" if text is None else "nlu")
        self.check_task(task)
        if (TASKS[task].source == "text") != (text is not None):
            raise InputError(f"task {task} reads {TASKS[task].source}")
        if text is not None:
            words = normalize(text)
            if not words:
                return nothing(task, NO_WORDS, "the text has no words")
            said = [SaidWord(word) for word in words.split()]
            return understand(task, self._read(words), is_tree=True, said=said)
        assert audio is not None
        samples = _samples(audio, rate, channel)
        seconds = len(samples) / audio_files.SAMPLE_RATE
        frames = self.frames(samples)
        if not len(frames):
            shortest = 1000 * self._frontend.shortest / audio_files.SAMPLE_RATE
            raise InputError(f"the recording is shorter than one frame ({shortest:.0f} ms)")
        if is_silent(samples, audio_files.SAMPLE_RATE):
            return nothing(task, SILENCE, duration=seconds)
        memories = self._hear(frames)
        nbest = self._answer(memories, task)
        is_tree, said = TASKS[task].target == "semantics", None
        if transcript and is_tree:
            said = [SaidWord(word) for word in self._answer(memories, "asr")[0].text.split()]
        return understand(task, nbest, is_tree=is_tree, said=said, duration=seconds)

    def frames(self, samples: np.ndarray) -> np.ndarray:
        """Samples (T',) at 16 kHz -> frames (T, F) of filterbanks or of the speech encoder."""
        return self._frontend(samples)

    def recognize(self, frames: np.ndarray, task: str) -> list[Hypothesis]:
        """Frames (T, F) of a recording -> the hypotheses of a task, best first."""
        self.check_task(task)
        return self._answer(self._hear(frames), task)

    def check_task(self, task: str) -> None:
        """Raise InputError unless the model has the encoder that the task needs."""
        source = find_task(task).source
        if not (self.about.values if source == "audio" else self.about.units):
            raise InputError(
                f"task {task} needs a model that reads {source}; this one was trained on "
                f"{', '.join(self.about.tasks)}"
            )

    def _hear(self, frames: np.ndarray) -> list[Memory]:
        """What the decoder is to read of a recording, the audio's own memory last."""
        memory, log_probs = self._graphs.audio(frames)
        limit = length_limit("audio", len(memory), self.options)
        memories = [Memory(memory, 1 - self.options.bridge, limit)]
        if self.options.bridge > 0:
            assert log_probs is not None
            read = embedded(log_probs, self._graphs.units, self._ids)
            memories.insert(0, Memory(self._graphs.text(read), self.options.bridge, limit))
        return [one for one in memories if one.weight > 0]

    def _read(self, text: str) -> list[Hypothesis]:
        """Normalised text -> the hypotheses of its tree."""
        memory = self._graphs.text(self._graphs.units[self._ids(text)])
        limit = length_limit("text", len(memory), self.options)
        return self._answer([Memory(memory, 1.0, limit)], "nlu")

    def _answer(self, memories: Sequence[Memory], task: str) -> list[Hypothesis]:
        scorers = [self._graphs.decoding(one.states, self.options.beam) for one in memories]
        target = TASKS[task].target
        found = beam_search(
            scorers[0] if len(scorers) == 1 else Mixed(scorers, [one.weight for one in memories]),
            self.tokenizer.task_id(task),
            self.tokenizer.eos_id,
            self.options,
            limit=memories[0].limit,
            constraint=self._trees if target == "semantics" else self._words,
        )
        decode = self.tokenizer.decode
        return [
            Hypothesis(decode(one.tokens, target), one.score, len(one.tokens) + 1, one.at_limit)
            for one in found
        ]

    @cached_property
    def _frontend(self) -> Frontend:
        if (self._folder / frontend.DESCRIPTION).is_file():
            return frontend.read(self._folder)
        return Lfb(self.about.values)

    @cached_property
    def _ids(self) -> OwnIds:
        assert self.about.units is not None
        return own_ids(self.about.units, self.tokenizer)

    def _constraint(
        self, well_formed: bool, any_pair: bool, values: Mapping[str, Iterable[str]] | None
    ) -> TreeConstraint | None:
        if values and not well_formed:
            raise InputError("values are for well-formed decoding: set well_formed, too")
        if not well_formed:
            return None
        pairs = None if any_pair else read_pairs(self._folder / description.PAIRS)
        if pairs is not None and not pairs:
            raise InputError(
                "well-formed decoding has no pairs of tags: the model was not trained on trees; "
                "allow any pair, or decode without"
            )
        known = SlotValues(self.tokenizer, values) if values else None
        return TreeConstraint(self.tokenizer, pairs, known)

    def _check_options(self) -> None:
        options = self.options
        if not 0 <= options.bridge <= 1:
            raise InputError(f"bridge is {options.bridge:g}; expected 0 to 1")
        if options.bridge and not self.about.bridge:
            raise InputError(
                "bridge needs a model that was trained with one (`model.bridge.share` above 0)"
            )
        if options.ctc_weight:
            raise InputError(
                "ctc_weight is not for exported models; search without it, or with torch: "
                "atat decode --ctc_weight"
            )


def _samples(given: str | Path | np.ndarray, rate: float | None, channel: int | None) -> np.ndarray:
    """Samples (T,) float32 at 16 kHz; raises InputError for what cannot be taken so."""
    if isinstance(given, (str, Path)):
        return audio_files.load(given, resample=True, channel=channel)
    if given.ndim != 1 or not np.issubdtype(given.dtype, np.floating):
        raise InputError(
            f"expected samples (T,) in [-1, 1] as floats, found {given.dtype} {given.shape}"
        )
    from_rate = audio_files.SAMPLE_RATE if rate is None else rate
    audio_files.check_samples("samples", given, int(from_rate))
    samples = given.astype(np.float32, copy=False)
    if from_rate == audio_files.SAMPLE_RATE or not len(samples):
        return samples
    return audio_files.resample(samples, from_rate, audio_files.SAMPLE_RATE)
