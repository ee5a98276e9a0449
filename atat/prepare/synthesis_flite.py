"""The flite synthesiser: few voices, more natural than espeak-ng's.

Runs the program `flite` if it is on PATH. Voices are `flite:<voice>` with awb, rms, slt, kal16
or whatever `flite -lv` lists; `rate` stretches the speech (1.1 is faster by a tenth), `pitch` is
the mean in Hz and works for the diphone voices kal and kal16 only. Knows nothing of data dirs.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from atat.base.errors import InputError
from atat.base.files import scratch_folder
from atat.prepare.synthesis_voice import (
    SAMPLE_RATE,
    Speech,
    SynthesisError,
    Voice,
    spell_letters,
    split_phones,
    words_from_starts,
)
from atat.speech import audio

_DIPHONE_VOICES = ("kal", "kal16")
_TIMEOUT = 60  # s: a sentence takes far less than a second


def unavailable() -> str | None:
    """None if flite can be used here, else why not and how to install it."""
    if shutil.which("flite") is None:
        return "the program flite is not on PATH; install it with: apt-get install flite"
    return None


def check(voice: Voice) -> None:
    """Raise InputError for a voice that flite does not have, or other options."""
    _options(voice)


def speak(voice: Voice, text: str) -> Speech:
    """Speak normalised text.

    Raises SynthesisError if flite has no such voice or its phones cannot be divided among the
    words of the text.
    """
    words = text.split()
    if not words:
        raise SynthesisError(f"voice '{voice}': the text is empty")
    arguments = ["-voice", voice.name, *_options(voice)]
    said = spell_letters(" ".join(words))
    with scratch_folder("flite") as folder:
        wav = folder / "speech.wav"
        segments = _segments(_run([*arguments, "-psdur", "-t", said, "-o", str(wav)]))
        samples = _read(wav, voice)
    spoken = [(name, start) for name, start in segments if name != "pau"]
    alone = [_phones(voice.name, word) for word in said.split()]
    firsts = split_phones([name for name, _ in spoken], alone)
    starts = [spoken[first][1] for first in firsts]
    pauses = [start for name, start in segments if name == "pau"]
    return Speech(samples, words_from_starts(words, starts, pauses, len(samples) / SAMPLE_RATE))


def _options(voice: Voice) -> list[str]:
    if voice.name not in _voices():
        raise SynthesisError(f"voice '{voice}': flite has only {', '.join(sorted(_voices()))}")
    has_pitch = voice.name in _DIPHONE_VOICES
    voice.allow(("rate", "pitch") if has_pitch else ("rate",))
    options = ["--setf", f"duration_stretch={1 / voice.number('rate', 1.0, 0.3, 3.0):.4f}"]
    if has_pitch and "pitch" in voice.options:
        options += ["--setf", f"int_f0_target_mean={voice.number('pitch', 95, 50, 300):.1f}"]
    return options


def _read(wav: Path, voice: Voice) -> np.ndarray:
    """Samples (T,) at SAMPLE_RATE; the voice kal has 8 kHz."""
    if not wav.is_file():
        raise SynthesisError(f"voice '{voice}': flite wrote no audio")
    return audio.load(wav, resample=True)


def _run(arguments: Sequence[str]) -> str:
    """The output of flite; InputError if it is not installed, SynthesisError if it fails."""
    reason = unavailable()
    if reason:
        raise InputError(f"flite: {reason}")
    try:
        done = subprocess.run(
            ["flite", *arguments], capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise SynthesisError(f"flite {' '.join(arguments)}: no end in {_TIMEOUT} s") from None
    if done.returncode != 0:
        raise SynthesisError(f"flite {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _segments(printed: str) -> list[tuple[str, float]]:
    """Phones and their starts in seconds, from flite's "name:end name:end ..."."""
    segments, start = [], 0.0
    for item in printed.split():
        name, colon, end = item.partition(":")
        if not colon:
            raise SynthesisError(f"flite printed '{item}' where phone:end was expected")
        segments.append((name, start))
        start = float(end)
    return segments


@functools.cache
def _voices() -> frozenset[str]:
    _, _, names = _run(["-lv"]).partition(":")
    return frozenset(names.split())


@functools.lru_cache(maxsize=100_000)
def _phones(voice: str, word: str) -> tuple[str, ...]:
    """The phones of a word spoken alone."""
    names = _run(["-voice", voice, "-ps", "-t", word, "-o", "none"]).split()
    return tuple(name for name in names if name != "pau")
