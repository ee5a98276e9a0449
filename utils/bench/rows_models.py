"""Training step, search alone and whole decoding, against ESPnet2 and Hugging Face."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import inputs
import torch
from clock import interleave
from remote import Remote, once
from table import Table, seconds_text
from work import TRAIN_BATCH

ESPNET: dict[str, Any] = {"system": "espnet"}
HUGGING_FACE: dict[str, Any] = {"system": "huggingface"}
ATAT: dict[str, Any] = {"system": "atat"}
BF16 = {"precision": "bf16"}
WIDE = {"wide_front_end": True}

DECODED = {
    "ESPnet2": ESPNET,
    "ESPnet2, bf16": ESPNET | BF16,
    "Hugging Face Speech2Text": HUGGING_FACE,
    "Hugging Face, bf16": HUGGING_FACE | BF16,
    "atat": ATAT,
    "atat, bf16": ATAT | BF16,
}
TRAINED = DECODED | {
    "atat, front end as wide as ESPnet2's": ATAT | WIDE,
    "atat, the same, bf16": ATAT | WIDE | BF16,
}


def training(rounds: int, device: torch.device) -> Table:
    """Forward, backward, clipping and update of a batch of commands, fp32 and bf16."""
    given = {"device": str(device)}
    with ExitStack() as stack:
        remotes = {name: _remote(stack, [{"work": "training", **system, **given}])
                   for name, system in TRAINED.items()}
        timings = interleave(remotes, "ESPnet2", rounds=rounds)
    peaks = dict(zip(("fp32", "bf16"), once(work="peak", **given)))
    rows = []
    for name, timing in timings.items():
        flops = once(work="flops", **TRAINED[name], **given)
        peak = peaks[TRAINED[name].get("precision", "fp32")]
        rows.append([name, seconds_text(timing.seconds), f"{timing.speedup:.2f}",
                     f"{flops / 1e9:.0f}", f"{100 * flops / timing.seconds / peak:.0f} %"])
    kind = inputs.COMMANDS
    note = (
        f"{TRAIN_BATCH} {kind.name}, {kind.tokens} target tokens: forward, backward, clipping, "
        "update. Operations: those of matrix products, convolutions and attention, counted by "
        "torch. Share: of what a square matrix product reaches here, "
        f"{peaks['fp32'] / 1e9:.0f} GFLOP/s in fp32 and {peaks['bf16'] / 1e9:.0f} in bf16."
    )
    return Table("Training step", note, ["", "time", "speed", "GFLOP", "share of peak"], rows)


def search(rounds: int, device: torch.device) -> Table:
    """Beam search over given memories."""
    return _decoding("Beam-4 search alone", "Random memories, a quarter as long as the audio.",
                     "search", rounds, device)


def whole(rounds: int, device: torch.device) -> Table:
    """Encoder and search."""
    return _decoding("Whole decoding: encoder and beam-4 search",
                     "ESPnet2 takes one utterance at a time, Hugging Face batches of like "
                     "length, atat all.", "whole", rounds, device)


def _decoding(title: str, note: str, work: str, rounds: int, device: torch.device) -> Table:
    """All systems in one process and, on a CPU, in a process for each core (eight at most)."""
    # With more than 8 processes the 16 long utterances would leave some with nothing to do.
    cores = min(8, len(os.sched_getaffinity(0))) if device.type == "cpu" else 1
    processes = {name: 1 for name in DECODED}
    if cores > 1:
        processes |= {f"{name}, {cores} processes": cores for name in DECODED}
    header, columns = [""], []
    for number, kind in enumerate(inputs.KINDS):
        with ExitStack() as stack:
            remotes = {
                name: _remote(stack, [
                    {"work": work, "device": str(device), "kind": number, "part": part,
                     "parts": parts, **DECODED[name.removesuffix(f", {parts} processes")]}
                    for part in range(parts)
                ])
                for name, parts in processes.items()
            }
            timings = interleave(remotes, "ESPnet2", rounds=rounds)
        header += [f"{kind.name}: an utterance", "speed"]
        columns.append({name: [seconds_text(timing.seconds / kind.utterances),
                               f"{timing.speedup:.1f}"] for name, timing in timings.items()})
    rows = [[name, *(cell for column in columns for cell in column[name])] for name in columns[0]]
    sizes = "; ".join(f"{kind.utterances} {kind.name}, {kind.tokens} steps"
                      for kind in inputs.KINDS)
    if cores > 1:
        sizes += (f". {cores} processes: of one thread each, which share the utterances out, as "
                  "ESPnet2's recipes do with --inference_nj and atat.decode does by itself; the "
                  f"other rows are one process of {torch.get_num_threads()} threads")
    return Table(title, f"{note} {sizes}.", header, rows)


def _remote(stack: ExitStack, works: list[dict[str, Any]]) -> Callable[[], object]:
    remote = Remote(works)
    stack.callback(remote.close)
    return remote
