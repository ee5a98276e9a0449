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
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from atat.base import checksums
from atat.base.calibration import Calibration
from atat.base.errors import InputError
from atat.runtime import description
from atat.runtime.description import Description
from atat.runtime.graphs import Graphs
from atat.runtime.heard import embedded
from atat.runtime.search import Mixed, beam_search
from atat.speech import audio as audio_files
from atat.speech import frontend
from atat.speech.frontend import Frontend, Lfb
from atat.speech.given import Given, check_longest, samples_of, title_of
from atat.speech.silence import is_silent
from atat.text.constraint import TreeConstraint, WordConstraint, read_pairs
from atat.text.encoder_ids import OwnIds, own_ids
from atat.text.evidence import evidence
from atat.text.normalize import normalize
from atat.text.search_options import USUAL, SearchOptions, check_use, length_limit
from atat.text.slot_values import SlotValues
from atat.text.tasks import TASKS, Task, find
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
    description.COMMANDS,
    description.LABELS,
    description.CALIBRATION,
)

LONGEST = 60.0  # s of a recording that is understood at once
_SEARCH = {field.name for field in fields(SearchOptions)}


class Memory(NamedTuple):
    """States (S, D) that the decoder reads."""

    states: np.ndarray
    weight: float  # of what it then says
    limit: int  # most tokens of the output


