"""Text in, tokens out: small text encoder and search, against CTranslate2 with the same weights."""

from __future__ import annotations

from typing import Any

import inputs
import torch
from clock import Rounds
from remote import once
from rows_models import ATAT, BF16, CTRANSLATE2, decoding, measured
from table import Table

from atat.nn.settings import TextEncoderSettings

INT8 = {"precision": "int8"}
READ = {
    "atat": ATAT,
    "atat, bf16": ATAT | BF16,
    "atat, int8": ATAT | INT8,
    "CTranslate2": CTRANSLATE2,
    "CTranslate2, int8": CTRANSLATE2 | INT8,
}


def text(rounds: Rounds, device: torch.device) -> Table:
    """Text encoder and search, fp32, bf16 and int8."""
    parameters = check(device)
    encoder = TextEncoderSettings()
    note = (
        f"The words of the utterances, {inputs.PIECES_PER_SECOND} pieces a second of audio, all in "
        f"one batch. Encoder of {encoder.layers} layers, feed-forward {encoder.feed_forward}; with "
        f"the decoder {parameters / 1e6:.1f} million parameters. int8 of atat: the linear layers."
    )
    if "CTranslate2" in measured(READ, device):
        note += (
            " CTranslate2 has the same weights and gives as many tokens; its int8 is also of the "
            "embeddings and the generator, and it has no bf16 on a CPU."
        )
    return decoding(
        "Reading text: small text encoder and beam-4 search", note, "text", READ, rounds, device
    )


def check(device: torch.device) -> int:
    """How many parameters each has: all as many, and all give as many tokens as they are asked for.

    Raises RuntimeError where that is not so: then their times say nothing of each other.
    """
    sizes: dict[str, int] = {}
    for name, system in measured(READ, device).items():
        for number, kind in enumerate(inputs.KINDS):
            found = once(work="text_outputs", device=str(device), kind=number, **system)
            check_outputs(name, kind, found["outputs"])
            sizes[name] = found["parameters"]
    if len(set(sizes.values())) > 1:
        raise RuntimeError(f"not the same work; numbers of parameters: {sizes}")
    return next(iter(sizes.values()))


def check_outputs(name: str, kind: inputs.Kind, outputs: list[Any]) -> None:
    """Raises RuntimeError unless there is an output for each utterance, of the kind's length."""
    lengths = [len(output) for output in outputs]
    if lengths != [kind.tokens] * kind.utterances:
        raise RuntimeError(
            f"not the same work; {name} gave {lengths} tokens for {kind.name}, expected "
            f"{kind.utterances} outputs of {kind.tokens}"
        )
