"""What the decoder attends to in a recording while it writes: cross-attention, to be looked at.

    weights = cross_attention(packed.model, features, ids)      # (layers, heads, U, S)

Of given outputs (teacher forcing), one recording at a time. Knows nothing of pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atat.systems.joint.model import Atat
from atat.systems.joint.packed import Packed


@torch.inference_mode()
def cross_attention(model: Atat, source: np.ndarray, inputs: Sequence[int]) -> Tensor:
    """Weights (layers, heads, U, S) of U outputs over the S states of an audio source.

    source: features (T, F), or samples (T,) where the encoder is a part of the model; inputs
    (U,): `<task> y1 .. y(U-1)`, so that row u is what was read when y(u+1) was written.
    """
    found: list[Tensor] = []

    def look(module: Any, arguments: tuple[Any, ...]) -> None:
        x, (keys, _), mask = arguments
        found.append(module.weights(x, keys, mask)[0].float().cpu())

    layers: Any = model.decoder.layers  # a ModuleList is untyped
    hooks = [layer.cross_attention.register_forward_pre_hook(look) for layer in layers]
    try:
        device = next(model.parameters()).device
        padded = torch.from_numpy(np.ascontiguousarray(source, dtype=np.float32))[None].to(device)
        lengths = torch.tensor([len(source)], device=device)
        memory, states = model.encode(True, padded, lengths)
        model.decoder(torch.tensor([list(inputs)], device=device), memory, states)
        return torch.stack(found)[..., : int(states[0])]
    finally:
        for hook in hooks:
            hook.remove()


def seconds_per_state(packed: Packed) -> float:
    """Seconds of audio from one state of the audio encoder to the next."""
    audio = packed.settings.audio_encoder
    assert audio is not None, "the model has an audio encoder"
    return audio.subsampling * packed.frontend.frame_shift
