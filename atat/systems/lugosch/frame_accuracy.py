"""The command `atat frames`: how many frames of a data dir an acoustic model gets right.

    atat frames --model exp/acoustic/model --data data/test --out exp/acoustic/frames_test

A phone is asked for every 40 ms, a word every 160 ms, as aligned (phones.ctm, ctm) at the first
sample of the frame; a frame at which nothing is aligned is not counted (Lugosch et al. 2019).
Writes what `atat score` writes, so that `atat results` makes tables of it, with intervals.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from atat.base import cli, machine
from atat.base.errors import InputError
from atat.base.provenance import provenance
from atat.datadir import fingerprint
from atat.datadir.kaldi_dir import Utterance
from atat.engine import model_folder
from atat.engine.loader import in_order
from atat.engine.settings import SourceSettings
from atat.scoring import decoded_dir, score
from atat.scoring.metrics import Counts
from atat.scoring.score import Scored
from atat.scoring.score_command import print_summary
from atat.systems.lugosch.batch import Example
from atat.systems.lugosch.data import PHONE_IDS, Recordings
from atat.systems.lugosch.evaluate import FRAMES, UNLIMITED
from atat.systems.lugosch.labels import EMPTY_ID, UNKNOWN
from atat.systems.lugosch.packed import LugoschPacked
from atat.systems.lugosch.recognizer import Recognizer
from atat.systems.lugosch.settings import ACOUSTIC
from atat.text.phones import SILENCES

SILENT = [PHONE_IDS[label] for label in SILENCES]


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


def measure(packed: LugoschPacked, data: Recordings) -> Iterator[tuple[Utterance, Counts, str]]:
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


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="atat frames",
        description=cli.guide(
            "Measure how many frames of a data dir an acoustic model (system lugosch, task "
            "acoustic) gets right: a phone every 40 ms, a word every 160 ms.",
            "atat frames --model exp/acoustic/seed1/model --data data/test "
            "--out exp/acoustic/seed1/frames_test",
            reads="MODEL, a packed model; DATA/wav.scp and the recordings, DATA/ctm and "
            "DATA/phones.ctm (atat align --phones), text and utt2spk.",
            writes="OUT/score.json, the figures with 95 % intervals; OUT/per_utt.jsonl, the "
            "frames of each utterance; OUT/hyp, the words heard, and OUT/decode.json.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    add = parser.add_argument
    add("--model", required=True, type=Path, help="packed model, exp/<name>/model")
    add("--data", required=True, type=Path, help="data dir with ctm and phones.ctm")
    add("--out", required=True, type=Path, help="folder of the figures")
    add("--max_lost", type=float, default=0.01, help="share of utterances without alignment")
    add("--device", default="auto", help="cpu, cuda, or auto: cuda where there is one")
    options = parser.parse_args(argv)
    machine.tune()
    inputs = fingerprint.of_data([options.data]) | fingerprint.of_model(options.model)
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    packed = model_folder.load_as(LugoschPacked, options.model, device)
    if ACOUSTIC not in packed.tasks:
        raise InputError(
            f"{options.model}: a model of {', '.join(packed.tasks)}, which tells no phones and "
            f"words; give one that was trained on task {ACOUSTIC}"
        )
    data = Recordings(SourceSettings(str(options.data), ACOUSTIC), options.max_lost)
    begun = time.monotonic()
    scored, heard = [], {}
    for utterance, found, words in measure(packed, data):
        reference = utterance.text or ""
        scored.append(Scored(utterance.id, utterance.speaker, None, found, reference, words))
        heard[utterance.id] = [{"text": words, "score": None, "length": len(words.split())}]
    about = {
        "task": ACOUSTIC,
        "target": "text",
        "data": str(options.data),
        "model": str(options.model),
        "seconds": round(time.monotonic() - begun, 1),
        "utterances": len(scored),
        "lost": data.lost,
        "inputs": inputs,
        "provenance": provenance(),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    decoded_dir.write(options.out, heard, about)
    result = score.write(
        options.out, sorted(scored, key=lambda one: one.utt), ACOUSTIC, options.data
    )
    print_summary(f"{options.out} on {options.data}", result)
