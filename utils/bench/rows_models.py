"""Training step, search alone and whole decoding, against ESPnet2, Hugging Face and, where it does
the same work, CTranslate2.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

import inputs
import torch
from clock import Rounds, Timing, interleave, rounds_text
from remote import Remote, once
from table import Table, seconds_text
from work import TRAIN_BATCH

from atat.base import precision

ESPNET: dict[str, Any] = {"system": "espnet"}
HUGGING_FACE: dict[str, Any] = {"system": "huggingface"}
CTRANSLATE2: dict[str, Any] = {"system": "ctranslate2"}
ATAT: dict[str, Any] = {"system": "atat"}
BF16 = {"precision": "bf16"}
NOT_INSTALLED = "not installed (utils/bench.sh --peers)"
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
SEARCHED = DECODED | {"CTranslate2": CTRANSLATE2}


def measured(systems: dict[str, dict[str, Any]], device: torch.device) -> dict[str, dict[str, Any]]:
    """The systems without those in bf16 where there is no hardware for it: emulated, a training
    step took over ten times as long as in fp32, and would say nothing but that. CTranslate2 only
    where it is installed, and on a CPU."""
    left_out = set()
    if not precision.has_bf16(device)[0]:
        left_out |= {name for name, system in systems.items() if system.get("precision") == "bf16"}
    if device.type != "cpu" or not has_ctranslate2():
        left_out |= {name for name, system in systems.items() if system["system"] == "ctranslate2"}
    return {name: system for name, system in systems.items() if name not in left_out}


def has_ctranslate2() -> bool:
    """Whether the package is installed."""
    return find_spec("ctranslate2") is not None


def missing(
    systems: dict[str, dict[str, Any]], device: torch.device, cells: int
) -> list[list[str]]:
    """Rows of what would be measured on this device if CTranslate2 were installed."""
    if device.type != "cpu" or has_ctranslate2():
        return []
    names = [name for name, system in systems.items() if system["system"] == "ctranslate2"]
    return [[name, NOT_INSTALLED, *[""] * (cells - 2)] for name in names]


def bf16_text(device: torch.device) -> str:
    """What a table says of bf16."""
    found, reason = precision.has_bf16(device)
    return f"bf16: {reason}." if found else f"No bf16 is measured: {reason}."


def training(rounds: Rounds, device: torch.device) -> Table:
    """Forward, backward, clipping and update of a batch of commands, fp32 and bf16."""
    given = {"device": str(device)}
    systems = measured(TRAINED, device)
    with ExitStack() as stack:
        remotes = {
            name: _remote(stack, [{"work": "training", **system, **given}])
            for name, system in systems.items()
        }
        timings = interleave(remotes, "ESPnet2", rounds=rounds)
    names = list(dict.fromkeys(system.get("precision", "fp32") for system in systems.values()))
    peaks = dict(zip(names, once(work="peak", precisions=names, **given)))
    rows = []
    for name, timing in timings.items():
        flops = once(work="flops", **TRAINED[name], **given)
        peak = peaks[TRAINED[name].get("precision", "fp32")]
        rows.append(
            [
                name,
                seconds_text(timing.seconds),
                f"{timing.speedup:.2f}",
                f"{flops / 1e9:.0f}",
                f"{100 * flops / timing.seconds / peak:.0f} %",
            ]
        )
    kind = inputs.COMMANDS
    note = (
        f"{TRAIN_BATCH} {kind.name}, {kind.tokens} target tokens: forward, backward, clipping, "
        "update. Operations: those of matrix products, convolutions and attention, counted by "
        "torch. Share: of what a square matrix product reaches here, "
        + " and ".join(f"{peak / 1e9:.0f} GFLOP/s in {name}" for name, peak in peaks.items())
        + f". {bf16_text(device)} {rounds_text(timings)}"
    )
    return Table("Training step", note, ["", "time", "speed", "GFLOP", "share of peak"], rows)


def search(rounds: Rounds, device: torch.device) -> Table:
    """Beam search over given memories."""
    note = "Random memories, a quarter as long as the audio."
    if "CTranslate2" in measured(SEARCHED, device):
        note += (
            " CTranslate2 takes a memory at a time, as ESPnet2 does, since it has no lengths for a "
            "batch of them; it reads one token more, behind the start."
        )
    return decoding(
        "Beam-4 search alone",
        note,
        "search",
        SEARCHED,
        rounds,
        device,
    )


def whole(rounds: Rounds, device: torch.device) -> Table:
    """Encoder and search."""
    return decoding(
        "Whole decoding: encoder and beam-4 search",
        "ESPnet2 takes one utterance at a time, Hugging Face batches of like length, atat all.",
        "whole",
        DECODED,
        rounds,
        device,
    )


def decoding(
    title: str,
    note: str,
    work: str,
    competing: dict[str, dict[str, Any]],
    rounds: Rounds,
    device: torch.device,
) -> Table:
    """All systems in one process and, on a CPU, in a process for each core (eight at most).

    The first of `competing` is the baseline.
    """
    # With more than 8 processes the 16 long utterances would leave some with nothing to do.
    cores = min(8, len(os.sched_getaffinity(0))) if device.type == "cpu" else 1
    systems = measured(competing, device)
    processes = dict.fromkeys(systems, 1)
    if cores > 1:
        processes |= {f"{name}, {cores} processes": cores for name in systems}
    header, columns, made = [""], [], []
    for number, kind in enumerate(inputs.KINDS):
        shared = rounds.part(len(inputs.KINDS))
        timings = _timings(work, number, systems, processes, shared, device)
        header += [f"{kind.name}: an utterance", "speed"]
        columns.append(
            {
                name: [seconds_text(timing.seconds / kind.utterances), f"{timing.speedup:.1f}"]
                for name, timing in timings.items()
            }
        )
        made.append(f"{kind.utterances} {kind.name}, {kind.tokens} steps: {rounds_text(timings)}")
    rows = [[name, *(cell for column in columns for cell in column[name])] for name in columns[0]]
    rows += missing(competing, device, len(header))
    sizes = f"{' '.join(made)} {bf16_text(device)}"
    if cores > 1:
        sizes += (
            f" {cores} processes: of one thread each, which share the utterances out, as "
            "ESPnet2's recipes do with --inference_nj and atat decode does by itself; the "
            f"other rows are one process of {torch.get_num_threads()} threads."
        )
    return Table(title, f"{note} {sizes}", header, rows)


def _timings(
    work: str,
    kind: int,
    systems: dict[str, dict[str, Any]],
    processes: dict[str, int],
    rounds: Rounds,
    device: torch.device,
) -> dict[str, Timing]:
    """Times of the work on a kind of utterances; processes: how many share them, by row."""

    def works(name: str, parts: int) -> list[dict[str, Any]]:
        system = systems[name.removesuffix(f", {parts} processes")]
        given = {"work": work, "device": str(device), "kind": kind, "parts": parts, **system}
        return [{**given, "part": part} for part in range(parts)]

    with ExitStack() as stack:
        remotes = {name: _remote(stack, works(name, parts)) for name, parts in processes.items()}
        return interleave(remotes, next(iter(remotes)), rounds=rounds)


def _remote(stack: ExitStack, works: list[dict[str, Any]]) -> Callable[[], object]:
    remote = Remote(works)
    stack.callback(remote.close)
    return remote
