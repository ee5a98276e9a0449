"""The command `atat frames`: how many frames of a data dir an acoustic model gets right.

    atat frames exp/acoustic/model --data data/test --out exp/acoustic/frames_test

Writes what `atat decode` and `atat score` write, so that `atat results` makes tables of it, with
intervals. Knows nothing of how frames are counted (`frame_accuracy`), and imports torch only when
it is needed.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from atat.base import cli, machine
from atat.base.errors import InputError
from atat.base.provenance import provenance
from atat.datadir import fingerprint
from atat.engine import named_model
from atat.engine.settings import SourceSettings
from atat.scoring import decoded_dir, score
from atat.scoring.score import Scored
from atat.scoring.score_command import print_summary
from atat.systems.lugosch.settings import ACOUSTIC


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = cli.Parser(
        prog="atat frames",
        description=cli.guide(
            "Measure how many frames of a data dir an acoustic model (system lugosch, task "
            "acoustic) gets right: a phone every 40 ms, a word every 160 ms.",
            "atat frames exp/acoustic/seed1/model --data data/test "
            "--out exp/acoustic/seed1/frames_test",
            reads="MODEL, a packed model; DATA/wav.scp and the recordings, DATA/ctm and "
            "DATA/phones.ctm (atat align --phones), text and utt2spk.",
            writes="OUT/score.json, the figures with 95 % intervals; OUT/per_utt.jsonl, the "
            "frames of each utterance; OUT/hyp, the words heard, and OUT/decode.json.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    add = parser.add_argument
    named_model.add_argument(parser)
    add("--data", required=True, type=Path, help="data dir with ctm and phones.ctm")
    add("--out", required=True, type=Path, help="folder of the figures")
    add("--max_lost", type=float, default=0.01, help="share of utterances without alignment")
    cli.add_device(parser, auto=True)
    options = parser.parse_args(argv)
    options.model = named_model.find(options.model)
    measure(options)


def measure(options: argparse.Namespace) -> None:
    """Write the figures of a model on a data dir, and print them."""
    import torch

    from atat.engine import model_folder
    from atat.systems.lugosch import frame_accuracy
    from atat.systems.lugosch.data import AlignedRecordings
    from atat.systems.lugosch.packed import LugoschPacked

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
    data = AlignedRecordings(SourceSettings(str(options.data), ACOUSTIC), options.max_lost)
    begun = time.monotonic()
    scored, heard = [], {}
    for utterance, found, words in frame_accuracy.measure(packed, data):
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
