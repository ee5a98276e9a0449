"""LFB: equal to what HTK and Kaldi computed, blind to what lies outside a frame's window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atat.speech import audio
from atat.speech.fbank import LOG_FLOOR, Options, frames_touching, lfb, num_frames

HTK = Options(
    num_mels=23, high_freq=8000.0, preemphasis=0.0, remove_dc=False, window="hamming", htk_mel=True
)


def htk_warp(factor: float) -> dict[str, float]:
    """HTK bends its frequency axis at other places than Kaldi; put the cut-offs (100 and 7500 Hz
    in the conf files) where Kaldi's rule leads to HTK's places."""
    stretch = 2 / (1 + 1 / factor)
    low, high = 100 * stretch / max(1, factor), 7500 * stretch / min(1, factor)
    return {"low_freq": 25.0, "vtln_warp": factor, "vtln_low": low, "vtln_high": high}


HTK_CONFS = {
    1: ({"low_freq": 0.0}, 2e-5),
    2: ({"low_freq": 25.0}, 2e-5),
    3: (htk_warp(0.9), 5e-5),
    4: (htk_warp(1.1), 5e-5),
}


@pytest.mark.parametrize("number", HTK_CONFS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_agrees_with_htk(data_root: Path, number: int, dtype: type) -> None:
    folder = data_root / "kaldi_truth/htk"
    raw = (folder / f"test.wav.fbank_htk.{number}").read_bytes()
    expected = np.frombuffer(raw, ">f4", offset=12).reshape(-1, 23)
    changes, tolerance = HTK_CONFS[number]
    # HTK computes in float32, too: two roundings may differ by more than one.
    tolerance *= 2 if dtype is np.float32 else 1
    features = lfb(audio.load(folder / "test.wav").astype(dtype), HTK, **changes)
    assert features.dtype == dtype
    np.testing.assert_allclose(features, expected, rtol=0, atol=tolerance)


KALDI_FILES = {
    "test.txt": {},
    "test-40.txt": {"num_mels": 40},
    "test-40-no-snip-edges.txt": {"num_mels": 40, "snip_edges": False},
    "test-with-energy.txt": {"use_energy": True},
    "test-htk.txt": {"use_energy": True, "htk_compat": True},
}


@pytest.mark.parametrize("name", KALDI_FILES)
def test_agrees_with_kaldi(data_root: Path, name: str) -> None:
    folder = data_root / "kaldi_truth/kaldifeat"
    body = (folder / name).read_text().partition("[")[2].partition("]")[0]
    expected = np.array([line.split() for line in body.strip().split("\n")], float)
    features = lfb(audio.load(folder / "test.wav"), **{"num_mels": 23, **KALDI_FILES[name]})
    difference = np.abs(features - expected)
    assert difference.max() < 0.05 and difference.mean() < 1e-3


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).standard_normal(num_samples) * 0.1
    return samples.astype(np.float32)


def test_agrees_with_torchaudio_on_80_bins() -> None:
    kaldi = pytest.importorskip("torchaudio.compliance.kaldi")
    torch = pytest.importorskip("torch")
    samples = noise(16000)
    expected = kaldi.fbank(torch.from_numpy(samples)[None] * 32768, num_mel_bins=80, dither=0.0)
    np.testing.assert_allclose(lfb(samples), expected.numpy(), atol=5e-3)


@pytest.mark.parametrize("snip_edges", [True, False])
@pytest.mark.parametrize("length", [0, 1, 79, 80, 399, 400, 401, 559, 560, 561, 5000])
def test_num_frames_is_the_number_of_frames(length: int, snip_edges: bool) -> None:
    features = lfb(noise(length), snip_edges=snip_edges)
    assert features.shape == (num_frames(length, snip_edges=snip_edges), 80)
    assert np.isfinite(features).all()


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_other_rates_have_frames_of_the_same_length_in_seconds(rate: int) -> None:
    assert lfb(noise(rate), sample_rate=rate).shape == (98, 80)


def test_float32_is_close_to_float64() -> None:
    samples = noise(16000)
    np.testing.assert_allclose(lfb(samples), lfb(samples.astype(np.float64)), atol=1e-3)


def test_silence_is_the_log_floor() -> None:
    silence = np.zeros(16000)
    assert (lfb(silence.astype(np.float32)) == np.float32(LOG_FLOOR)).all()
    np.testing.assert_allclose(lfb(silence), LOG_FLOOR, rtol=1e-7)


def test_frames_do_not_depend_on_what_is_computed_with_them() -> None:
    samples = noise(160 * 700)
    whole = lfb(samples)
    for first in (0, 100, 300, 600):
        part = lfb(samples[160 * first : 160 * (first + 50) + 240])
        np.testing.assert_allclose(part, whole[first : first + 50], atol=1e-5)


SPANS = [(0.0, 0.3), (0.3, 0.55), (0.2503, 0.2504), (0.123, 0.456), (0.9, 1.0), (0.7, 0.7)]


@pytest.mark.parametrize("snip_edges", [True, False])
@pytest.mark.parametrize("span", SPANS)
def test_frames_touching_are_those_that_change_with_the_span(
    span: tuple[float, float], snip_edges: bool
) -> None:
    samples = noise(16000)
    changed = samples.copy()
    changed[int(span[0] * 16000) : int(np.ceil(span[1] * 16000))] += 0.5
    differs = (lfb(samples, snip_edges=snip_edges) != lfb(changed, snip_edges=snip_edges)).any(1)
    first, last = frames_touching(*span, snip_edges=snip_edges)
    last = min(last, len(differs))
    np.testing.assert_array_equal(np.flatnonzero(differs), np.arange(first, last))


@pytest.mark.parametrize("snip_edges", [True, False])
@pytest.mark.parametrize("span", [(0.0, 0.3), (0.3, 0.55), (0.123, 0.456), (0.9, 1.0)])
def test_masking_frames_is_masking_the_waveform(
    span: tuple[float, float], snip_edges: bool
) -> None:
    """What touches the span goes to the floor; wholly inside, silence gives the same, and outside
    nothing differs. Only frames across its edges lose more than the waveform did."""
    options = Options(snip_edges=snip_edges)
    samples = noise(16000)
    silenced = samples.copy()
    start, end = round(span[0] * 16000), round(span[1] * 16000)
    silenced[start:end] = 0.0
    of_silenced = lfb(silenced, options)
    masked = lfb(samples, options)
    first, last = frames_touching(*span, options)
    masked[first:last] = LOG_FLOOR
    offset = 0 if snip_edges else 80 - 200
    starts = np.arange(len(masked)) * 160 + offset
    inside = (np.maximum(starts, 0) >= start) & (np.minimum(starts + 400, 16000) <= end)
    outside = np.ones(len(masked), bool)
    outside[first:last] = False
    assert inside.sum() >= 6 and outside.sum() >= 60
    assert (of_silenced[inside] == np.float32(LOG_FLOOR)).all()
    np.testing.assert_array_equal(masked[inside | outside], of_silenced[inside | outside])
    assert last - first - inside.sum() <= 2 * 3
