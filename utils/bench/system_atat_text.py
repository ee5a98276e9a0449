"""atat reading text: its small text encoder and its decoder, in fp32, bf16 or int8."""

from __future__ import annotations

import inputs
import torch
from system_atat import EOS, forced_search
from torch import Tensor

from atat.nn import int8
from atat.nn.cpu_weights import for_inference
from atat.nn.decoder import Decoder
from atat.nn.settings import DecoderSettings, TextEncoderSettings
from atat.nn.text_encoder import SmallTextEncoder
from atat.systems.joint.generate import encode_by_length


class AtatText:
    """Text encoder and decoder with random weights, the same ones every time."""

    def __init__(self, device: torch.device, *, precision: str = "fp32") -> None:
        torch.manual_seed(0)
        self.device, self.precision = device, precision
        width, vocabulary = inputs.WIDTH, inputs.VOCABULARY
        self.encoder = SmallTextEncoder(TextEncoderSettings(), width, vocabulary).to(device)
        self.decoder = Decoder(DecoderSettings(), width, vocabulary).to(device)
        parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.size = sum(parameter.numel() for parameter in parameters)

    def eval(self) -> AtatText:
        """Ready for decoding, as atat.systems.joint.recognizer does it."""
        if self.precision == "int8":
            int8.convert(self.encoder)
            int8.convert(self.decoder)
        precision = "bf16" if self.precision == "bf16" else "fp32"
        self.encoder = for_inference(self.encoder, precision)
        self.decoder = for_inference(self.decoder, precision)
        return self

    @torch.inference_mode()
    def read(self, source: Tensor, lengths: Tensor, tokens: int) -> list[list[int]]:
        """source (B, S), lengths (B,) -> the best output of each, `tokens` ids with the end."""
        enabled = self.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=enabled):
            memory, lengths = encode_by_length(self.encode, source, lengths)
            found = forced_search(self.decoder, memory, lengths, tokens)
        return [[*best.tokens, EOS] for best, *_ in found]

    def encode(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return self.encoder(source, lengths), lengths
