"""AT-AT: an audio encoder and a text encoder that share one decoder (Rongali et al. 2021, Fig. 2).

The model computes the loss of a batch and says which tasks it accepts; the trainer knows only that.
The decoder sees a memory and does not know which encoder it came from.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from atat.engine.contract import Term
from atat.nn.audio_encoder import build_audio_encoder
from atat.nn.bridge import FRAME, Bridge, ReadsEmbeddings
from atat.nn.cmvn import Cmvn
from atat.nn.ctc import CtcHead
from atat.nn.decoder import Decoder
from atat.nn.loss import correct_tokens, cross_entropy_sum, divergence_sum
from atat.nn.text_encoder import build_text_encoder
from atat.systems.joint.batch import Batch
from atat.systems.joint.settings import ModelSettings
from atat.text.ctc_labels import Units, build_units
from atat.text.encoder_ids import own_ids
from atat.text.tasks import TASKS
from atat.text.tokenizer import Tokenizer

# Where the parameters of pretrained encoders are that the model trains.
BERT, TRAINED_ENCODER = "text_encoder.bert.", "audio_encoder.pretrained."


class Atat(nn.Module):
    """The joint model. Either encoder may be None; its tasks are then not accepted."""

    counts = ("ce", "ctc")

    def __init__(
        self,
        audio_encoder: nn.Module | None,
        text_encoder: nn.Module | None,
        decoder: Decoder,
        *,
        mel_bins: int,
        ctc: CtcHead | None = None,
        ctc_weight: float = 0.0,
        bridge: Bridge | None = None,
        bridge_share: float = 0.0,
    ) -> None:
        super().__init__()
        # In training; from the settings of the run.
        self.label_smoothing = 0.0
        self.consistency = 0.0
        self.cmvn = Cmvn(mel_bins)
        self.audio_encoder = audio_encoder
        self.text_encoder = text_encoder
        self.decoder = decoder
        self.ctc = ctc
        self.ctc_weight = ctc_weight
        self.bridge = bridge
        self.bridge_share = bridge_share

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of what `losses` may return."""
        return ("ce", "ctc", "accuracy", *(["consistency"] if self.consistency else []))

    def accepts(self, task: str) -> bool:
        """Whether the model has the encoder that the task needs."""
        return getattr(self, f"{TASKS[task].source}_encoder") is not None

    def encode(self, audio: bool, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """source (B, T, F) or (B, S), lengths (B,) -> memory (B, S', D), lengths (B,).

        Audio without F is samples, for an encoder that makes its own frames.
        """
        if audio:
            assert self.audio_encoder is not None
            return self.audio_encoder(source if source.ndim == 2 else self.cmvn(source), lengths)
        assert self.text_encoder is not None
        return self.text_encoder(source, lengths), lengths

    def cross(self, log_probs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """What the head hears (B, T, U), lengths (B,) -> the text encoder's memory of it."""
        assert self.bridge is not None
        return self.bridge(log_probs, lengths, self.text_encoder)

    def losses(self, batch: Batch) -> dict[str, Term]:
        """Terms of the batch: cross entropy, CTC if there is a head, what `consistency` asks for
        in training, and token accuracy.

        Accuracy, the weighted number of tokens right under teacher forcing, has no gradient. Label
        smoothing is used only in training; in evaluation the cross entropy is without it.
        """
        memory, lengths = self.encode(batch.audio, batch.source, batch.source_lengths)
        read = self._partly_crossed(batch, memory, lengths) if batch.audio else (memory, lengths)
        logits = self.decoder(batch.inputs, *read)
        smoothing = self.label_smoothing if self.training else 0.0
        terms = {"ce": Term(cross_entropy_sum(logits, batch.outputs, batch.weights, smoothing))}
        if batch.audio and self.ctc is not None and batch.units.shape[1] > 0:
            nll = self.ctc.loss(memory, lengths, batch.units, batch.unit_lengths)
            terms["ctc"] = Term((nll * batch.weights).sum(), self.ctc_weight)
            if self.consistency > 0 and self.training:
                terms["consistency"] = self._divergence_from_text(batch, logits)
        right = correct_tokens(logits.detach(), batch.outputs, batch.weights)
        terms["accuracy"] = Term(right, weight=0.0, of="ce")
        return terms

    def _partly_crossed(
        self, batch: Batch, memory: Tensor, lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What the decoder reads of audio: in training a share of the rows over the bridge.

        A recording of which the head hears less than half of the units says too little; of one
        without units (mlm), where it hears nothing.
        """
        if self.bridge is None or self.ctc is None or not self.training:
            return memory, lengths
        chosen = torch.rand(len(memory), device=memory.device) < self.bridge_share
        rows = chosen.nonzero()[:, 0]
        if not len(rows):
            return memory, lengths
        crossed, sizes = self.cross(self.ctc.log_probs(memory[rows]), lengths[rows])
        enough = (2 * (sizes - FRAME) >= batch.unit_lengths[rows]) & (sizes > FRAME)
        rows, crossed, sizes = rows[enough], crossed[enough], sizes[enough]
        longest = max(memory.shape[1], crossed.shape[1])
        memory = nn.functional.pad(memory, (0, 0, 0, longest - memory.shape[1]))
        crossed = nn.functional.pad(crossed, (0, 0, 0, longest - crossed.shape[1]))
        return memory.index_copy(0, rows, crossed.to(memory.dtype)), lengths.index_copy(
            0, rows, sizes
        )

    def _divergence_from_text(self, batch: Batch, logits: Tensor) -> Term:
        """How far what the decoder says of recordings is from what it says of their transcripts.

        Of all tokens, that those of the batch's cross entropy are; nothing of recordings without a
        transcript. Only the recordings' side learns: the other has the words as they are.
        """
        assert self.bridge is not None
        with torch.no_grad():
            ids, lengths = self.bridge.framed(batch.units, batch.unit_lengths)
            reader = cast("ReadsEmbeddings", self.text_encoder)
            read = reader.read(reader.embedding(ids), lengths, hide=False)
            teacher = self.decoder(batch.inputs, read, lengths)
        weights = batch.weights * (batch.unit_lengths > 0)
        divergence = divergence_sum(logits, teacher, batch.outputs, weights)
        return Term(divergence, self.consistency, of="ce")

    @torch.no_grad()
    def extend(self, tokens: int) -> None:
        """Add `tokens` target tokens with random weights; all others become the base."""
        embedding = self.decoder.embedding
        base = embedding.weight().detach().clone()
        embedding.base = nn.Parameter(base)
        fresh = torch.randn(tokens, base.shape[1], device=base.device) * base.shape[1] ** -0.5
        embedding.extension = nn.Parameter(fresh)


def build_model(
    settings: ModelSettings, tokenizer: Tokenizer, *, pretrained: bool = True
) -> tuple[Atat, Units | None]:
    """The model described by the settings, and the units of its CTC head, if it has one.

    pretrained=False loads no weights of others, as BERT's and ESPnet's: a packed model has its own.
    """
    audio, text = settings.audio_encoder, settings.text_encoder
    with_ctc = audio is not None and settings.ctc.weight > 0
    units = build_units(settings.ctc.units, tokenizer) if with_ctc else None
    ids = own_ids(text.units, tokenizer) if text and text.kind == "small" else None
    bridge = None
    if settings.bridge.share > 0 and units and ids:
        bridge = Bridge(ids.of_units, ids.cls_id, ids.sep_id)
    model = Atat(
        build_audio_encoder(audio, settings.width, pretrained) if audio else None,
        build_text_encoder(text, settings.width, ids.size if ids else 0, pretrained)
        if text
        else None,
        Decoder(settings.decoder, settings.width, tokenizer.vocab_size),
        mel_bins=audio.mel_bins if audio else 1,
        ctc=CtcHead(settings.width, len(units.pieces)) if units else None,
        ctc_weight=settings.ctc.weight,
        bridge=bridge,
        bridge_share=settings.bridge.share,
    )
    return model, units
