"""The spoken words of a data dir: their times (ctm), and their frames (feats.scp).

What cannot be used is said for each utterance, not raised: whoever reads decides how much may be
lost. Knows nothing of what is made of the frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from atat.base import digests
from atat.base.errors import InputError
from atat.datadir import contents, feats_type
from atat.datadir.ctm import read_ctm
from atat.datadir.kaldi_dir import Utterance
from atat.speech.frontend import Frontend, features_option
from atat.systems.speechbert import segments


class Frames(NamedTuple):
    """Frames (N, D) of all words of an utterance one after the other, and how many each has."""

    frames: np.ndarray
    sizes: np.ndarray  # (W,)


class Spoken:
    """Times and features of some utterances of a data dir.

    Attributes: `faults`, why an utterance cannot be used, by its id; of the others `words`, their
    words with times, and `segments`, the words' frames. Raises InputError if the data dir lacks
    ctm or features, or has features of another kind.
    """

    def __init__(self, data: str | Path, utterances: Sequence[Utterance], frontend: Frontend):
        self.frontend = frontend
        folder = Path(data)
        for name, make in (
            ("ctm", f"atat align --data {data}"),
            ("feats.scp", f"atat features {features_option(frontend)} --data {data} --arks FOLDER"),
        ):
            if not (folder / name).is_file():
                raise InputError(
                    f"{folder / name}: missing, but spoken words are read by their times (ctm) and "
                    f"features (feats.scp); make it with: {make}"
                )
        feats_type.check(data, frontend)
        self._found = contents.look(data, "feats")
        self.words = read_ctm(folder / "ctm")
        self.faults = contents.faults(data, utterances, "feats")
        self.segments: dict[str, np.ndarray] = {}
        for one in utterances:
            if one.id not in self.faults:
                why = self._cut(one)
                if why:
                    self.faults[one.id] = why

    def _cut(self, utterance: Utterance) -> str:
        """Find the frames of an utterance's words; returns why it cannot be used."""
        words = self.words.get(utterance.id)
        why = segments.fault(words, utterance.text or "")
        if why or utterance.feats is None:
            return why or "no features"
        frames = self._found[utterance.id].frames
        try:
            found = segments.segments(words or [], frames, self.frontend.frame_shift)
        except InputError as error:
            return str(error)
        self.segments[utterance.id] = found
        return "" if len(found) else "no words"

    def name(self, utterance: Utterance) -> str:
        """A name of what the frames of its words are, by their contents."""
        where = self.segments[utterance.id].tobytes()
        return f"{self._found[utterance.id].digest}_{digests.of_text(where.hex())[:12]}"

    def length(self, utterance: Utterance) -> int:
        """Frames of all its words."""
        return int(segments.sizes(self.segments[utterance.id]).sum())

    def seconds(self, utterance: Utterance) -> float:
        """Seconds of all its words."""
        return self.length(utterance) * self.frontend.frame_shift

    def read(self, utterance: Utterance) -> Frames:
        """The frames of its words; raises InputError, naming the utterance, for bad features."""
        features = contents.read_features(utterance)
        of_words = self.segments[utterance.id]
        if features.shape[1] != self.frontend.dim or len(features) < of_words.max():
            raise InputError(
                f"utterance {utterance.id}: its features are {features.shape[0]} frames of "
                f"{features.shape[1]} values; expected {of_words.max()} or more, of "
                f"{self.frontend.dim}; make them again: atat features "
                f"{features_option(self.frontend)}"
            )
        return Frames(segments.cut(features, of_words), segments.sizes(of_words))
