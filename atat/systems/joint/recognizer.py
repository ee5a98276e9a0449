"""A packed model of AT-AT ready to decode: sources of one task in, hypotheses out.

What a program uses is `atat.apps.recognizer`, which makes answers of the hypotheses of any system.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from atat.base import precision as precisions
from atat.base.errors import InputError
from atat.datadir import contents
from atat.datadir.kaldi_dir import Utterance
from atat.engine.contract import Encoded
from atat.nn.beam_search import SearchOptions
from atat.nn.cpu_weights import for_inference
from atat.nn.ctc_prefix import Spelling
from atat.speech import audio as audio_files
from atat.speech.frontend import alike, features_option
from atat.systems.joint import generate
from atat.systems.joint.packed import Packed, read
from atat.text import trees
from atat.text.constraint import TreeConstraint, WordConstraint
from atat.text.ctc_labels import units_of_tokens
from atat.text.slot_values import SlotValues
from atat.text.tasks import TASKS
from atat.text.tasks import task as find_task
from atat.text.trees import Tree


@dataclass(frozen=True)
class Output:
    """One hypothesis in words."""

    text: str  # a transcript, or a tree as text, which may be malformed
    score: float  # log probability / length ** length_exponent: per token, unless set otherwise
    length: int  # tokens
    at_limit: bool = False  # ended by the length limit: it may be cut

    @property
    def tree(self) -> Tree | None:
        """The tree, or None if the text is not a tree."""
        return trees.parse_or_none(self.text)


@dataclass(frozen=True)
class Recognition:
    """The hypotheses, best first; at least one, whose text may be empty."""

    nbest: tuple[Output, ...]

    @property
    def text(self) -> str:
        return self.nbest[0].text

    @property
    def tree(self) -> Tree | None:
        return self.nbest[0].tree

    @property
    def score(self) -> float:
        return self.nbest[0].score


class Recognizer:
    """A packed model and how to search with it."""

    def __init__(
        self,
        packed: Packed,
        *,
        options: SearchOptions | None = None,
        well_formed: bool = False,
        any_pair: bool = False,
        values: Mapping[str, Iterable[str]] | None = None,
        precision: str = "auto",
    ) -> None:
        """options: how to search; by default the beam of decoding, with every hypothesis kept.

        well_formed: outputs are always trees; any_pair: also parent-child pairs not seen in
        training; values: what a slot may hold, by label, such as {"SL:SONG": ["silver river"]},
        words as `atat.text.normalize` writes them (atat/text/slot_values.py).

        precision: fp32, bf16, or auto: bf16 if the hardware has it and the weights are not 8-bit
        (atat/base/precision.py). `packed` is not changed.
        """
        self.packed = packed
        self.device = next(packed.model.parameters()).device
        self.resolved = _precision(precision, packed, self.device)
        self.precision: str = self.resolved.name
        precisions.announce(self.resolved)
        self._model = for_inference(packed.model, self.precision)
        self.options = options or SearchOptions(nbest=SearchOptions.beam)
        if well_formed:
            self.options.check_trees()
        pairs = None if any_pair else packed.pairs
        if well_formed and pairs is not None and not pairs:
            raise InputError(
                "well-formed decoding has no pairs of tags: the model was not trained on trees; "
                "allow any pair, or decode without"
            )
        if values and not well_formed:
            raise InputError("values are for well-formed decoding: set well_formed, too")
        known = SlotValues(packed.tokenizer, values) if values else None
        self.constraint = TreeConstraint(packed.tokenizer, pairs, known) if well_formed else None
        self.words_only = WordConstraint(packed.tokenizer)
        if not 0 <= self.options.bridge <= 1:
            raise InputError(f"bridge is {self.options.bridge:g}; expected 0 to 1")
        if self.options.bridge and packed.model.bridge is None:
            raise InputError(
                "bridge needs a model that was trained with one (`model.bridge.share` above 0)"
            )
        self._spelling = _spelling(packed, self.options.ctc_weight)

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "cpu", **options: Any) -> Recognizer:
        """Read a packed model; further options are those of the constructor."""
        return cls(read(folder, device), **options)

    def features(self, samples: np.ndarray) -> np.ndarray:
        """Samples (T,) at 16 kHz -> frames (T', F) of filterbanks or of a pretrained encoder; the
        samples themselves where the encoder is a part of the model."""
        return self.packed.frontend(samples)

    @property
    def mel_bins(self) -> int:
        """F, the number of values of a frame: mel bins, unless an encoder makes the frames."""
        return self.packed.model.cmvn.mean.numel()

    def source(self, given: np.ndarray | str) -> np.ndarray:
        """Samples (T,) at 16 kHz -> `features`; a normalised text -> `text_source`."""
        if isinstance(given, str):
            return self.text_source(given)
        features = self.features(given)
        if not len(features):
            raise InputError(
                f"the recording is shorter than one frame ({self._shortest}); record it again, or "
                "leave it out"
            )
        return features

    def text_source(self, text: str) -> np.ndarray:
        """Normalised text -> source ids (S,)."""
        if self.packed.source_text is None:
            raise InputError("the model has no text encoder: it was not trained on a text task")
        return np.array(self.packed.source_text(text), dtype=np.int64)

    def encode(self, sources: Sequence[np.ndarray], task: str) -> Encoded:
        """Sources (T, F), or samples (T,), or (S,) of one task -> what its search reads."""
        self.check_task(task)
        if any(len(source) == 0 for source in sources):
            raise InputError(
                f"a recording is shorter than one frame ({self._shortest}); leave it out"
            )
        tensors = [torch.from_numpy(source) for source in sources]
        padded = torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True).to(self.device)
        lengths = torch.tensor([len(source) for source in sources], device=self.device)
        with self._autocast():
            made = generate.encode(self._model, TASKS[task].source == "audio", padded, lengths)
        return Encoded(*made, self.precision)

    def recognize(self, sources: Sequence[np.ndarray] | Encoded, task: str) -> list[Recognition]:
        """Sources (T, F), or samples (T,), or (S,) of one task -> the result for each.

        Or what `encode` made of them, for a task that reads the same kind of source.
        """
        self.check_task(task)
        found = sources if isinstance(sources, Encoded) else self.encode(sources, task)
        return self._search(found, task)

    def _search(self, sources: Encoded, task: str) -> list[Recognition]:
        is_tree = TASKS[task].target == "semantics"
        with self._autocast():
            found = generate.search(
                self._model,
                self.packed.tokenizer,
                TASKS[task].source == "audio",
                sources.memory,
                sources.lengths,
                [task] * len(sources.lengths),
                self.options,
                self.constraint if is_tree else self.words_only,
                self._spelling,
            )
        decode = self.packed.tokenizer.decode
        return [
            Recognition(
                tuple(
                    Output(
                        decode(h.tokens, TASKS[task].target),
                        h.score,
                        len(h.tokens) + 1,
                        h.at_limit,
                    )
                    for h in hypotheses
                )
            )
            for hypotheses in found
        ]

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    # For decoding of data dirs (atat.engine.contract.Recognizer).

    def measure(self, utterance: Utterance, task: str) -> tuple[int, np.ndarray | None]:
        """Frames of the source, or tokens and the tokens; 1 frame if `read` is to say why not."""
        if TASKS[task].source == "text":
            tokens = self.read(utterance, task)
            return len(tokens), tokens
        return self._frames(utterance, task), None

    def _frames(self, utterance: Utterance, task: str) -> int:
        frontend = self.packed.frontend
        stored = utterance.feats is not None and not frontend.within
        if stored and utterance.num_frames is not None:
            return utterance.num_frames
        if utterance.duration is not None:
            return frontend.num_frames(round(utterance.duration * audio_files.SAMPLE_RATE))
        try:
            if not stored and utterance.wav is not None:
                return frontend.num_frames(audio_files.probe(utterance.wav).num_samples)
            return len(self.read(utterance, task))
        except InputError:
            return 1

    def read(self, utterance: Utterance, task: str) -> np.ndarray:
        """(T, F) or (S,); raises InputError, naming the utterance, for bad features or audio."""
        if TASKS[task].source == "text":
            return self.text_source(utterance.text or "")
        if utterance.feats is not None and not self.packed.frontend.within:
            features = contents.read_features(utterance)
        else:
            samples = contents.read_recording(utterance)
            try:
                features = self.features(samples)
            except InputError as error:
                raise InputError(f"utterance {utterance.id}: {error}") from None
        if len(features) == 0:
            raise InputError(
                f"utterance {utterance.id} is shorter than one frame ({self._shortest}); leave it "
                "out (atat datadir repair)"
            )
        return features

    def check(self, utterance: Utterance, task: str, source: np.ndarray) -> None:
        """Raise InputError for features of a kind that the model cannot read; then all are."""
        frames = TASKS[task].source == "audio" and not self.packed.frontend.within
        if frames and utterance.feats is not None:
            if not alike(utterance.feats_type, self.packed.frontend.kind):
                raise InputError(
                    f"utterance {utterance.id} has features of kind {utterance.feats_type}, the "
                    f"model reads {self.packed.frontend.kind}; make them with: atat features "
                    f"{features_option(self.packed.frontend)}"
                )
        if frames and source.shape[1:] != (self.mel_bins,):
            raise InputError(
                f"utterance {utterance.id} has features of {source.shape[-1]} mel bins, the model "
                f"expects {self.mel_bins}; make them with: atat features "
                f"{features_option(self.packed.frontend)}"
            )

    @property
    def _shortest(self) -> str:
        return f"{1000 * self.packed.frontend.shortest / audio_files.SAMPLE_RATE:.0f} ms"

    def hypotheses(
        self, sources: Sequence[np.ndarray] | Encoded, task: str
    ) -> list[list[dict[str, Any]]]:
        """text, score and length of each hypothesis; `at_limit` for those that may be cut."""
        return [
            [
                {"text": o.text, "score": o.score, "length": o.length}
                | ({"at_limit": True} if o.at_limit else {})
                for o in found.nbest
            ]
            for found in self.recognize(sources, task)
        ]

    def check_task(self, task: str) -> None:
        """Raise InputError unless the model has the encoder that the task needs."""
        if not self.packed.model.accepts(find_task(task).name):
            raise InputError(
                f"task {task} needs a {TASKS[task].source} encoder; this model was trained on "
                f"{', '.join(self.packed.tasks)} and has none"
            )


def _spelling(packed: Packed, ctc_weight: float) -> Spelling | None:
    """Tokens in the units of the CTC head; None if it has no say, InputError if there is none."""
    if ctc_weight == 0:
        return None
    if not 0 < ctc_weight < 1:
        raise InputError(f"ctc_weight is {ctc_weight:g}; expected 0 or more, and less than 1")
    if packed.units is None:
        raise InputError(
            "ctc_weight needs a model with a CTC head; this one was trained without "
            "(`model.ctc.weight` of its conf is 0)"
        )
    return Spelling(units_of_tokens(packed.units, packed.tokenizer), packed.tokenizer.eos_id)


def _precision(wanted: str, packed: Packed, device: torch.device) -> precisions.Resolved:
    if wanted == "auto" and packed.weights == "int8":
        return precisions.Resolved("fp32", "almost all of its products are 8-bit")
    return precisions.resolve(wanted, device)
