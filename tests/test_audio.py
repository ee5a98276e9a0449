"""Audio: what is written is read, parts are parts, and each broken file says what is wrong."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from atat.base.errors import InputError
from atat.speech import audio

RATE = audio.SAMPLE_RATE


def samples_16bit(seconds: float = 0.5, seed: int = 0) -> np.ndarray:
    """Samples (T,) float32 that 16 bit can hold exactly, from -1 to just below 1."""
    codes = np.random.default_rng(seed).integers(-32768, 32768, int(seconds * RATE))
    codes[:2] = -32768, 32767
    return (codes / 32768).astype(np.float32)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_written_is_read_bit_for_bit(tmp_path: Path, name: str) -> None:
    audio.save(tmp_path / name, samples_16bit())
    read = audio.load(tmp_path / name)
    np.testing.assert_array_equal(read, samples_16bit())
    assert read.dtype == np.float32
    assert audio.duration(tmp_path / name) == 0.5


def test_loud_samples_are_clipped(tmp_path: Path) -> None:
    audio.save(tmp_path / "a.wav", np.array([-3.0, 0.0, 3.0], np.float32))
    np.testing.assert_array_equal(audio.load(tmp_path / "a.wav"), [-1.0, 0.0, 32767 / 32768])


def test_save_refuses_a_format_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name it .wav or .flac"):
        audio.save(tmp_path / "a.xyz", samples_16bit())


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_part_is_a_part_of_the_whole(tmp_path: Path, name: str) -> None:
    audio.save(tmp_path / name, samples_16bit())
    part = audio.load(tmp_path / name, 0.1, 0.35)
    np.testing.assert_array_equal(part, samples_16bit()[1600:5600])
    np.testing.assert_array_equal(audio.load(tmp_path / name, 0.4), samples_16bit()[6400:])


def test_a_part_may_reach_a_little_beyond_the_end_as_in_kaldi(tmp_path: Path) -> None:
    audio.save(tmp_path / "a.wav", samples_16bit())
    assert len(audio.load(tmp_path / "a.wav", 0.25, 0.6)) == RATE // 4
    with pytest.raises(InputError, match="lasts 0.500 s, but its segment ends at 1.200 s"):
        audio.load(tmp_path / "a.wav", 0.25, 1.2)
    with pytest.raises(InputError, match="no audio from 0.55 to 0.6 s"):
        audio.load(tmp_path / "a.wav", 0.55, 0.6)


def test_opus_is_read(tmp_path: Path) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)
    soundfile.write(tmp_path / "a.opus", tone, RATE, format="OGG", subtype="OPUS")
    read = audio.load(tmp_path / "a.opus")
    assert len(read) == RATE and np.corrcoef(read, tone)[0, 1] > 0.99


def test_real_recordings_of_all_formats_are_read(data_root: Path) -> None:
    flac = next((data_root / "librispeech").rglob("*.flac"))
    opus = next(
        path
        for path in (data_root / "speechocean762").rglob("*")
        if path.suffix in (".opus", ".ogg")
    )
    for path in (flac, opus, data_root / "kaldi_truth/htk/test.wav"):
        read = audio.load(path)
        assert len(read) == round(audio.duration(path) * RATE) > RATE
        assert 0.001 < np.sqrt(np.mean(read**2)) < 1.0


def broken(folder: Path, kind: str) -> Path:
    """Write a recording that is broken in one way."""
    good = samples_16bit()
    path = folder / f"{kind}.wav"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "no samples":
        soundfile.write(path, good[:0], RATE)
    elif kind == "not audio":
        path.write_text("<html>404 not found</html>")
    elif kind == "truncated":
        audio.save(path, good)
        os.truncate(path, path.stat().st_size * 2 // 3)
    elif kind == "truncated flac":
        path = folder / "a.flac"
        audio.save(path, good)
        os.truncate(path, path.stat().st_size * 2 // 3)
    elif kind == "stereo":
        soundfile.write(path, np.stack([good, good[::-1]], axis=1), RATE)
    elif kind == "8 kHz":
        soundfile.write(path, good, 8000)
    elif kind == "NaN":
        good[4000] = np.nan
        soundfile.write(path, good, RATE, subtype="FLOAT")
    elif kind == "folder":
        path.mkdir()
    return path


BROKEN = {
    "missing": "no such audio file",
    "folder": "is a folder",
    "empty": r"is empty \(0 bytes\)",
    "no samples": "holds no samples",
    "not audio": "cannot be read as audio",
    "truncated": "truncated: .* bytes where its header promises",
    "truncated flac": "truncated",
    "stereo": "2 channels, 1 was expected; choose one with channel=0",
    "8 kHz": "8000 Hz, 16000 was expected; convert it with resample=True",
    "NaN": r"not a number .* at 0\.250 s",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_audio_says_what_is_wrong_and_in_which_file(tmp_path: Path, kind: str) -> None:
    path = broken(tmp_path, kind)
    with pytest.raises(InputError, match=BROKEN[kind]) as caught:
        audio.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


# What ffmpeg, sox and arecord write into a pipe, and what others do.
UNKNOWN = (0xFFFFFFFF, 0x7FFFF000, 0x80000000, 0x7FFFFF00, 0x7FFFFFFF, 0)


@pytest.mark.parametrize("bare", [False, True])
def test_a_wav_from_a_pipe_with_unknown_length_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bare: bool
) -> None:
    """bare: on a device, without soundfile."""
    audio.save(tmp_path / "a.wav", samples_16bit())
    if bare:
        monkeypatch.setitem(sys.modules, "soundfile", None)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    at = data.index(b"data") + 4
    for size in UNKNOWN:
        data[at : at + 4] = data[4:8] = size.to_bytes(4, "little")
        (tmp_path / "b.wav").write_bytes(data)
        np.testing.assert_array_equal(audio.load(tmp_path / "b.wav"), samples_16bit())
        np.testing.assert_array_equal(audio.load(io.BytesIO(data)), samples_16bit())
        if size:  # the whole length may be known
            data[4:8] = (len(data) - 8).to_bytes(4, "little")
            np.testing.assert_array_equal(audio.load(io.BytesIO(data)), samples_16bit())
    # No samples, but a chunk behind them: its bytes are no sound.
    chunk = b"LIST" + (4).to_bytes(4, "little") + b"INFO"
    empty = bytearray(data[: at + 4] + chunk)
    empty[4:8] = (len(empty) - 8).to_bytes(4, "little")
    (tmp_path / "b.wav").write_bytes(empty)
    with pytest.raises(InputError, match="holds no samples"):
        audio.load(tmp_path / "b.wav")
    (tmp_path / "b.wav").write_bytes(data[: at + 4])
    with pytest.raises(InputError, match="holds no samples"):
        audio.load(tmp_path / "b.wav")


def test_audio_in_an_archive_is_told_from_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "wavs.ark").write_bytes(b"a \0B")
    with pytest.raises(InputError, match="wavs.ark:3: is audio in an archive, which is not read"):
        audio.load(f"{tmp_path}/wavs.ark:3")
    with pytest.raises(InputError, match="gone.ark:3: no such audio file"):
        audio.load(f"{tmp_path}/gone.ark:3")


def test_another_rate_and_channel_are_taken_when_asked_for(tmp_path: Path) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(4000) / 8000).astype(np.float32) / 2
    soundfile.write(tmp_path / "a.wav", np.stack([tone * 0, tone], axis=1), 8000, subtype="FLOAT")
    read = audio.load(tmp_path / "a.wav", resample=True, channel=1)
    expected = np.sin(2 * np.pi * 440 * np.arange(8000) / RATE) / 2
    assert len(read) == 8000
    np.testing.assert_allclose(read[500:-500], expected[500:-500], atol=1e-3)
    with pytest.raises(InputError, match="no channel 2; they are 0 to 1"):
        audio.load(tmp_path / "a.wav", resample=True, channel=2)


def test_shell_commands_run_only_when_allowed(tmp_path: Path) -> None:
    audio.save(tmp_path / "a.wav", samples_16bit())
    command = f"cat {tmp_path}/a.wav |"
    with pytest.raises(InputError, match="shell command"):
        audio.load(command)
    np.testing.assert_array_equal(audio.load(command, allow_pipes=True), samples_16bit())
    with pytest.raises(InputError, match="truncated: 1000 bytes where its header promises"):
        audio.load(f"head -c 1000 {tmp_path}/a.wav |", allow_pipes=True)
    with pytest.raises(InputError, match="exit code 3: oh no"):
        audio.load("echo oh no >&2; exit 3 |", allow_pipes=True)


def test_a_full_disk_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.wav.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        audio.save(tmp_path / "a.wav", samples_16bit())
    assert not list(tmp_path.iterdir())
