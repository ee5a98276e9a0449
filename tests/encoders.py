"""Small random speech encoders that several tests share, saved as transformers saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers


def save_waveform_encoder(folder: Path, kind: str, seed: int = 0, **changes: Any) -> Path:
    """A random encoder of the wav2vec 2.0 family of 32 values every 320 samples."""
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "conv_dim": (16, 16, 16),
        "conv_kernel": (10, 8, 4),
        "conv_stride": (10, 8, 4),
        "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 2,
    }
    if kind == "data2vec-audio":
        sizes |= {"conv_pos_kernel_size": 7, "num_conv_pos_embeddings": 3}
    config = transformers.AutoConfig.for_model(kind, **(sizes | changes))
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


def save_wav2vec2(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """A random wav2vec 2.0 of 32 values every 320 samples, as transformers saves one."""
    return save_waveform_encoder(folder, "wav2vec2", seed, **changes)


def save_whisper(folder: Path, layers: int = 1) -> Path:
    """A random Whisper of 16 values that takes 2 s."""
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        vocab_size=20,
        d_model=16,
        encoder_layers=layers,
        encoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=16,
        max_source_positions=100,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    transformers.WhisperModel(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor(chunk_length=2).save_pretrained(folder)
    return folder


def save_moonshine(folder: Path, layers: int = 1) -> Path:
    """A random Moonshine of 32 values every 384 samples."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
        "moonshine",
        vocab_size=20,
        hidden_size=32,
        intermediate_size=32,
        encoder_num_hidden_layers=layers,
        decoder_num_hidden_layers=1,
        encoder_num_attention_heads=2,
        decoder_num_attention_heads=2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    return folder
