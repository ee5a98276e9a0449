"""Recordings to float32 samples and back: read, write, cut, resample, find faults.

Reads all formats of libsndfile (wav, flac, ogg, opus ...). Knows nothing of data dirs and
features. One recording: `load("a.wav")` gives (T,) samples in [-1, 1] at 16 kHz, or an
InputError that says what is wrong with the file and how to fix it.
"""

from __future__ import annotations

import io
import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from atat.base import pipes
from atat.base.errors import InputError
from atat.base.files import atomic_write
from atat.speech.wav import Wav

if TYPE_CHECKING:
    import soundfile

SAMPLE_RATE = 16000
# Kaldi's extract-segments allows a segment to end this far (s) after the end of its recording.
MAX_OVERSHOOT = 0.5
# Samples are in [-1, 1]; mixing and filters may exceed that a little. Larger values than this are
# not audio: int16 numbers in a float file, or damage.
MAX_SAMPLE = 100.0
# Data sizes that programs put in a wav header when they write to a pipe and do not know the size;
# 0x80000000 is arecord's, 0x7FFFFF00 that of older ones.
_UNKNOWN_SIZES = (0, 0x7FFFF000, 0x7FFFFF00, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@dataclass(frozen=True)
class Info:
    """The header of a recording."""

    num_samples: int
    sample_rate: int
    channels: int
    holds_floats: bool = False  # which can be NaN, or of any size

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate


def load(
    path: str | Path | io.BytesIO,
    start: float | None = None,
    end: float | None = None,
    *,
    sample_rate: int = SAMPLE_RATE,
    resample: bool = False,
    channel: int | None = None,
    allow_pipes: bool = False,
    name: str = "",
) -> np.ndarray:
    """Samples (T,) float32 in [-1, 1] of a recording, or of its part from `start` to `end` (s).

    `name` is what messages call a recording in memory.

    `resample=True` converts another rate, `channel` (from 0) picks one of several channels,
    `allow_pipes` runs a path that ends in `|` as a shell command whose output is the recording.
    Raises InputError for a file that is missing, empty, truncated, not audio, at another rate, of
    several channels, shorter than the part asked for, or that holds NaN, infinity or a sample
    beyond any recording.
    """
    name = name or str(path)
    runs = allow_pipes and pipes.is_pipe(name)
    source = io.BytesIO(pipes.run(name)) if runs else path
    with _open(source, name) as stream:
        info = _info(stream)
        _check_form(name, info, sample_rate, resample, channel)
        first, last = _span(name, info, start, end)
        samples = _read(stream, name, first, last)[:, channel or 0]
    check_samples(name, samples, info.sample_rate, first)
    return np.ascontiguousarray(_at_rate(samples, info.sample_rate, sample_rate))


def check_samples(name: str, samples: np.ndarray, sample_rate: int, first: int = 0) -> None:
    """Raise InputError if samples (T,) hold NaN, infinity or a value beyond any recording.

    first: index of the first of them in its file.
    """
    # A comparison with NaN is false.
    if not samples.size or np.abs(samples).max() <= MAX_SAMPLE:
        return
    wrong = int(np.argmin(np.abs(samples) <= MAX_SAMPLE))
    at = (first + wrong) / sample_rate
    if not np.isfinite(samples[wrong]):
        raise InputError(
            f"{name}: holds a sample that is not a number (NaN or infinity) at {at:.3f} s; "
            "make the file again or leave it out"
        )
    raise InputError(
        f"{name}: holds a sample of {samples[wrong]:g} at {at:.3f} s, but samples are in [-1, 1]; "
        "divide 16-bit numbers by 32768, or leave the file out"
    )


def check(path: str | Path) -> Info:
    """The header; InputError for faults that `load` would refuse, if they show without decoding.

    Only files of floats are read whole: other formats cannot hold NaN or infinity. A damaged
    flac or opus may still fail when it is decoded.
    """
    info = probe(path)
    _check_form(str(path), info, SAMPLE_RATE, False, None)
    if info.holds_floats:
        load(path)
    return info


def check_span(name: str, seconds: float, start: float | None, end: float | None) -> None:
    """Raise InputError where `load` would for a part from `start` to `end` (s) of a recording."""
    _span(name, Info(round(seconds * SAMPLE_RATE), SAMPLE_RATE, 1), start, end)


def probe(path: str | Path | io.BytesIO, *, name: str = "") -> Info:
    """Length, rate and channels from the header; of a recording in memory as well.

    Raises InputError for a file that is missing, empty, truncated or not audio.
    """
    with _open(path, name or str(path)) as stream:
        return _info(stream)


def duration(path: str | Path) -> float:
    """Length of a recording in seconds, from its header."""
    return probe(path).duration


def save(path: str | Path, samples: np.ndarray, sample_rate: int = SAMPLE_RATE) -> None:
    """Write samples (T,) in [-1, 1] as 16 bit; the format follows the name (.wav, .flac).

    The file appears whole or not at all, except after a power cut: waiting for the disk after each
    of thousands of recordings (some 10 ms each) could take longer than making them, and a truncated
    file is an error when it is read. Samples that `load` read from 16 bit are written back bit for
    bit; louder samples are clipped.
    """
    import soundfile

    suffix = Path(path).suffix.lstrip(".").upper()
    if suffix not in soundfile.available_formats():
        raise InputError(f"{path}: unknown audio format; name it .wav or .flac")
    # libsndfile scales by 32767 in writing and 32768 in reading, and hides a full disk's error.
    scaled = np.clip(np.rint(np.asarray(samples, np.float32) * 32768.0), -32768, 32767)
    buffer = io.BytesIO()
    soundfile.write(buffer, scaled.astype(np.int16), sample_rate, format=suffix)
    with atomic_write(path, "wb", durable=False) as stream:
        stream.write(buffer.getbuffer())


def resample(samples: np.ndarray, from_rate: float, to_rate: float) -> np.ndarray:
    """Band-limited resampling of samples (T,) to about T * to_rate / from_rate samples (soxr)."""
    try:
        import soxr
    except ImportError:  # on a device
        raise InputError(
            f"samples at {from_rate:g} Hz, {to_rate:g} was expected; without the package soxr they "
            "cannot be converted: record at that rate, or pip install soxr"
        ) from None
    return soxr.resample(samples.astype(np.float32, copy=False), from_rate, to_rate, quality="HQ")


def _open(source: str | Path | io.BytesIO, name: str) -> soundfile.SoundFile | Wav:
    """The recording, open for reading; InputError if missing, empty, truncated or not audio."""
    if isinstance(source, io.BytesIO):
        source.seek(0)
        _check_whole(source, name)
        source.seek(0)
    else:
        _check_file(name)
    stream = _opened(source, name)
    if stream.frames == 0:
        stream.close()
        sized = _sized(source)
        stream = stream if sized is None else _opened(sized, name)
    if stream.frames == 0:
        stream.close()
        raise InputError(f"{name}: holds no samples; fetch the file again or leave it out")
    return stream


def _opened(source: str | Path | io.BytesIO, name: str) -> soundfile.SoundFile | Wav:
    try:
        import soundfile
    except ImportError:  # on a device
        return Wav(_sized(source) or source, name)
    try:
        return soundfile.SoundFile(source)
    except soundfile.SoundFileError as error:
        reason = str(error).rsplit(":", 1)[-1].strip().rstrip(".")
        raise InputError(
            f"{name}: cannot be read as audio ({reason}); expected wav, flac, ogg or opus: "
            "fetch or convert the file again"
        ) from None


def _sized(source: str | Path | io.BytesIO) -> io.BytesIO | None:
    """A wav whose header does not know how many bytes of samples follow, as programs write into a
    pipe, with their number there; None for anything else."""
    stream: BinaryIO
    stream = io.BytesIO(source.getvalue()) if isinstance(source, io.BytesIO) else open(source, "rb")
    with stream:
        promised = _declared_wav_end(stream)
        first = stream.tell()  # of the samples; before it `data` and their number
        stream.seek(max(first - 8, 0))
        if promised is not None or stream.read(4) != b"data":
            return None
        stream.seek(0)
        data = stream.read()
    size = struct.pack("<I", len(data) - 8)
    if data[4:8] == size and data[first - 4 : first] == bytes(4):  # no samples, and that is known
        return None
    counted = struct.pack("<I", len(data) - first)
    return io.BytesIO(data[:4] + size + data[8 : first - 4] + counted + data[first:])


def _info(stream: soundfile.SoundFile | Wav) -> Info:
    holds_floats = stream.subtype in ("FLOAT", "DOUBLE")
    return Info(stream.frames, stream.samplerate, stream.channels, holds_floats)


def _check_form(
    path: str, info: Info, sample_rate: int, resample: bool, channel: int | None
) -> None:
    """InputError for a rate or a number of channels that was not expected."""
    if info.channels > 1 and channel is None:
        raise InputError(
            f"{path}: has {info.channels} channels, 1 was expected; choose one with channel=0 "
            f"(--channel 0), or convert it: sox {path} OUT.wav remix 1"
        )
    if channel is not None and not 0 <= channel < info.channels:
        raise InputError(f"{path}: has no channel {channel}; they are 0 to {info.channels - 1}")
    if info.sample_rate != sample_rate and not resample:
        raise InputError(
            f"{path}: sampled at {info.sample_rate} Hz, {sample_rate} was expected; convert "
            "it with resample=True (--resample), or once with: "
            f"sox {path} -r {sample_rate} OUT.wav"
        )


def _check_file(path: str) -> None:
    """Raise InputError for faults that show before decoding: missing, a folder, empty, cut off."""
    if pipes.is_pipe(path):
        raise InputError(
            f"{path}: is a shell command, which is run only if that is allowed; if you trust "
            f"it, {pipes.WAYS_OUT}"
        )
    if os.path.isdir(path):
        raise InputError(f"{path}: is a folder, an audio file was expected")
    if not os.path.exists(path):
        ark, _, offset = path.rpartition(":")
        if offset.isdigit() and os.path.exists(ark):
            raise InputError(
                f"{path}: is audio in an archive, which is not read; write it to files, with "
                "Kaldi: wav-copy scp:wav.scp scp:files.scp"
            )
        raise InputError(
            f"{path}: no such audio file; correct its path (a relative one starts from the working "
            "folder) or fetch the file"
        )
    size = os.path.getsize(path)
    if size == 0:
        raise InputError(f"{path}: is empty (0 bytes); fetch the file again or leave it out")
    try:
        with open(path, "rb") as stream:
            _check_whole(stream, path)
    except PermissionError:
        raise InputError(
            f"{path}: permission denied; ask for the right to read it (chmod), or leave it out"
        ) from None


def _check_whole(stream: BinaryIO, name: str) -> None:
    """Raise InputError if a wav, open at its start, is shorter than its header promises."""
    declared = _declared_wav_end(stream)
    size = stream.seek(0, os.SEEK_END)
    if declared is not None and declared > size:
        raise InputError(
            f"{name}: truncated: {size} bytes where its header promises {declared}; fetch it again"
        )


def _declared_wav_end(stream: BinaryIO) -> int | None:
    """Byte at which a wav's data chunk should end; None for other formats and streamed files."""
    header = stream.read(12)
    if header[:4] != b"RIFF" or header[8:] != b"WAVE":
        return None
    while len(chunk := stream.read(8)) == 8:
        name, size = struct.unpack("<4sI", chunk)
        if name == b"data":
            return None if size in _UNKNOWN_SIZES else stream.tell() + size
        stream.seek(size + size % 2, os.SEEK_CUR)
    return None


def _span(path: str, info: Info, start: float | None, end: float | None) -> tuple[int, int]:
    """First sample and the one after the last of a part given in seconds."""
    for time in (start, end):
        # Too large for a number of samples, or NaN.
        if time is not None and not math.isfinite(time * info.sample_rate):
            raise InputError(
                f"{path}: a segment from {start} to {end} s cannot be cut; correct "
                "the times in segments"
            )
    first = 0 if start is None else round(start * info.sample_rate)
    last = info.num_samples if end is None else round(end * info.sample_rate)
    overshoot = (last - info.num_samples) / info.sample_rate
    if overshoot > MAX_OVERSHOOT:
        raise InputError(
            f"{path}: lasts {info.duration:.3f} s, but its segment ends at {end:.3f} s; correct "
            "the times in segments or fetch the whole recording"
        )
    last = min(last, info.num_samples)
    if not 0 <= first < last:
        raise InputError(
            f"{path}: no audio from {start} to {end} s in a recording of {info.duration:.3f} s; "
            "correct the times in segments"
        )
    return first, last


def _read(stream: soundfile.SoundFile | Wav, name: str, first: int, last: int) -> np.ndarray:
    """Samples (T, channels) from `first` to `last`."""
    if isinstance(stream, Wav):
        samples = stream.read(first, last)
    else:
        samples = _read_by_library(stream, name, first, last)
    if len(samples) < last - first:
        raise InputError(
            f"{name}: truncated: its header promises {last} samples, reading ended at "
            f"{first + len(samples)}; fetch it again"
        )
    return samples


def _read_by_library(stream: soundfile.SoundFile, name: str, first: int, last: int) -> np.ndarray:
    import soundfile

    try:
        stream.seek(first)
        return stream.read(last - first, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise InputError(f"{name}: damaged or truncated ({error}); fetch it again") from None


def _at_rate(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    return samples if from_rate == to_rate else resample(samples, from_rate, to_rate)
