"""ESPnet2's own encoder, decoder and BatchBeamSearch at the same sizes, as its recipes use them."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from contextlib import nullcontext
from typing import Any

import inputs
import torch
from torch import Tensor

SOS = EOS = inputs.VOCABULARY - 1
NO_END = -1.0e10


def _nets() -> str:
    """Where espnet keeps its searches: 202611, for Python 3.12, has moved them into espnet2."""
    return "espnet.nets" if importlib.util.find_spec("espnet.nets") else "espnet2.legacy.nets"


def _from(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


class Espnet:
    """Transformer encoder over conv2d, transformer decoder; precision fp32 or bf16 (autocast)."""

    def __init__(self, device: torch.device, *, precision: str = "fp32") -> None:
        warnings.filterwarnings("ignore")
        logging.disable(logging.WARNING)  # it remarks on every search that reaches its limit
        nets = _nets()
        BatchBeamSearch = _from(f"{nets}.batch_beam_search", "BatchBeamSearch")
        LabelSmoothingLoss = _from(
            f"{nets}.pytorch_backend.transformer.label_smoothing_loss", "LabelSmoothingLoss"
        )
        from espnet2.asr.decoder.transformer_decoder import TransformerDecoder
        from espnet2.asr.encoder.transformer_encoder import TransformerEncoder

        class ForcedDecoder(TransformerDecoder):
            """Without an end before the limit."""

            def batch_score(self, ys: Tensor, states: Any, xs: Tensor) -> Any:
                scores, states = super().batch_score(ys, states, xs)
                scores[:, EOS] = NO_END
                return scores, states

        torch.manual_seed(0)
        self.device, self.precision = device, precision
        self.encoder = TransformerEncoder(
            input_size=inputs.MEL_BINS,
            output_size=inputs.WIDTH,
            attention_heads=inputs.HEADS,
            linear_units=inputs.FEED_FORWARD,
            num_blocks=inputs.ENCODER_LAYERS,
            input_layer="conv2d",
        ).to(device)
        self.decoder = ForcedDecoder(
            vocab_size=inputs.VOCABULARY,
            encoder_output_size=inputs.WIDTH,
            attention_heads=inputs.HEADS,
            linear_units=inputs.FEED_FORWARD,
            num_blocks=inputs.DECODER_LAYERS,
        ).to(device)
        self.loss = LabelSmoothingLoss(inputs.VOCABULARY, -1, 0.1, False)
        self.beam_search = BatchBeamSearch(
            scorers={"decoder": self.decoder},
            weights={"decoder": 1.0},
            beam_size=inputs.BEAM,
            vocab_size=inputs.VOCABULARY,
            sos=SOS,
            eos=EOS,
        ).to(device)
        self.parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.adam = torch.optim.Adam(self.parameters, lr=1e-6)

    def eval(self) -> Espnet:
        self.encoder.eval()
        self.decoder.eval()
        self.beam_search.eval()
        return self

    def _autocast(self) -> Any:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    @torch.no_grad()
    def encode(self, features: Tensor, frames: Tensor) -> Tensor:
        """(B, T, F), (B,) -> memory (B, S, D)."""
        with self._autocast():
            return self.encoder(features, frames)[0]

    @torch.no_grad()
    def search(self, memory: Tensor, lengths: Tensor, tokens: int) -> None:
        """BatchBeamSearch takes one utterance at a time; `tokens` steps each."""
        for row, length in zip(memory, lengths.tolist()):
            with self._autocast():
                self.beam_search(row[:length], maxlenratio=-float(tokens), minlenratio=0.0)

    def decode(self, features: Tensor, frames: Tensor, tokens: int) -> None:
        """One utterance after the other, as ESPnet2's inference does."""
        for row, length in zip(features, frames.tolist()):
            memory = self.encode(row[None, :length], torch.tensor([length], device=self.device))
            self.search(memory, torch.tensor([memory.shape[1]]), tokens)

    def train_step(self, features: Tensor, frames: Tensor, targets: Tensor) -> float:
        """Forward, backward, clipping and update; targets (B, U)."""
        sizes = torch.full((len(targets),), targets.shape[1] - 1, device=targets.device)
        with self._autocast():
            memory, lengths, _ = self.encoder(features, frames)
            logits, _ = self.decoder(memory, lengths, targets[:, :-1], sizes)
            loss = self.loss(logits, targets[:, 1:].contiguous())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 5.0)
        self.adam.step()
        self.adam.zero_grad()
        return float(loss.detach())
