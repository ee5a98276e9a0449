"""How many frames of a data dir an acoustic model gets right.

A phone is asked for every 40 ms, a word every 160 ms, as aligned (phones.ctm, ctm) at the first
sample of the frame; a frame at which nothing is aligned is not counted (Lugosch et al. 2019).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from atat.datadir.kaldi_dir import Utterance
from atat.engine.loader import in_order
from atat.engine.plain_evaluate import UNLIMITED
from atat.scoring.metrics import Counts
from atat.systems.lugosch.batch import Example
from atat.systems.lugosch.data import AlignedRecordings
from atat.systems.lugosch.packed import LugoschPacked
from atat.systems.lugosch.recognizer import Recognizer
from atat.systems.lugosch.system import FRAMES
from atat.text.labels import EMPTY_ID, UNKNOWN
from atat.text.phones import IDS, SILENCES

SILENT = [IDS[label] for label in SILENCES]


def counts(example: Example, phones: np.ndarray, words: np.ndarray, *, timed: bool) -> Counts:
    """Frames right and frames counted of a recording; phones (N,) and words (M,) are the best.

    timed: whether its words have times. A word that the model does not know is not counted in
    `word_acc` and wrong in `word_acc_all`.
    """
    labelled = example.phones != UNKNOWN
    said = (example.words != EMPTY_ID) & timed
    of_phones, of_words = phones == example.phones, words == example.words
    return {
        "phone_acc": _share(of_phones, labelled),
        "phone_acc_speech": _share(of_phones, labelled & ~np.isin(example.phones, SILENT)),
        "word_acc": _share(of_words, said & (example.words != UNKNOWN)),
        "word_acc_all": _share(of_words, said),
    }


def _share(right: np.ndarray, counted: np.ndarray) -> tuple[float, float]:
    return int((right & counted).sum()), int(counted.sum())


def measure(
    packed: LugoschPacked, data: AlignedRecordings
) -> Iterator[tuple[Utterance, Counts, str]]:
    """Each utterance with its counts and the words heard in it."""
    from tqdm import tqdm

    device = next(packed.model.parameters()).device
    recognizer = Recognizer(packed)
    data.labels = packed.labels
    with tqdm(total=len(data), desc=data.data, unit=" utterances") as bar:
        for numbers in in_order(data, FRAMES, UNLIMITED):
            examples = [data.example(number) for number in numbers]
            batch = data.collate(examples).to(device)
            with torch.inference_mode():
                phones, words, lengths = packed.model.heard(batch.samples, batch.lengths)
            best = phones.argmax(2).cpu().numpy(), words.argmax(2).cpu().numpy()
            for row, (number, example) in enumerate(zip(numbers, examples)):
                size = len(example.phones), len(example.words)
                utterance = data.utterances[number]
                timed = bool(data.words.get(utterance.id))
                found = counts(
                    example, best[0][row, : size[0]], best[1][row, : size[1]], timed=timed
                )
                yield utterance, found, recognizer.words_of(words[row, : lengths[row]]).text
            bar.update(len(numbers))
