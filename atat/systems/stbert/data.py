"""A data dir read for one task: pairs of speech and text for pretraining, or speech with its class.

Both read phoneme posteriors of recordings (posteriors.py). In pretraining the target of a frame is
the phone that `phones.ctm` has at its first sample, else the most probable one.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from atat.base.errors import InputError
from atat.datadir import ark
from atat.datadir.ctm import PHONES, Word, read_ctm, read_phones
from atat.datadir.frame_labels import fault, frame_labels
from atat.datadir.kaldi_dir import Utterance
from atat.engine.plain_recordings import FRAME, Recordings, num_samples
from atat.engine.settings import SourceSettings
from atat.nn.acoustic import PHONE_SAMPLES
from atat.speech.audio import SAMPLE_RATE
from atat.systems.stbert import batch, masking, pieces
from atat.systems.stbert.batch import Batch, Example
from atat.systems.stbert.classes import Classes, name_of
from atat.systems.stbert.curriculum import MLM, Curriculum
from atat.systems.stbert.masking import Masks
from atat.systems.stbert.pieces import Part
from atat.systems.stbert.posteriors import Posteriors
from atat.text.phones import IDS

Encode = Callable[[str], list[int]]  # a text -> its word pieces
UNITS = PHONE_SAMPLES // FRAME  # of the budget (10 ms) in a frame of 40 ms
NO_PIECES = np.zeros(0, dtype=np.int64)


class Speech(Recordings):
    """The usable recordings of a data dir; `heard` must have been called before one is read.

    Raises InputError as `Recordings` does.
    """

    def __init__(self, source: SourceSettings, longest: int, max_lost: float) -> None:
        """longest: what a sequence may have: frames, word pieces and marks."""
        self.longest = longest
        self.places: dict[str, str] = {}
        super().__init__(source, max_lost)

    def heard(self, posteriors: Posteriors) -> None:
        """Make or find the posteriors of all utterances."""
        self.places = posteriors.of(self.data, self.utterances)

    def posteriors(self, utterance: Utterance) -> np.ndarray:
        """The posteriors (N, 42) of an utterance."""
        found: np.ndarray = ark.read(self.places[utterance.id])
        return found

    def too_long(self, frames: int, more: int, fix: str) -> str:
        """Why a sequence cannot be read; more: word pieces. Empty: it can."""
        marks = pieces.marks(more)
        whole = frames + more + marks
        if whole <= self.longest:
            return ""
        with_text = f", {more} word pieces" if more else ""
        return (
            f"a sequence of {whole} ({frames} frames of 40 ms{with_text} and {marks} "
            f"marks), but max_length is {self.longest}: {fix}"
        )


class Commands(Speech):
    """Whole recordings with the classes of their trees; `classes` must be set."""

    classes = Classes()

    def example(self, number: int, rng: np.random.Generator | None = None) -> Example:
        """Recording `number`; nothing of it is random."""
        utterance = self.utterances[number]
        posteriors = self.posteriors(utterance)
        return Example(
            utterance.id,
            posteriors,
            np.full(len(posteriors), masking.IGNORED),
            NO_PIECES,
            Masks(np.zeros(len(posteriors), dtype=bool), NO_PIECES.astype(bool)),
            self.classes.of(utterance.semantics or ""),
        )

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Examples as one padded batch."""
        return batch.of_commands(examples, self.loss_weight)

    def trees(self) -> list[str]:
        """The trees of all recordings."""
        return [utterance.semantics or "" for utterance in self.utterances]

    def read_labels(self) -> None:
        """InputError if no utterance has a tree."""
        self.need("semantics", any(utterance.semantics for utterance in self.utterances))

    def lacking(self, utterance: Utterance) -> str:
        """Why an utterance cannot be an example; empty: it can."""
        if not utterance.semantics:
            return "no semantics"
        try:
            name_of(utterance.semantics, "intents")
        except InputError as error:
            return str(error)
        return self.too_long(num_frames(utterance), 0, "raise it, or leave the recording out")


