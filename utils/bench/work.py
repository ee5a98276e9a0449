"""The timed work, by name: each function prepares a piece of work that can be repeated.

Runs in the processes that remote.py starts. `system` is espnet, huggingface, ctranslate2 or atat;
part, parts: which share of the utterances this process has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import inputs
import torch

Work = Callable[[], Any]
TRAIN_BATCH = 16


def training(system: str, device: str, **options: Any) -> Work:
    """A training step on a batch of commands."""
    made = _system(system, device, **options)
    frames = inputs.lengths(inputs.COMMANDS, TRAIN_BATCH)
    features, lengths = inputs.features(frames, made.device), frames.to(made.device)
    targets = inputs.targets(TRAIN_BATCH, inputs.COMMANDS.tokens, made.device)
    return lambda: made.train_step(features, lengths, targets)


def flops(system: str, device: str, **options: Any) -> Work:
    """Operations of the products, convolutions and attentions of a training step, backward too."""
    from torch.utils.flop_counter import FlopCounterMode

    step = training(system, device, **options)

    def count() -> int:
        with FlopCounterMode(display=False) as counter:
            step()
        return counter.get_total_flops()

    return count


def search(
    system: str, device: str, kind: int, part: int = 0, parts: int = 1, **options: Any
) -> Work:
    """Beam search over random memories, a quarter as long as the audio."""
    made, frames, tokens = _decoding(system, device, kind, part, parts, options)
    lengths = (frames // 4).to(made.device)
    memory = torch.randn(len(lengths), int(lengths.max()), inputs.WIDTH, device=made.device)
    return lambda: bool(made.search(memory, lengths, tokens))


def whole(
    system: str, device: str, kind: int, part: int = 0, parts: int = 1, **options: Any
) -> Work:
    """Encoder and search."""
    made, frames, tokens = _decoding(system, device, kind, part, parts, options)
    features = inputs.features(frames, made.device)
    return lambda: bool(made.decode(features, frames, tokens))


def text(
    system: str, device: str, kind: int, part: int = 0, parts: int = 1, **options: Any
) -> Work:
    """Text encoder and search: the words of the utterances instead of their audio."""
    made, source, lengths, tokens = _reading(system, device, kind, part, parts, options)
    return lambda: bool(made.read(source, lengths, tokens))


def text_outputs(system: str, device: str, kind: int, **options: Any) -> Work:
    """What `text` comes to: the number of parameters, and the ids of every best output."""
    made, source, lengths, tokens = _reading(system, device, kind, 0, 1, options)
    return lambda: {"parameters": made.size, "outputs": made.read(source, lengths, tokens)}


def frames(device: str, frontend: str, threads: int, part: int = 0, parts: int = 1) -> Work:
    """Frames of recordings by a front end: a pretrained encoder's name, "" for filterbanks."""
    from atat.speech import frontend as frontends

    torch.set_num_threads(threads)
    encode = frontends.find(frontend, threads) if frontend else frontends.Lfb()
    recordings = sorted(inputs.recordings(), key=len)[part::parts]
    return lambda: sum(len(encode(samples)) for samples in recordings)


def loading(device: str, rounds: int, seconds: float) -> Work:
    """See rows_pipeline.measure_loading."""
    from rows_pipeline import measure_loading

    return lambda: measure_loading(rounds, seconds, torch.device(device))


def peak(device: str, precisions: list[str]) -> Work:
    """FLOP/s of the best square matrix product in each precision (fp32, bf16)."""
    from clock import matmul_peak

    types = {"fp32": torch.float32, "bf16": torch.bfloat16}
    return lambda: [matmul_peak(torch.device(device), types[name]) for name in precisions]


def _decoding(
    system: str, device: str, kind: int, part: int, parts: int, options: dict[str, Any]
) -> tuple[Any, torch.Tensor, int]:
    made = _system(system, device, **options).eval()
    utterances = inputs.KINDS[kind]
    frames = inputs.lengths(utterances, utterances.utterances)
    return made, frames[inputs.share(frames, part, parts)], utterances.tokens


def _reading(
    system: str, device: str, kind: int, part: int, parts: int, options: dict[str, Any]
) -> tuple[Any, torch.Tensor, torch.Tensor, int]:
    made = _reader(system, device, **options).eval()
    utterances = inputs.KINDS[kind]
    lengths = inputs.pieces(inputs.lengths(utterances, utterances.utterances))
    source = inputs.targets(len(lengths), int(lengths.max()), made.device)
    rows = inputs.share(lengths, part, parts)
    longest = int(lengths[rows].max())
    return made, source[rows, :longest], lengths[rows].to(made.device), utterances.tokens


def _reader(system: str, device: str, **options: Any) -> Any:
    if system == "ctranslate2":
        from system_ctranslate2 import CTranslate2

        return CTranslate2(torch.device(device), **options)
    from system_atat_text import AtatText

    return AtatText(torch.device(device), **options)


def _system(system: str, device: str, **options: Any) -> Any:
    if system == "espnet":
        from system_espnet import Espnet

        return Espnet(torch.device(device), **options)
    if system == "huggingface":
        from system_huggingface import HuggingFace

        return HuggingFace(torch.device(device), **options)
    if system == "ctranslate2":
        from system_ctranslate2 import CTranslate2

        return CTranslate2(torch.device(device), **options)
    from system_atat import Atat

    return Atat(torch.device(device), **options)
