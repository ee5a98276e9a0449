"""The command `atat confusions`: which phones a model takes for which.

    atat confusions exp/pretrain/seed1/model --data data/human_train --out data/confusions.json

Its CTC head hears recordings with transcripts; what it finds likeliest, without blanks and repeats,
is what the bridge gives the text encoder (atat/nn/bridge.py). `atat.text.confusions` counts.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from atat.base import cli, machine, permissions
from atat.base.errors import InputError
from atat.base.provenance import provenance
from atat.datadir import fingerprint, kaldi_dir
from atat.engine import named_model
from atat.text import confusions
from atat.text.confusions import Confusions

if TYPE_CHECKING:
    from atat.datadir.kaldi_dir import Utterance
    from atat.systems.joint.recognizer import Recognizer
    from atat.text.ctc_labels import PhoneUnits

TOGETHER = 16  # recordings encoded at once
TASK = "asr"  # whose source and target it is


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = cli.Parser(
        prog="atat confusions",
        description=cli.guide(
            "Count which phones a joint model hears in the place of which, on recordings with "
            "transcripts. A model that learns a domain from text can then be trained on what it "
            "would hear of that text (`confusions: FILE` and `misheard: 0.2` in its conf).",
            "atat confusions exp/pretrain/seed1/model --data data/human_train "
            "--out data/confusions.json",
            reads="MODEL, a packed model whose CTC head has units of phones; data dirs with text "
            "and features of the model's kind, or recordings.",
            writes="OUT, the counts as JSON, and what they were counted on.",
        ),
        formatter_class=cli.HelpFormatter,
    )
    add = parser.add_argument
    named_model.add_argument(parser)
    add("--data", type=Path, nargs="+", required=True, help="data dirs with text")
    add("--out", type=Path, required=True, help="file of the counts")
    cli.add_device(parser)
    options = parser.parse_args(argv)
    options.model = named_model.find(options.model)
    machine.tune()
    print(f"{options.out}: {measure(options)}")


def measure(options: argparse.Namespace) -> str:
    """Write the counts; returns a sentence that says how much is misheard."""
    from atat.systems.joint.recognizer import Recognizer
    from atat.text.ctc_labels import PhoneUnits

    recognizer = Recognizer.load(options.model, device=options.device, precision="fp32")
    recognizer.check_task(TASK)
    units = recognizer.packed.units
    if not isinstance(units, PhoneUnits):
        raise InputError(
            f"{options.model}: the model has no CTC head with units of phones; train one with "
            "ctc: {units: phones} and ctc.weight above 0"
        )
    inputs = fingerprint.of_data(options.data) | fingerprint.of_model(options.model)
    refused = "the counts cannot be written there"
    with permissions.to_write(options.out.parent, refused):
        options.out.parent.mkdir(parents=True, exist_ok=True)
    permissions.check(options.out.parent, refused)
    counts: Counter[tuple[str, str]] = Counter()
    for folder in options.data:
        for utterance, heard in _listen(recognizer, units, folder):
            counts.update(confusions.count(units.pronounced(utterance.text or ""), heard))
    found = Confusions(counts)
    about = {"data": list(map(str, options.data)), "inputs": inputs, "provenance": provenance()}
    found.write(options.out, about)
    return f"{100 * found.rate:.1f} % of {found.said} phones misheard, lost or added"


def _listen(
    recognizer: Recognizer, units: PhoneUnits, folder: Path
) -> Iterator[tuple[Utterance, Sequence[str]]]:
    """Each utterance of a data dir, and the phones heard of it."""
    import torch
    from tqdm import tqdm

    from atat.nn import bridge

    head = recognizer.packed.model.ctc
    assert head is not None
    utterances = kaldi_dir.load(folder)
    lacking = next((one.id for one in utterances if not one.text), None)
    if not utterances or lacking is not None:
        what = f"no line for {lacking}" if utterances else "no utterances"
        raise InputError(f"{folder}/text: {what}; confusions are counted against transcripts")
    utterances.sort(key=lambda one: one.num_frames or one.duration or 0)
    with tqdm(total=len(utterances), unit="utt", desc=folder.name) as bar:
        for start in range(0, len(utterances), TOGETHER):
            some = utterances[start : start + TOGETHER]
            sources = [recognizer.read(one, TASK) for one in some]
            recognizer.check(some[0], TASK, sources[0])
            encoded = recognizer.encode(sources, TASK)
            with torch.inference_mode():
                heard, sizes = bridge.heard(head.log_probs(encoded.memory), encoded.lengths)
            for one, labels, size in zip(some, heard.argmax(-1).tolist(), sizes.tolist()):
                yield one, [units.pieces[label] for label in labels[:size]]
            bar.update(len(some))
