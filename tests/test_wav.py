"""Wav files without soundfile: the same samples, and one sentence for all else."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from atat.base.errors import InputError
from atat.speech import audio


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A device without soundfile and soxr."""
    for name in ("soundfile", "soxr"):
        monkeypatch.setitem(sys.modules, name, None)
    return monkeypatch


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize(("channels", "channel"), [(1, None), (2, 0), (2, 1)])
@pytest.mark.parametrize(("start", "end"), [(None, None), (0.1, 0.25)])
def test_samples_are_those_that_soundfile_reads(
    tmp_path: Path, bare: pytest.MonkeyPatch, channels: int, channel: int | None, start, end
) -> None:
    path = tmp_path / "a.wav"
    bare.undo()
    soundfile.write(path, noise(8000, channels), 16000)
    wanted = audio.load(path, start, end, channel=channel)
    for name in ("soundfile", "soxr"):
        bare.setitem(sys.modules, name, None)
    np.testing.assert_array_equal(audio.load(path, start, end, channel=channel), wanted)
    assert audio.probe(path).channels == channels


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("a.flac", {}, "a.flac: file does not start with RIFF id; without the package soundfile"),
        ("a.wav", {"subtype": "PCM_24"}, "a.wav: a wav of 24 bits; without the package soundfile"),
        ("a.wav", {"subtype": "FLOAT"}, "a.wav: unknown format: 3; without .* pip install sound"),
    ],
)
def test_what_needs_soundfile_says_so(
    tmp_path: Path, bare: pytest.MonkeyPatch, name: str, options: dict[str, str], error: str
) -> None:
    soundfile.write(tmp_path / name, noise(800), 16000, **options)
    with pytest.raises(InputError, match=error):
        audio.load(tmp_path / name)


def test_another_rate_needs_soxr(tmp_path: Path, bare: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", noise(800), 8000)
    with pytest.raises(InputError, match="samples at 8000 Hz, 16000 was expected; .*pip install"):
        audio.load(tmp_path / "a.wav", resample=True)


def test_a_wav_that_ends_too_early_is_refused(tmp_path: Path, bare: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", noise(800), 16000)
    (tmp_path / "a.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:400])
    with pytest.raises(InputError, match="truncated"):
        audio.load(tmp_path / "a.wav")
