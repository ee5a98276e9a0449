"""The piper synthesiser: neural voices that run offline.

Needs the package `piper-tts` and a downloaded voice; voices are `piper:<path of the .onnx file>`,
or `piper:<name>` of one that `atat encoder get` has fetched, with `rate` (1.1 is faster by a tenth)
and `speaker` (a number, in models of several speakers).
Piper draws its own noise, so the same text never sounds quite the same. It gives no word times:
align its speech with `atat align`. Knows nothing of data dirs.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from atat.base import onnx_files
from atat.base.encoder_files import PUBLISHED, checked, refuse_mistyped
from atat.base.errors import InputError
from atat.base.json_file import read_object
from atat.prepare.synthesis_voice import SAMPLE_RATE, Speech, SynthesisError, Voice, spell_letters
from atat.speech import audio

if TYPE_CHECKING:
    from piper import PiperConfig, PiperVoice, SynthesisConfig

_DOWNLOAD = "download a voice with: python -m piper.download_voices en_US-lessac-medium"
_INSTALL = "pip install 'piper-tts>=1.3'"


def unavailable() -> str | None:
    """None if piper can be used here, else why not and how to install it."""
    try:
        from piper import SynthesisConfig  # noqa: F401
    except ImportError:
        return f"the package piper-tts (1.3 or newer) is missing; install it with: {_INSTALL}"
    return None


def check(voice: Voice) -> None:
    """Raise InputError for a voice whose model is missing or damaged, or other options."""
    _manner(voice)


def _manner(voice: Voice) -> SynthesisConfig:
    """The options of a voice as piper takes them."""
    from piper import SynthesisConfig

    voice.allow(("rate", "speaker"))
    rate = voice.number("rate", 1.0, 0.3, 3.0)
    _, about = _files(voice.name)
    speaker = voice.number("speaker", 0, 0, about.num_speakers - 1)
    return SynthesisConfig(
        speaker_id=int(speaker) if "speaker" in voice.options else None, length_scale=1 / rate
    )


def speak(voice: Voice, text: str) -> Speech:
    """Speak normalised text; InputError if the package or the voice's model is missing."""
    if not text.split():
        raise SynthesisError(f"voice '{voice}': the text is empty")
    reason = unavailable()
    if reason:
        raise InputError(f"piper: {reason}")
    config = _manner(voice)
    chunks = list(_model(voice.name).synthesize(spell_letters(text), config))
    if not chunks:
        raise SynthesisError(f"voice '{voice}': piper gave no audio for '{text}'")
    samples = np.concatenate([chunk.audio_float_array for chunk in chunks])
    return Speech(audio.resample(samples, chunks[0].sample_rate, SAMPLE_RATE), None)


@functools.cache
def _model(name: str) -> PiperVoice:
    from piper import PiperVoice

    path, _ = _files(name)
    return PiperVoice.load(path)


@functools.cache
def _files(name: str) -> tuple[Path, PiperConfig]:
    """The model of a voice, and what the file beside it says of it."""
    from piper import PiperConfig

    refuse_mistyped(name, "voice")
    path = _published(name) if name in PUBLISHED else Path(name).expanduser()
    about = path.with_name(path.name + ".json")
    for file in (path, about):
        if not file.is_file():
            raise InputError(f"voice 'piper:{name}': no file {file}; {_DOWNLOAD}")
    try:
        onnx_files.refuse_other_files(path)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"voice 'piper:{name}': {path}: not an ONNX file ({error})") from None
    values = read_object(about, _DOWNLOAD)
    try:
        return path, PiperConfig.from_dict(values)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{about}: does not describe a voice of piper ({error!r}); {_DOWNLOAD}"
        ) from None


def _published(name: str) -> Path:
    """The model of a voice with a name; InputError, with the command that gets it, if missing."""
    return checked(name) / Path(PUBLISHED[name].files[0]).name
