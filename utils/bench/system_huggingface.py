"""Hugging Face's Speech2Text at the same sizes, with its own batched `generate`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import inputs
import torch
from torch import Tensor

PAD, START, EOS = 1, 0, 2
BATCH = 8  # a padded batch of 32 utterances takes twice the time of batches of like length


class HuggingFace:
    """Speech2TextForConditionalGeneration, random weights; fp32 or bf16 (to train: autocast)."""

    def __init__(self, device: torch.device, *, precision: str = "fp32") -> None:
        from transformers import Speech2TextConfig, Speech2TextForConditionalGeneration

        torch.manual_seed(0)
        self.device, self.precision = device, precision
        config = Speech2TextConfig(
            vocab_size=inputs.VOCABULARY,
            d_model=inputs.WIDTH,
            encoder_layers=inputs.ENCODER_LAYERS,
            encoder_attention_heads=inputs.HEADS,
            encoder_ffn_dim=inputs.FEED_FORWARD,
            decoder_layers=inputs.DECODER_LAYERS,
            decoder_attention_heads=inputs.HEADS,
            decoder_ffn_dim=inputs.FEED_FORWARD,
            input_feat_per_channel=inputs.MEL_BINS,
            max_source_positions=6000,
            max_target_positions=512,
            pad_token_id=PAD,
            bos_token_id=START,
            eos_token_id=EOS,
            decoder_start_token_id=START,
        )
        model = Speech2TextForConditionalGeneration(config)
        self.model = model.to(device)  # type: ignore[arg-type]  # its wrapper loses `self`
        self.adam = torch.optim.Adam(self.model.parameters(), lr=1e-6)

    def eval(self) -> HuggingFace:
        self.model.eval()
        if self.precision == "bf16":
            self.model.bfloat16()
        return self

    def _mask(self, features: Tensor, frames: Tensor) -> Tensor:
        return torch.arange(features.shape[1], device=self.device)[None] < frames[:, None]

    def _generate(self, tokens: int, **given: Any) -> None:
        self.model.generate(
            num_beams=inputs.BEAM,
            do_sample=False,
            min_new_tokens=tokens,
            max_new_tokens=tokens,
            **given,
        )

    @torch.inference_mode()
    def search(self, memory: Tensor, lengths: Tensor, tokens: int) -> None:
        """The search alone, over a memory (B, S, D) that the encoder would have given."""
        from transformers.modeling_outputs import BaseModelOutput

        memory = memory.to(self.model.dtype)
        # generate() wants a mask of input frames; four of them are one state of the memory.
        frames = lengths * 4
        mask = torch.arange(int(memory.shape[1]) * 4, device=self.device)[None] < frames[:, None]
        self._generate(
            tokens,
            encoder_outputs=BaseModelOutput(last_hidden_state=memory),
            attention_mask=mask.long(),
        )

    @torch.inference_mode()
    def decode(self, features: Tensor, frames: Tensor, tokens: int) -> None:
        """Encoder and search, in batches of utterances of like length."""
        features = features.to(self.model.dtype)
        # On a GPU the more at once the better.
        size = BATCH if self.device.type == "cpu" else len(frames)
        for rows in inputs.by_length(frames, size):
            part = frames[rows].to(self.device)
            source = features[rows.to(self.device), : int(part.max())]
            self._generate(
                tokens, input_features=source, attention_mask=self._mask(source, part).long()
            )

    def train_step(self, features: Tensor, frames: Tensor, targets: Tensor) -> float:
        """Forward, backward, clipping and update; targets (B, U)."""
        bf16 = torch.autocast(self.device.type, torch.bfloat16)
        with bf16 if self.precision == "bf16" else nullcontext():
            loss = self.model(
                input_features=features,
                attention_mask=self._mask(features, frames).long(),
                labels=targets[:, 1:].contiguous(),
            ).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.adam.step()
        self.adam.zero_grad()
        return float(loss.detach())
