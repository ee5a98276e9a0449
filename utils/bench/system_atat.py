"""atat itself: its model at the paper's sizes, its search, its training step."""

from __future__ import annotations

from typing import Any

import inputs
import torch
from torch import Tensor

from atat.nn.audio_encoder import AudioEncoder
from atat.nn.beam_search import SearchOptions, beam_search
from atat.nn.cpu_weights import for_inference
from atat.nn.decoder import Decoder
from atat.nn.decoder_cache import DecoderState
from atat.nn.loss import cross_entropy_sum
from atat.nn.settings import AudioEncoderSettings, DecoderSettings
from atat.systems.joint.generate import encode_by_length

EOS = 1
START = 2
# Far below any logit: the end comes when the number of steps is reached and not before.
NO_END = -1.0e4


class Forced:
    """The decoder with the interface of the search, without an end before the limit."""

    def __init__(self, decoder: Decoder, state: DecoderState) -> None:
        self.decoder, self.state = decoder, state

    def step(self, tokens: Tensor) -> Tensor:
        logits = self.decoder.step(tokens, self.state)
        logits[:, EOS] = NO_END
        return logits

    def reorder(self, hypotheses: Tensor) -> None:
        self.state.reorder(hypotheses)

    def keep(self, utterances: Tensor) -> None:
        self.state.keep(utterances)


def forced_search(decoder: Decoder, memory: Tensor, lengths: Tensor, tokens: int) -> Any:
    """The search of a batch with beam 4, `tokens` steps; the last one is the end."""
    state = decoder.start(memory, lengths, inputs.BEAM)
    start = torch.full((len(memory),), START, device=memory.device)
    options = SearchOptions(beam=inputs.BEAM, max_length=tokens)
    return beam_search(Forced(decoder, state), start, EOS, options)


class Atat:
    """Encoder and decoder with random weights; precision fp32 or bf16 (autocast)."""

    def __init__(
        self, device: torch.device, *, precision: str = "fp32", wide_front_end: bool = False
    ) -> None:
        """wide_front_end: two strided convolutions of 256 channels, as ESPnet2 has them."""
        torch.manual_seed(0)
        front: dict[str, Any] = {}
        if wide_front_end:
            front = {
                "conv_channels": (256, 256),
                "time_stride": (2, 2),
                "freq_stride": (2, 2),
                "time_pool": (1, 1),
                "freq_pool": (1, 1),
            }
        self.device, self.precision = device, precision
        self.encoder = AudioEncoder(AudioEncoderSettings(**front), inputs.WIDTH).to(device)
        self.decoder = Decoder(DecoderSettings(), inputs.WIDTH, inputs.VOCABULARY).to(device)
        parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.adam = torch.optim.AdamW(parameters, lr=1e-6, fused=True)
        self.parameters = parameters

    def eval(self) -> Atat:
        """Ready for decoding, as atat.systems.joint.recognizer does it."""
        self.encoder = for_inference(self.encoder, self.precision)
        self.decoder = for_inference(self.decoder, self.precision)
        return self

    def _autocast(self) -> torch.autocast:
        enabled = self.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    @torch.inference_mode()
    def encode(self, features: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, F), (B,) -> memory (B, S, D), lengths (B,)."""
        with self._autocast():
            return self.encoder(features, frames)

    @torch.inference_mode()
    def search(self, memory: Tensor, lengths: Tensor, tokens: int) -> Any:
        """The 4-best search of a batch, `tokens` steps."""
        with self._autocast():
            return forced_search(self.decoder, memory, lengths, tokens)

    def decode(self, features: Tensor, frames: Tensor, tokens: int) -> None:
        """Encoder and search of a batch."""
        memory, lengths = encode_by_length(self.encode, features, frames.to(self.device))
        self.search(memory, lengths, tokens)

    def train_step(self, features: Tensor, frames: Tensor, targets: Tensor) -> float:
        """Forward, backward, clipping and update; targets (B, U)."""
        with self._autocast():
            memory, lengths = self.encoder(features, frames)
            logits = self.decoder(targets[:, :-1], memory, lengths)
            weights = torch.ones(len(targets), device=targets.device)
            loss = cross_entropy_sum(logits, targets[:, 1:], weights, 0.1) / targets.numel()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 5.0)
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        return float(loss.detach())
