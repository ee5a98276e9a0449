"""Training step, search alone and whole decoding, against ESPnet2 and Hugging Face."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import inputs
import torch
from clock import flops_of, interleave, matmul_peak
from inputs import Kind
from system_atat import Atat
from system_espnet import Espnet
from system_huggingface import HuggingFace
from table import Table, seconds_text


TRAIN_BATCH = 16
ENCODER_BATCH = 8  # a padded batch of 32 utterances takes twice the time of batches of like length


def training(rounds: int, device: torch.device) -> Table:
    """Forward, backward, clipping and update of a batch of commands, fp32 and bf16."""
    kind = inputs.COMMANDS
    frames = inputs.lengths(kind, TRAIN_BATCH)
    features, lengths = inputs.features(frames, device), frames.to(device)
    targets = inputs.targets(TRAIN_BATCH, kind.tokens, device)
    systems: dict[str, Any] = {
        "ESPnet2": Espnet(device),
        "ESPnet2, bf16": Espnet(device, precision="bf16"),
        "Hugging Face Speech2Text": HuggingFace(device),
        "atat": Atat(device),
        "atat, bf16": Atat(device, precision="bf16"),
        "atat, front end as wide as ESPnet2's": Atat(device, wide_front_end=True),
        "atat, the same, bf16": Atat(device, precision="bf16", wide_front_end=True),
    }
    work: dict[str, Callable[[], object]] = {
        name: lambda system=system: system.train_step(features, lengths, targets)
        for name, system in systems.items()
    }
    timings = interleave(work, "ESPnet2", rounds=rounds, device=device)
    peaks = {precision: matmul_peak(device, precision)
             for precision in (torch.float32, torch.bfloat16)}
    rows = []
    for name, timing in timings.items():
        flops = flops_of(work[name])
        peak = peaks[torch.bfloat16 if "bf16" in name else torch.float32]
        rows.append([name, seconds_text(timing.seconds), f"{timing.speedup:.2f}",
                     f"{flops / 1e9:.0f}", f"{100 * flops / timing.seconds / peak:.0f} %"])
    note = (
        f"{TRAIN_BATCH} {kind.name}, {kind.tokens} target tokens: forward, backward, clipping, "
        "update. Products of float32: the peers' by the library that torch takes by itself, atat's "
        "by the one of atat/machine.py. Operations: those of matrix products, convolutions and "
        "attention, counted by torch. Share: of what a square matrix product reaches here, "
        f"{peaks[torch.float32] / 1e9:.0f} GFLOP/s in fp32 and "
        f"{peaks[torch.bfloat16] / 1e9:.0f} in bf16."
    )
    return Table("Training step", note, ["", "time", "speed", "GFLOP", "share of peak"], rows)


def search(rounds: int, device: torch.device) -> Table:
    """Beam search over given memories."""
    return _decoding("Beam-4 search alone", "Random memories, a quarter as long as the audio.",
                     _search_work, rounds, device)


def whole(rounds: int, device: torch.device) -> Table:
    """Encoder and search."""
    return _decoding("Whole decoding: encoder and beam-4 search",
                     "ESPnet2 takes one utterance at a time, Hugging Face batches of like "
                     "length, atat all.",
                     _whole_work, rounds, device)


Workers = Callable[[Kind, torch.device], dict[str, Callable[[], object]]]


def _decoding(
    title: str, note: str, make: Workers, rounds: int, device: torch.device
) -> Table:
    header, columns = [""], []
    for kind in inputs.KINDS:
        work = make(kind, device)
        timings = interleave(work, "ESPnet2", rounds=rounds, device=device)
        header += [f"{kind.name}: an utterance", "speed"]
        columns.append({name: [seconds_text(timing.seconds / kind.utterances),
                               f"{timing.speedup:.1f}"] for name, timing in timings.items()})
    rows = [[name, *(cell for column in columns for cell in column[name])] for name in columns[0]]
    sizes = "; ".join(f"{kind.utterances} {kind.name}, {kind.tokens} steps"
                      for kind in inputs.KINDS)
    return Table(title, f"{note} {sizes}.", header, rows)


def _search_work(kind: Kind, device: torch.device) -> dict[str, Callable[[], object]]:
    lengths = (inputs.lengths(kind, kind.utterances) // 4).to(device)
    memory = torch.randn(kind.utterances, int(lengths.max()), inputs.WIDTH, device=device)
    systems: dict[str, Any] = {
        "ESPnet2": Espnet(device).eval(),
        "Hugging Face Speech2Text": HuggingFace(device).eval(),
        "atat": Atat(device).eval(),
        "atat, bf16": Atat(device, precision="bf16").eval(),
    }
    return {name: lambda system=system: system.search(memory, lengths, kind.tokens)
            for name, system in systems.items()}


def _whole_work(kind: Kind, device: torch.device) -> dict[str, Callable[[], object]]:
    frames = inputs.lengths(kind, kind.utterances)
    features = inputs.features(frames, device)
    tokens = kind.tokens
    espnet, hugging_face = Espnet(device).eval(), HuggingFace(device).eval()
    plain, bf16 = Atat(device).eval(), Atat(device, precision="bf16").eval()
    # On a GPU the more at once the better.
    size = ENCODER_BATCH if device.type == "cpu" else kind.utterances
    return {
        "ESPnet2": lambda: espnet.decode(features, frames, tokens),
        "Hugging Face Speech2Text": lambda: hugging_face.decode(features, frames, tokens, size),
        "atat": lambda: plain.decode(features, frames, tokens),
        "atat, bf16": lambda: bf16.decode(features, frames, tokens),
    }
