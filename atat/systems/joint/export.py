"""A packed model of AT-AT as graphs and files for `atat.runtime`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.engine import onnx_graph
from atat.nn.audio_encoder import AudioEncoder
from atat.nn.graphs import AudioGraph, MemoryGraph, StepGraph, TextGraph
from atat.nn.text_encoder import SmallTextEncoder
from atat.runtime import description
from atat.runtime.description import OF_MEMORY, PAST, PRESENT, Description
from atat.speech import frontend
from atat.systems.joint.packed import Packed

SIZE = 37  # of an example, in frames or units; any but 0 and 1
FORMER, BEAM = 6, 3  # of an example: entries of the cache, and hypotheses


def export(packed: Packed, folder: Path, weights: Literal["float32", "int8"]) -> None:
    """Write everything but the digests into an empty folder.

    The speech encoder that the model names is put in. Raises InputError for a model with parts that
    cannot be exported, before anything is written.
    """
    check(packed)
    model, about = packed.model, describe(packed, weights)
    graphs = _write_decoder(packed, about, folder)
    if model.audio_encoder is not None:
        graphs.append(_write_audio(packed, model.audio_encoder, folder))
    if isinstance(model.text_encoder, SmallTextEncoder):
        graphs.append(_write_text(model.text_encoder, folder))
    if weights == "int8":
        for graph in graphs:
            onnx_graph.to_int8(graph, keep=["table"])
    packed.tokenizer.save(folder / description.TOKENIZER)
    with atomic_write(folder / description.PAIRS) as stream:
        json.dump(sorted(packed.pairs), stream, indent=0)
    if packed.pretrained is not None:
        frontend.write(packed.pretrained, folder)  # with the encoder, if the model contains it
        if not (folder / frontend.CONTAINED).is_dir():
            frontend.contain(folder)
    about.write(folder)


def describe(packed: Packed, weights: Literal["float32", "int8"]) -> Description:
    """What a device has to know of the model beside its graphs."""
    model, settings = packed.model, packed.settings
    return Description(
        system=packed.system,
        tasks=packed.tasks,
        weights=weights,
        values=model.cmvn.mean.numel() if model.audio_encoder is not None else 0,
        units=settings.text_encoder.units if settings.text_encoder is not None else None,
        bridge=model.bridge is not None,
        layers=settings.decoder.layers,
        heads=settings.decoder.heads,
        width=settings.width // settings.decoder.heads,
    )


def check(packed: Packed) -> None:
    """Raise InputError for a model that cannot be exported, with what can be done instead."""
    audio, text = packed.model.audio_encoder, packed.model.text_encoder
    if audio is not None and not isinstance(audio, AudioEncoder):
        raise InputError(
            "an encoder of ESPnet (audio_encoder.kind espnet) cannot be exported; the kinds "
            "transformer and pretrained can"
        )
    if text is not None and not isinstance(text, SmallTextEncoder):
        raise InputError(
            "a model with BERT (text_encoder.kind bert) cannot be exported; one with a text "
            "encoder of kind small can"
        )
    if packed.pretrained is not None:
        origin = packed.pretrained.origin
        assert origin is not None
        if packed.frontend.within or not frontend.is_published(origin.name):
            raise InputError(
                f"the speech encoder {origin.name} runs in torch and cannot be exported; one of "
                "`atat encoder list`, such as moonshine-tiny, can (audio_encoder.pretrained)"
            )


def _write_audio(packed: Packed, encoder: nn.Module, folder: Path) -> Path:
    model, path = packed.model, folder / description.AUDIO
    frames = torch.randn(2, SIZE, model.cmvn.mean.numel())
    heard = [] if model.ctc is None else ["log_probs"]
    onnx_graph.write(
        AudioGraph(model.cmvn, encoder, model.ctc),
        [frames, torch.tensor([SIZE, SIZE - 9])],
        path,
        names=(["frames", "lengths"], ["memory", "memory_lengths", *heard]),
        axes=[{0: "batch", 1: "time"}, {0: "batch"}],
    )
    return path


def _write_text(encoder: SmallTextEncoder, folder: Path) -> Path:
    path, table = folder / description.TEXT, encoder.embedding.weight.detach()
    np.save(folder / description.UNITS, table.numpy(), allow_pickle=False)
    onnx_graph.write(
        TextGraph(encoder),
        [torch.randn(2, SIZE, table.shape[1]), torch.tensor([SIZE, SIZE - 9])],
        path,
        names=(["embedded", "lengths"], ["memory"]),
        axes=[{0: "batch", 1: "size"}, {0: "batch"}],
    )
    return path


def _write_decoder(packed: Packed, about: Description, folder: Path) -> list[Path]:
    decoder = packed.model.decoder
    memory, step = folder / description.MEMORY, folder / description.STEP
    onnx_graph.write(
        MemoryGraph(decoder),
        [torch.randn(1, SIZE, packed.settings.width)],
        memory,
        names=(["memory"], about.entries(OF_MEMORY)),
        axes=[{1: "states"}],
    )

    def entries(size: int) -> list[torch.Tensor]:
        names = about.entries(PAST)
        return [torch.randn(1, about.heads, size, about.width) for _ in names]

    onnx_graph.write(
        StepGraph(decoder),
        [
            torch.arange(BEAM),
            torch.tensor([FORMER // BEAM]),
            torch.zeros(BEAM, FORMER + BEAM),
            entries(SIZE),
            entries(FORMER),
        ],
        step,
        names=(
            [
                *("tokens", "position", "history"),
                *about.entries(OF_MEMORY),
                *about.entries(PAST),
            ],
            ["log_probs", *about.entries(PRESENT)],
        ),
        axes=[
            {0: "hypotheses"},
            {},
            {0: "hypotheses", 1: "all"},
            [{2: "states"}] * len(about.entries(PAST)),
            [{2: "entries"}] * len(about.entries(PAST)),
        ],
    )
    return [memory, step]
