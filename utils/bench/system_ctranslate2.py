"""CTranslate2 with atat's own weights: it reads text as atat does, and searches over memories.

Its transformer has the same layers as ours (norms in front, ReLU, scaled embeddings, a generator
tied to the embedding), so the weights are handed over as they are; the sinusoids, which it
would order differently, come along. It runs in fp32 or int8; on a CPU it has no bf16.

For text it is given batches. A memory from outside only its Whisper takes, and without a length:
those go one by one, with one token more behind the start. What it has for audio (the encoders
of Whisper and wav2vec) is other work.
"""

from __future__ import annotations

import tempfile
from functools import cached_property
from typing import Any

import inputs
import numpy as np
import torch
from system_atat import EOS, START
from system_atat_text import AtatText
from torch import Tensor, nn

from atat.nn.decoder import Decoder
from atat.nn.text_encoder import SmallTextEncoder
from atat.nn.transformer import FeedForward, SelfAttention, sinusoids

# Tokens that it wants to exist; outputs name them.
TEXT_TOKENS = {0: "<unk>", EOS: "</s>", START: "<s>"}
NO_TIMES, NO_SPEECH = 3, 4
WHISPER_TOKENS = {
    0: "<unk>",
    EOS: "<|endoftext|>",
    START: "<|startoftranscript|>",
    NO_TIMES: "<|notimestamps|>",
    NO_SPEECH: "<|nospeech|>",
}
POSITIONS = 512
COMPUTED = {"fp32": "float32", "int8": "int8"}


class CTranslate2:
    """The model of AtatText in CTranslate2, with `read` and `search`; on a CPU."""

    def __init__(self, device: torch.device, *, precision: str = "fp32") -> None:
        self.device = device
        model = AtatText(device)
        self.encoder, self.decoder, self.precision = model.encoder, model.decoder, precision

    def eval(self) -> CTranslate2:
        self.encoder.eval()
        self.decoder.eval()
        return self

    @cached_property
    def size(self) -> int:
        """Parameters, tied ones counted once and tables of positions not at all."""
        variables = self._text_spec().variables()
        arrays = [v for name, v in variables.items() if not name.endswith("/encodings")]
        arrays = [array for array in arrays if isinstance(array, np.ndarray)]
        return sum({id(array): array.size for array in arrays}.values())

    def read(self, source: Tensor, lengths: Tensor, tokens: int) -> list[list[int]]:
        """source (B, S), lengths (B,) -> the best output of each, `tokens` ids."""
        names = _vocabulary(TEXT_TOKENS)
        rows = [[names[i] for i in row[:n]] for row, n in zip(source.tolist(), lengths.tolist())]
        found = self.translator.translate_batch(
            rows, beam_size=inputs.BEAM, min_decoding_length=tokens, max_decoding_length=tokens
        )
        ids = {name: number for number, name in enumerate(names)}
        return [[ids[name] for name in one.hypotheses[0]] for one in found]

    def search(self, memory: Tensor, lengths: Tensor, tokens: int) -> list[list[int]]:
        """The search alone, over each memory (S, D) of (B, S, D); `tokens` steps."""
        sizes = lengths.tolist()
        found = [self.generate(row[:size], tokens) for row, size in zip(memory, sizes)]
        return [one.sequences_ids[0] for one in found]

    def generate(self, memory: Tensor, tokens: int, **options: Any) -> Any:
        """The result of the search over one memory (S, D), as CTranslate2 gives it."""
        from ctranslate2 import StorageView

        return self.whisper.generate(
            StorageView.from_array(memory[None].contiguous().numpy()),
            [[START, NO_TIMES]],
            beam_size=inputs.BEAM,
            max_length=2 * tokens,  # it takes half of this
            suppress_tokens=[EOS],
            suppress_blank=False,
            **options,
        )[0]

    @cached_property
    def translator(self) -> Any:
        """The text encoder and the decoder."""
        from ctranslate2 import Translator

        spec = self._text_spec()
        vocabulary = _vocabulary(TEXT_TOKENS)
        spec.register_source_vocabulary(vocabulary)
        spec.register_target_vocabulary(vocabulary)
        return self._load(spec, Translator)

    @cached_property
    def whisper(self) -> Any:
        """The decoder, behind an encoder that stands aside."""
        from ctranslate2.models import Whisper
        from ctranslate2.specs import WhisperSpec, common_spec

        # An encoder that nobody uses, as small as it can be. What has as many rows as it has
        # channels would be taken for audio, so it has one.
        spec = WhisperSpec(1, inputs.HEADS, len(self.decoder.layers), inputs.HEADS)
        width, encoder = inputs.WIDTH, spec.encoder
        for convolution, channels in ((encoder.conv1, 1), (encoder.conv2, width)):
            convolution.weight = np.zeros((width, channels, 3), np.float32)
            convolution.bias = np.zeros(width, np.float32)
        encoder.position_encodings.encodings = np.zeros((1, width), np.float32)
        _norm(encoder.layer_norm, self.encoder.encoder.norm)
        _encoder_layers(encoder, self.encoder)
        spec.decoder.scale_embeddings = True
        spec.decoder.activation = np.int8(common_spec.Activation.RELU)
        _decoder(spec.decoder, self.decoder)
        spec.register_vocabulary(_vocabulary(WHISPER_TOKENS))
        for name in ("suppress_ids", "suppress_ids_begin", "lang_ids", "alignment_heads"):
            setattr(spec.config, name, [])
        return self._load(spec, Whisper)

    def _text_spec(self) -> Any:
        from ctranslate2.specs import TransformerSpec

        layers = (len(self.encoder.encoder.layers), len(self.decoder.layers))
        spec = TransformerSpec.from_config(layers, inputs.HEADS)
        _encoder(spec.encoder, self.encoder)
        _decoder(spec.decoder, self.decoder)
        return spec

    def _load(self, spec: Any, kind: Any) -> Any:
        computed = COMPUTED[self.precision]
        spec.validate()
        spec.optimize(quantization=computed)
        with tempfile.TemporaryDirectory() as folder:
            spec.save(folder)
            return kind(folder, compute_type=computed, intra_threads=torch.get_num_threads())


