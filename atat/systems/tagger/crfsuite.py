"""A linear-chain CRF for slots and a maximum-entropy classifier for the intent, by CRFsuite.

The classifier is a CRF over sequences of one item, which has no transitions. Both are trained with
L-BFGS from zero; nothing is random, so a seed changes nothing.

Files of a model: `slots.crfsuite`, `intent.crfsuite`. Knows nothing of data dirs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atat.base.errors import InputError
from atat.text.bio_tags import Tagged

SLOTS, INTENT = "slots.crfsuite", "intent.crfsuite"
# L1 removes rarely useful features, L2 keeps the others small; iterations are cheap.
PARAMETERS = {"c1": 0.05, "c2": 0.05, "max_iterations": 150, "feature.possible_transitions": True}
EDGE = "<edge>"  # padding before the first word and after the last


def word_features(words: Sequence[str], position: int) -> list[str]:
    """Features of a word for the CRF: itself, its affixes, two neighbours on each side, pairs."""
    padded = (EDGE, EDGE, *words, EDGE, EDGE)
    before2, before, word, after, after2 = padded[position : position + 5]
    return [
        "bias",
        f"w={word}",
        f"w-1={before}",
        f"w-2={before2}",
        f"w+1={after}",
        f"w+2={after2}",
        f"w-1,w={before} {word}",
        f"w,w+1={word} {after}",
        f"w-1,w+1={before} {after}",
        f"w-2,w-1={before2} {before}",
        f"begin={word[:3]}",
        f"end={word[-3:]}",
        f"last={word[-2:]}",
    ]


def sentence_features(words: Sequence[str]) -> list[str]:
    """Features of a sentence for the classifier: its words, its word pairs and its beginning."""
    padded = (EDGE, *words, EDGE)
    pairs = [f"{one} {two}" for one, two in zip(padded, padded[1:])]
    first = " ".join(words[:2])
    # Each once, in the order of the sentence: the order of a set differs between processes.
    found = [f"w={word}" for word in words] + [f"p={pair}" for pair in pairs]
    return ["bias", f"first={first}", *dict.fromkeys(found)]


def train(examples: Sequence[Tagged], folder: Path) -> dict[str, Any]:
    """Train on the examples and write the model's files; returns facts for train.json."""
    slots = [([word_features(e.words, i) for i in range(len(e.words))], e.tags) for e in examples]
    intents = [([sentence_features(e.words)], [e.intent]) for e in examples]
    folder.mkdir(parents=True, exist_ok=True)
    parameters = _fit(slots, folder / SLOTS, "crf slots")
    parameters += _fit(intents, folder / INTENT, "crf intent")
    return {"parameters": parameters, "chosen": "the last iteration"}


def _fit(data: Sequence[tuple[Any, Sequence[str]]], path: Path, title: str) -> int:
    """Train one model; returns the number of its non-zero features."""
    import pycrfsuite
    from tqdm import tqdm

    class Trainer(pycrfsuite.Trainer):
        def on_iteration(self, log: str, info: dict[str, Any]) -> None:
            bar.update()

    trainer = Trainer(verbose=False)
    trainer.set_params(PARAMETERS)
    for features, labels in data:
        trainer.append(features, labels)
    # Beside its name, so that a broken run leaves no model that looks whole.
    partial = path.with_suffix(".partial")
    with tqdm(total=PARAMETERS["max_iterations"], unit="iteration", desc=title) as bar:
        trainer.train(str(partial))
    partial.replace(path)
    return int(trainer.logparser.last_iteration["active_features"])


class Tagger:
    """A trained model."""

    def __init__(self, folder: Path) -> None:
        import pycrfsuite

        self._taggers = []
        for name in (SLOTS, INTENT):
            if not (folder / name).is_file():
                raise InputError(
                    f"{folder / name}: no such file; train with: atat pipeline train --kind crf"
                )
            tagger = pycrfsuite.Tagger()
            tagger.open(str(folder / name))
            self._taggers.append(tagger)

    def tag(self, sentences: Sequence[Sequence[str]]) -> list[tuple[Tagged, float]]:
        """Tags and intent of each sentence (of one word or more), with their log probability."""
        return [self._tag(words) for words in sentences]

    def _tag(self, words: Sequence[str]) -> tuple[Tagged, float]:
        slots, intent = self._taggers
        slots.set([word_features(words, position) for position in range(len(words))])
        tags = slots.tag()
        score = _log(slots.probability(tags))
        intent.set([sentence_features(words)])
        (name,) = intent.tag()
        return Tagged(tuple(words), tuple(tags), name), score + _log(intent.probability([name]))


def _log(probability: float) -> float:
    return math.log(max(probability, 1e-300))