class Recognizer:
    """An exported model and how to use it; not for several threads at once."""

    def __init__(
        self,
        folder: Path,
        *,
        options: SearchOptions = SearchOptions(nbest=SearchOptions.beam),
        well_formed: bool = False,
        any_pair: bool = False,
        values: Mapping[str, Iterable[str]] | None = None,
        calibration: Calibration | None = None,
        threshold: float | None = None,
        nbest: int | None = None,
        transcribe: bool = False,
        longest: float = LONGEST,
        threads: int = 1,
    ) -> None:
        """options, well_formed, any_pair, values: of the search, as in `atat decode`.

        calibration: made with this search. threshold: confidence below which an answer is not
        understood; by default that of the calibration. nbest: hypotheses kept of each answer (all).
        transcribe: whether recordings are also transcribed, which takes a second search. longest:
        seconds of a recording (0: any number). threads: of a CPU. Raises InputError for a folder
        that is damaged or no exported model, and for options that it cannot do.
        """
        check_use(threshold, nbest, threads)
        check_longest(longest)
        self.about = Description.read(folder)
        checksums.check(folder, _PARTS)
        self.options, self.calibration, self.threshold = options, calibration, threshold
        self.nbest, self.transcribe, self.longest = nbest, transcribe, longest
        self._folder, self._threads = folder, threads
        self._graphs = Graphs(folder, self.about, threads)
        self._open(folder, well_formed=well_formed, any_pair=any_pair, values=values)

    def _open(
        self,
        folder: Path,
        *,
        well_formed: bool,
        any_pair: bool,
        values: Mapping[str, Iterable[str]] | None,
    ) -> None:
        """Read what there is besides the graphs; see `__init__`."""
        trained = self.about.tasks
        # As with torch: any may be asked for, but for masks, which are for training.
        self._known: Mapping[str, Task] = TASKS
        self.tasks: Mapping[str, Task] = {
            name: one
            for name, one in TASKS.items()
            if (not trained or name in trained) and not one.masked
        }
        self.tokenizer = Tokenizer.load(folder / description.TOKENIZER)
        self._words = WordConstraint(self.tokenizer)
        self._trees = self._constraint(well_formed, any_pair, values)
        self._check_options()

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        nbest: int | None = None,
        threshold: float | None = None,
        transcribe: bool = False,
        longest: float = LONGEST,
        threads: int = 1,
        options: SearchOptions | None = None,
        **search: Any,
    ) -> Recognizer:
        """Read what `atat export` wrote.

        search: options of `atat decode` by their names (beam, bridge, well_formed, any_pair,
        values ...); `options` gives those of a search at once; by default they are those that the
        model was calibrated with. With others there is no confidence.
        """
        folder = Path(folder)
        if options is not None:
            search = asdict(options) | search
            kept = search.pop("nbest")
            nbest = kept if nbest is None else nbest
        calibration = Calibration.read(folder)
        if calibration is not None:
            search, calibration = calibration.for_search(search, USUAL)
        given = {name: search.pop(name) for name in _SEARCH & search.keys()}
        unknown = search.keys() - {"well_formed", "any_pair", "values", "precision"}
        if unknown:
            raise InputError(
                f"{min(unknown)} is no option of an exported model; those of the search are "
                f"{', '.join(sorted(_SEARCH))}, well_formed, any_pair, values"
            )
        search.pop("precision", None)  # an export has its own
        beam = int(given.pop("beam", SearchOptions.beam))
        if Description.read(folder).classes:
            from atat.runtime.commands import CommandRecognizer

            cls = CommandRecognizer
        return cls(
            folder,
            # The search keeps them all: how many are shown must not change what is found.
            options=SearchOptions(**{**given, "beam": beam, "nbest": beam}),
            calibration=calibration,
            threshold=threshold,
            nbest=nbest,
            transcribe=transcribe,
            longest=longest,
            threads=threads,
            **search,
        )

    def __call__(
        self,
        recording: Given | None = None,
        *,
        text: str | None = None,
        task: str | None = None,
        rate: float | None = None,
        channel: int | None = None,
    ) -> Understanding:
        """Understand one recording or one sentence.

        recording: a path, the bytes of a file, or samples (T,) or (T, channels), as floats in
        [-1, 1] or as integers; rate: of samples, in Hz. channel: which of several, from 0. task: by
        default what reads a recording (or text) and writes trees. Raises InputError for a task
        that the model cannot do and for what cannot be read.
        """
        if (recording is None) == (text is None):
            raise InputError("give either a recording or text=..., and not both")
        task = task or self._default("audio" if text is None else "text")
        self.check_task(task)
        found = self._known[task]
        if (found.source == "text") != (text is not None):
            raise InputError(
                f"task {task} reads {found.source}; give it that, or leave the task out"
            )
        if text is not None:
            words = normalize(text)
            if not words:
                return nothing(task, NO_WORDS, "the text has no words")
            return self._understood(task, self._read(words), _said(words))
        assert recording is not None
        samples = samples_of(recording, rate=rate, channel=channel, longest=self.longest)
        duration = len(samples) / audio_files.SAMPLE_RATE
        frames = self.frames(samples)
        if not len(frames):
            raise InputError(f"{title_of(recording)}: {self._too_short}")
        if is_silent(samples, audio_files.SAMPLE_RATE):
            return nothing(task, SILENCE, duration=duration)
        memories = self._hear(frames)
        nbest, heard, said = self._answer(memories, task), None, None
        if found.target == "text":
            said = _said(nbest[0].text)
        elif self._transcriber is not None:
            heard = self._answer(memories, self._transcriber.name)
            said = _said(heard[0].text)
        return self._understood(task, nbest, said, heard, duration)

    def _understood(
        self,
        task: str,
        nbest: Sequence[Hypothesis],
        said: Sequence[SaidWord] | None,
        heard: Sequence[Hypothesis] | None = None,
        duration: float | None = None,
    ) -> Understanding:
        confidence, threshold = None, None
        found = evidence(nbest, heard, said)
        if self.calibration is not None:
            confidence, threshold = self.calibration.judged(task, found, self.threshold)
        return understand(
            task,
            nbest[: self.nbest],
            is_tree=self._known[task].target == "semantics",
            said=said,
            confidence=confidence,
            threshold=threshold,
            duration=duration,
        )

    def frames(self, samples: np.ndarray) -> np.ndarray:
        """Samples (T',) at 16 kHz -> frames (T, F) of filterbanks or of the speech encoder."""
        return self._frontend(samples)

    def recognize(self, frames: np.ndarray, task: str) -> list[Hypothesis]:
        """Frames (T, F) of a recording -> the hypotheses of a task, best first."""
        self.check_task(task)
        return self._answer(self._hear(frames), task)

    def check_task(self, task: str) -> None:
        """Raise InputError unless the model has the encoder that the task needs."""
        found = find_task(task)
        source = found.source
        if found.masked:
            raise InputError(
                f"task {task} fills in what training has masked, and answers nothing; the model's "
                f"tasks: {', '.join(self.tasks)}"
            )
        if not (self.about.values if source == "audio" else self.about.units):
            raise InputError(
                f"task {task} needs a model that reads {source}; this one was trained on "
                f"{', '.join(self.about.tasks)}"
            )

    def _default(self, source: str) -> str:
        """The task of recordings ("audio") or sentences ("text")."""
        for target in ("semantics", "text"):
            if (found := find(self.tasks.values(), source, target)) is not None:
                return found.name
        raise InputError(
            f"the model reads no {'text' if source == 'text' else 'recordings'}; its tasks: "
            f"{', '.join(self.tasks)}"
        )

    @property
    def _too_short(self) -> str:
        shortest = 1000 * self._frontend.shortest / audio_files.SAMPLE_RATE
        return f"shorter than one frame ({shortest:.0f} ms); record it again, or leave it out"

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

    @property
    def _transcriber(self) -> Task | None:
        return find(self.tasks.values(), "audio", "text") if self.transcribe else None

    @cached_property
    def _frontend(self) -> Frontend:
        if (self._folder / frontend.DESCRIPTION).is_file():
            return frontend.read(self._folder, self._threads)
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
        if values is not None and not isinstance(values, Mapping):
            raise InputError("values: give them by the slot's label: {'SL:SONG': ['silver river']}")
        if not well_formed:
            return None
        self.options.check_trees()
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


def _said(text: str) -> list[SaidWord]:
    """Words whose times nobody knows."""
    return [SaidWord(word) for word in text.split()]