def _vocabulary(special: dict[int, str]) -> list[str]:
    """Every id as its own name, but for the special ones."""
    return [special.get(number, str(number)) for number in range(inputs.VOCABULARY)]


def _encoder(spec: Any, encoder: SmallTextEncoder) -> None:
    spec.embeddings[0].weight = _array(encoder.embedding.weight)
    spec.position_encodings.encodings = sinusoids(torch.arange(POSITIONS), inputs.WIDTH).numpy()
    _norm(spec.layer_norm, encoder.encoder.norm)
    _encoder_layers(spec, encoder)


def _encoder_layers(spec: Any, encoder: SmallTextEncoder) -> None:
    layers: Any = encoder.encoder.layers
    for to, layer in zip(spec.layer, layers):
        _self_attention(to.self_attention, layer.attention_norm, layer.attention)
        _feed_forward(to.ffn, layer.feed_forward_norm, layer.feed_forward)


def _decoder(spec: Any, decoder: Decoder) -> None:
    spec.embeddings.weight = spec.projection.weight = _array(decoder.embedding.weight())
    spec.position_encodings.encodings = sinusoids(torch.arange(POSITIONS), inputs.WIDTH).numpy()
    _norm(spec.layer_norm, decoder.norm)
    layers: Any = decoder.layers
    for to, layer in zip(spec.layer, layers):
        _self_attention(to.self_attention, layer.self_norm, layer.self_attention)
        cross = layer.cross_attention
        _norm(to.attention.layer_norm, layer.cross_norm)
        for linear, product in zip(to.attention.linear, (cross.query, cross.memory, cross.output)):
            _linear(linear, product)
        _feed_forward(to.ffn, layer.feed_forward_norm, layer.feed_forward)


def _self_attention(spec: Any, norm: nn.LayerNorm, attention: SelfAttention) -> None:
    _norm(spec.layer_norm, norm)
    _linear(spec.linear[0], attention.projection)
    _linear(spec.linear[1], attention.output)


def _feed_forward(spec: Any, norm: nn.LayerNorm, feed_forward: FeedForward) -> None:
    _norm(spec.layer_norm, norm)
    _linear(spec.linear_0, feed_forward.inner)
    _linear(spec.linear_1, feed_forward.outer)


def _linear(spec: Any, linear: nn.Linear) -> None:
    spec.weight, spec.bias = _array(linear.weight), _array(linear.bias)


def _norm(spec: Any, norm: nn.LayerNorm) -> None:
    spec.gamma, spec.beta = _array(norm.weight), _array(norm.bias)


def _array(parameter: Tensor) -> np.ndarray:
    return parameter.detach().numpy()