class Pairs(Speech):
    """Speech and text, in parts that are short enough, with the masks of an objective."""

    def __init__(
        self,
        source: SourceSettings,
        longest: int,
        max_lost: float,
        *,
        encode: Encode | None,
        mask: int,
        share: float,
        objectives: Sequence[str],
    ) -> None:
        """encode: None: speech alone. mask: the number of [MASK]; share: of what is masked;
        objectives: all of the run."""
        self.encode, self.mask, self.share = encode, mask, share
        self.objectives, self.objective = objectives, MLM
        self.curriculum: Curriculum | None = None  # of a source to train on
        self.words: dict[str, list[Word]] = {}
        self.phones: dict[str, list[Word]] = {}
        self._parts: dict[str, list[tuple[Part, np.ndarray]]] = {}
        super().__init__(source, longest, max_lost)
        self.parts = [(one, *part) for one in self.utterances for part in self._parts[one.id]]
        self.lengths = np.array([UNITS * (part.last - part.first) for _, part, _ in self.parts])
        self.target_lengths = np.zeros(len(self.parts), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.parts)

    def key(self, number: int) -> str:
        """Task, utterance and where the part begins."""
        utterance, part, _ = self.parts[number]
        return f"{self.task} {utterance.id} {part.first}"

    @property
    def states(self) -> float:
        """Mean number of positions of a sequence."""
        texts = sum(len(ids) for _, _, ids in self.parts) / len(self.parts)
        return float(self.lengths.mean()) / UNITS + texts + pieces.marks(round(texts))

    def at(self, step: int) -> Pairs:
        """With the objective of a step of training."""
        return self if self.curriculum is None else self.of(self.curriculum.objective(step))

    def of(self, objective: str) -> Pairs:
        """The same parts with another objective."""
        found = copy.copy(self)
        found.objective = objective
        return found

    def example(self, number: int, rng: np.random.Generator | None = None) -> Example:
        """Part `number` with random masks; without `rng` they are always the same."""
        utterance, part, ids = self.parts[number]
        rng = rng or np.random.default_rng(zlib.crc32(self.key(number).encode()))
        posteriors = self.posteriors(utterance)
        labels, aligned = self._labels(utterance.id, posteriors)
        chosen = slice(part.first, part.last)
        phonemes = masking.spans(labels[chosen], aligned[chosen])
        masks = masking.drawn(phonemes, len(ids), self.share, rng)
        return Example(utterance.id, posteriors[chosen], labels[chosen], ids, masks)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Examples as one padded batch, masked as the objective says."""
        masks = [masking.of_objective(self.objective, example.masks) for example in examples]
        return batch.of_pretraining(examples, masks, self.mask, self.loss_weight)

    def _labels(self, name: str, posteriors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The target of each frame (N,), and the number of its phone in phones.ctm, -1: none."""
        phones = self.phones.get(name, [])
        numbered = [Word(str(at), one.start, one.duration) for at, one in enumerate(phones)]
        aligned = frame_labels(
            numbered,
            {str(at): at for at in range(len(phones))},
            first=0,
            samples=len(posteriors) * PHONE_SAMPLES,
            shift=PHONE_SAMPLES,
            outside=-1,
            unknown=-1,
        )
        said = np.array([IDS[one.text] for one in phones] + [-1])  # the last: at -1
        return np.where(aligned < 0, posteriors.argmax(1), said[aligned]), aligned

    def read_labels(self) -> None:
        """Times where there are some; InputError if there is no text to learn from."""
        texts = self.encode is None or any(utterance.text for utterance in self.utterances)
        self.need(
            "text",
            texts,
            ", which learns from pairs of speech and text; transcribe the recordings (atat "
            "transcribe, atat heard), or learn from speech alone: text: false, objectives: [mlm]",
        )
        folder = Path(self.data)
        if (folder / "ctm").is_file():
            self.words = read_ctm(folder / "ctm")
        if (folder / PHONES).is_file():
            self.phones = read_phones(folder / PHONES)

    def lacking(self, utterance: Utterance) -> str:
        """Why an utterance gives no example; empty: it does, and `_parts` says which."""
        text = "" if self.encode is None else utterance.text or ""
        if self.encode is not None and not text.split():
            return "no text"
        for timed, noun in ((self.words, "word"), (self.phones, "phone")):
            if why := fault(timed.get(utterance.id, []), utterance.duration, noun):
                return why
        found = self._cut(utterance, num_frames(utterance), self._ids(text))
        if isinstance(found, str):
            return found
        self._parts[utterance.id] = found
        return ""

    def _cut(
        self, utterance: Utterance, frames: int, ids: np.ndarray
    ) -> list[tuple[Part, np.ndarray]] | str:
        """The parts with their pieces, or why there are none."""
        fix = "it is cut where words have times; make them (ctm) with: atat align"
        why = self.too_long(frames, len(ids), fix)
        if not why:
            return [(pieces.whole(frames, 0), ids)]
        words = self.words.get(utterance.id, [])
        if not words:
            return why if self.encode else [(p, ids) for p in pieces.even(frames, self.longest)]
        per_second = SAMPLE_RATE / PHONE_SAMPLES
        of_words = [self._ids(word.text) for word in words]
        sizes = [len(one) for one in of_words]
        parts = pieces.at_words(words, sizes, frames, per_second, self.longest)
        found = [(p, np.concatenate(of_words[p.word_from : p.word_to])) for p in parts]
        return found or f"no word of it fits into max_length ({self.longest}); raise it"

    def _ids(self, text: str) -> np.ndarray:
        if self.encode is None:
            return NO_PIECES
        return np.array(self.encode(text), dtype=np.int64)


def num_frames(utterance: Utterance) -> int:
    """Frames of 40 ms of a recording, as the phoneme module makes them."""
    return -(-num_samples(utterance) // PHONE_SAMPLES)
