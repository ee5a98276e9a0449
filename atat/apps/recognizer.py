"""A trained model of any system as a function: a recording or a sentence in, what it means out.

recognizer = Recognizer.load("exp/joint/model")       # a folder, an archive, or a name of the hub
found = recognizer("lamp.wav")                        # or samples with rate=, or text="..."
found.intent, found.slots, found.confidence           # atat/text/understanding.py: all of it
for found in recognizer.batch(["a.wav", "b.wav"]): ...
recognizer("news.wav", question="who won").seconds    # of a model that answers questions
listener = recognizer.listen(rate=48000)              # chunks in, answers at the end of speech

Knows of a system what the contract says (`atat.engine.contract`): hypotheses of a task. Silence,
transcript, times, places of slots and confidence are made here, for all of them alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

from atat.apps.answers import Answered, asked
from atat.apps.listener import Listener
from atat.base import machine, suggest
from atat.base.calibration import Calibration
from atat.base.errors import InputError
from atat.engine import model_folder, named_model, registry
from atat.engine.batching import batch_slices
from atat.engine.contract import Answers
from atat.prepare.align_model import Heard, ModelAligner, has_ctc
from atat.speech import audio
from atat.speech.given import Given, check_longest, samples_of, title_of
from atat.speech.silence import is_silent, onset
from atat.text import understanding
from atat.text.evidence import evidence
from atat.text.normalize import normalize
from atat.text.search_options import USUAL, check_use
from atat.text.tasks import Task, find
from atat.text.understanding import Hypothesis, SaidWord, Understanding, understand

if TYPE_CHECKING:
    from atat.datadir.ctm import Word
    from atat.engine import contract
    from atat.nn.beam_search import SearchOptions

SHORTEST = 0.1  # s that are left of a word
LONGEST = 60.0  # s of a recording that is understood at once
BUDGET = {"audio": 160.0, "text": 2000.0}  # padded seconds, or characters, of a batch


@dataclass(frozen=True)
class Prepared:
    """Something to understand, as the model reads it; or what there is to say without the model."""

    source: np.ndarray | None
    answer: Understanding | None = None
    words: tuple[str, ...] = ()  # of a text
    duration: float | None = None  # s
    onset: float = 0.0  # s before the first sound


class Weighed(NamedTuple):
    """An answer, and what speaks for it (`atat.text.evidence`); None if the model was not asked."""

    answer: Understanding
    evidence: dict[str, float] | None = None


class Recognizer:
    """A packed model and how to use it."""

    def __init__(
        self,
        engine: contract.Recognizer,
        tasks: Mapping[str, Task],
        *,
        calibration: Calibration | None = None,
        threshold: float | None = None,
        nbest: int | None = None,
        transcribe: bool = True,
        longest: float = LONGEST,
        threads: int = 1,
    ) -> None:
        """engine: the system's recognizer; tasks: those of the system.

        threshold: confidence below which an answer is not understood; by default that of the
        calibration, 0 rejects nothing. nbest: hypotheses kept of each answer (all). transcribe:
        whether recordings are also transcribed, which gives slots their times and places and takes
        a second search. longest: seconds of a recording (0: any number). threads: of the CPU, for
        one call: the products of a search are small, and threads that wait for each other beside
        a busy process take many times as long as one.
        """
        check_use(threshold, nbest, threads)
        check_longest(longest)
        self.engine = engine
        self.threads = threads
        self.calibration = calibration
        self.threshold = threshold
        self.nbest = nbest
        self.longest = longest
        trained = engine.packed.tasks
        self._known = dict(tasks)
        # A mask is for training; a model that does not say what it was trained on may do anything.
        self.tasks = {
            name: task
            for name, task in tasks.items()
            if (not trained or name in trained) and not task.masked
        }
        self._transcriber = self._find("audio", "text") if transcribe else None
        self._aligner = _aligner(engine.packed)

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        device: str = "cpu",
        threshold: float | None = None,
        nbest: int | None = None,
        transcribe: bool = True,
        longest: float = LONGEST,
        threads: int = 1,
        calibrated: bool = True,
        options: SearchOptions | None = None,
        **search: Any,
    ) -> Recognizer:
        """Read a packed model: a folder, a .zip or .tar of one, or a name of the Hugging Face hub.

        search: options of `atat decode` by their names (beam, well_formed, any_pair, bridge,
        ctc_weight, precision ...); `options` gives those of a search at once; by default they are
        those that the model was calibrated with. values: what a slot may hold, by label
        ({"SL:SONG": ["silver river"]}), or a data dir; needs well_formed.
        A calibration is valid for the search it was made with: with another one there is no
        confidence. calibrated: whether it is used at all, its search included. Raises InputError
        for what is not a model, or a model of a newer version.
        """
        if options is not None:
            search = dataclasses.asdict(options) | search
            kept = search.pop("nbest")
            nbest = kept if nbest is None else nbest
        folder = named_model.find(model)
        packed = model_folder.load(folder, device)
        system = registry.find(packed.system, str(folder))
        calibration = Calibration.read(folder) if calibrated else None
        if calibration is not None:
            search, calibration = calibration.for_search(search, USUAL)
        beam = int(search.pop("beam", 4))
        engine = system.recognizer(packed, beam=beam, nbest=beam, **search)
        return cls(
            engine,
            system.tasks,
            calibration=calibration,
            threshold=threshold,
            nbest=nbest,
            transcribe=transcribe,
            longest=longest,
            threads=threads,
        )

    @property
    def packed(self) -> Any:
        """The model and all that belongs to it."""
        return self.engine.packed

    @property
    def answers_questions(self) -> bool:
        """Whether what it does with a recording is to answer a question about it."""
        return isinstance(self.engine, Answers)

    @overload
    def __call__(
        self,
        recording: Given | None = None,
        *,
        text: str | None = None,
        task: str | None = None,
        rate: float | None = None,
        channel: int | None = None,
        sample_rate: float | None = None,
    ) -> Understanding: ...

    @overload
    def __call__(
        self,
        recording: Given,
        *,
        question: str,
        words: Sequence[Word] | None = None,
        rate: float | None = None,
        channel: int | None = None,
        sample_rate: float | None = None,
    ) -> Answered: ...

    def __call__(
        self,
        recording: Given | None = None,
        *,
        text: str | None = None,
        task: str | None = None,
        question: str | None = None,
        words: Sequence[Word] | None = None,
        rate: float | None = None,
        channel: int | None = None,
        sample_rate: float | None = None,
    ) -> Understanding | Answered:
        """Understand one recording or one sentence, or answer a question about a recording.

        recording: a path, the bytes of a file, or samples (T,) or (T, channels), as floats in
        [-1, 1] or as integers; rate: of samples, in Hz (also called sample_rate; 16,000 for floats
        if not given). channel: which of several, from 0. task: by default what reads a recording
        (or text) and writes trees. Silence (atat/speech/silence.py) and a text without words are
        answered without the model. question: what to find in the recording, for a model that
        answers questions (atat/apps/answers.py says of what kind the answer is); words: what is
        said in it, with times, in the place of what the model's recogniser hears. Raises
        InputError for a task the model cannot do and for what cannot be read.
        """
        if question is not None:
            if recording is None or text is not None or task is not None:
                raise InputError("a question is about a recording: give that, and no text or task")
            hertz = rate if rate is not None else sample_rate
            samples = samples_of(recording, rate=hertz, channel=channel, longest=self.longest)
            with machine.threads(self.threads):
                return asked(self.engine, samples, question, words)
        if words is not None:
            raise InputError("words are for a question about a recording; give question=...")
        if (recording is None) == (text is None):
            raise InputError("give either a recording or text=..., and not both")
        found = self.task_for("audio" if text is None else "text", task)
        if text is not None:
            given = self.prepare_text(text, found)
        else:
            assert recording is not None
            hertz = rate if rate is not None else sample_rate
            given = self.prepare(recording, found, rate=hertz, channel=channel)
        return self.understand([given], found)[0]

    def batch(
        self,
        recordings: Sequence[Given] = (),
        *,
        texts: Sequence[str] = (),
        task: str | None = None,
        rate: float | None = None,
        channel: int | None = None,
    ) -> list[Understanding]:
        """Understand many recordings, or many sentences, as a call would one: faster than one by
        one. The answers are in the order of what was given."""
        if recordings and len(texts):
            raise InputError("give either recordings or texts=..., and not both")
        found = self.task_for("text" if len(texts) else "audio", task)
        if len(texts):
            return self.understand([self.prepare_text(text, found) for text in texts], found)
        prepared = []
        for number, one in enumerate(recordings):
            try:
                prepared.append(self.prepare(one, found, rate=rate, channel=channel))
            except InputError as error:
                if isinstance(one, (str, Path)):
                    raise
                raise InputError(f"recording {number} of the batch: {error}") from None
        return self.understand(prepared, found)

    def listen(
        self,
        *,
        rate: float = audio.SAMPLE_RATE,
        task: str | None = None,
        vad: str | Path | None = None,
        **endpoints: Any,
    ) -> Listener:
        """An object that takes chunks of samples and answers whenever speech has ended.

        vad: the ONNX file of silero-vad; without it speech is found by its energy. endpoints:
        seconds of `atat.speech.endpoint.Endpoints`, such as pause=0.6.
        """
        found = self.task_for("audio", task)

        def answer(samples: np.ndarray) -> Understanding:
            return self.understand([self._of_samples(samples, found.name)], found)[0]

        return Listener(answer, rate=rate, vad=vad, **endpoints)

    # The steps of a call, for programs that need them apart.

    def task_for(self, source: str, name: str | None = None) -> Task:
        """The task of a name, or the one for recordings ("audio") or sentences ("text")."""
        if name is None:
            found = self._find(source, "semantics") or self._find(source, "text")
            if found is None:
                # Say it as the system does, which knows what it lacks.
                for task in self._known.values():
                    if task.source == source and not task.masked:
                        self.engine.check_task(task.name)
                raise InputError(
                    f"the model reads no {'text' if source == 'text' else 'recordings'}; its "
                    f"tasks: {', '.join(self.tasks)}"
                )
        elif name in self._known:
            found = self._known[name]
        else:
            raise InputError(
                f"task {name}: unknown to the model; {suggest.among(name, self.tasks)}"
            )
        if found.masked:
            raise InputError(
                f"task {name} fills in what training has masked, and answers nothing; the model's "
                f"tasks: {', '.join(self.tasks)}"
            )
        if found.source != source:
            others = [one.name for one in self.tasks.values() if one.source == source]
            raise InputError(
                f"task {found.name} reads {found.source}, not {source}; give it that, or name a "
                f"task for {source}: {', '.join(others) or 'this model has none'}"
            )
        self.engine.check_task(found.name)
        return found

    def prepare(
        self,
        recording: Given,
        task: Task,
        *,
        rate: float | None = None,
        channel: int | None = None,
        name: str = "the recording",
    ) -> Prepared:
        """Read a recording; `name` is what messages call its bytes."""
        samples = samples_of(recording, rate=rate, channel=channel, longest=self.longest, name=name)
        try:
            return self._of_samples(samples, task.name)
        except InputError as error:
            title = title_of(recording, name)
            if str(error).startswith(title):
                raise
            raise InputError(f"{title}: {error}") from None

    def _of_samples(self, samples: np.ndarray, task: str) -> Prepared:
        """Samples (T,) at 16 kHz; silence is not for the model."""
        source = self.engine.source(samples)
        duration = len(samples) / audio.SAMPLE_RATE
        if is_silent(samples, audio.SAMPLE_RATE):
            answer = understanding.nothing(task, understanding.SILENCE, duration=duration)
            return Prepared(None, answer, duration=duration)
        return Prepared(source, duration=duration, onset=onset(samples, audio.SAMPLE_RATE))

    def prepare_text(self, text: str, task: Task) -> Prepared:
        """Normalise a sentence."""
        words = normalize(text)
        if not words:
            reason = "the text has no words"
            return Prepared(None, understanding.nothing(task.name, understanding.NO_WORDS, reason))
        return Prepared(self.engine.source(words), words=tuple(words.split()))

    def understand(self, given: Sequence[Prepared], task: Task) -> list[Understanding]:
        """Answers to what was prepared, in batches of similar length."""
        return [one.answer for one in self.weigh(given, task)]

    def weigh(self, given: Sequence[Prepared], task: Task) -> list[Weighed]:
        """Answers with the evidence that their confidence is made of."""
        answers = [Weighed(one.answer) if one.answer is not None else None for one in given]
        sizes = {
            number: one.duration if one.duration is not None else float(len(one.source))
            for number, one in enumerate(given)
            if one.source is not None
        }
        order = sorted(sizes, key=sizes.__getitem__)
        # In hundredths: the slices are cut by whole numbers.
        lengths = [round(100 * sizes[number]) + 1 for number in order]
        for part in batch_slices(lengths, round(100 * BUDGET[task.source])):
            rows = order[part]
            with machine.threads(self.threads):
                found = self._ask([given[row] for row in rows], task)
            for row, answer in zip(rows, found):
                answers[row] = answer
        return [answer for answer in answers if answer is not None]

    def _ask(self, given: Sequence[Prepared], task: Task) -> list[Weighed]:
        """One batch."""
        sources = [one.source for one in given if one.source is not None]
        shared = Heard(self.engine, sources, task.name)
        found = _hypotheses(shared.hypotheses(task.name))
        is_tree = task.target == "semantics"
        heard: list[list[Hypothesis]] | None = None
        said: list[list[SaidWord] | None]
        if task.source == "text":
            said = [[SaidWord(word) for word in one.words] for one in given]
        elif not is_tree:
            said = self._said(shared, [nbest[0].text for nbest in found], given)
        elif self._transcriber is not None:
            heard = _hypotheses(shared.hypotheses(self._transcriber.name))
            said = self._said(shared, [nbest[0].text for nbest in heard], given)
        else:
            said = [None] * len(sources)
        return [
            self._answer(task, nbest, words, heard[row] if heard else None, given[row].duration)
            for row, (nbest, words) in enumerate(zip(found, said))
        ]

    def _answer(
        self,
        task: Task,
        nbest: Sequence[Hypothesis],
        said: Sequence[SaidWord] | None,
        heard: Sequence[Hypothesis] | None,
        duration: float | None,
    ) -> Weighed:
        confidence, threshold = None, None
        found = evidence(nbest, heard, said)
        if self.calibration is not None:
            confidence, threshold = self.calibration.judged(task.name, found, self.threshold)
        answer = understand(
            task.name,
            nbest[: self.nbest],
            is_tree=task.target == "semantics",
            said=said,
            confidence=confidence,
            threshold=threshold,
            duration=duration,
        )
        return Weighed(answer, found)

    def _said(
        self, shared: Heard, texts: Sequence[str], given: Sequence[Prepared]
    ) -> list[list[SaidWord] | None]:
        """The words of transcripts, with times where the CTC head finds them."""
        found: Sequence[Sequence[Word] | str] = ["there is no CTC head"] * len(texts)
        if self._aligner is not None:
            found = shared.words(self._aligner, texts)
        return [
            [SaidWord(word) for word in text.split()]
            if isinstance(words, str)
            else _timed(words, one.onset)
            for text, words, one in zip(texts, found, given)
        ]

    def _find(self, source: str, target: str) -> Task | None:
        return find(self.tasks.values(), source, target)


def _timed(words: Sequence[Word], onset: float) -> list[SaidWord]:
    """The CTC head may take what is before the first sound for the beginning of the first word."""
    timed = [SaidWord(word.text, (word.start, word.end)) for word in words]
    if words and words[0].start < onset < words[0].end - SHORTEST:
        timed[0] = SaidWord(words[0].text, (onset, words[0].end))
    return timed


def _hypotheses(found: Sequence[Sequence[Mapping[str, Any]]]) -> list[list[Hypothesis]]:
    return [[Hypothesis(**one) for one in nbest] for nbest in found]


def _aligner(packed: Any) -> ModelAligner | None:
    """What finds words in recordings by the model's CTC head; None without one."""
    if not has_ctc(packed):
        return None
    device = str(next(packed.model.parameters()).device)
    return ModelAligner("the model", device, packed)
